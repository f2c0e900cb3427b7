"""StateQuant: a fixed grid as a callable for the neurons of others, such as snnTorch's ``state_quant`` argument."""

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from spikequant.errors import FormatError, SpecError, SpikequantError
from spikequant.numerics import Affine, Gradient, Grid, bounds, levels, midpoints, snap, through, to
from spikequant.numerics.snap import stacked
from spikequant.quantizers.specs import AnySpec, QuantizerSpec

SPEC: TypeAdapter[QuantizerSpec] = TypeAdapter(AnySpec)


class StateQuant(nn.Module):
    """A membrane on a grid that its spec alone fixes: pass it where snnTorch takes ``state_quant``.

    Values, gradient and saturation are those of ``spikequant.numerics.snap``: half, single and double precision in and out, whole
    numbers to single precision, no copy per level, both infinities to their own end, NaN refused. The spec travels in the
    ``state_dict``, and loading takes it over. The module pickles, copies and moves with its neuron, and can be compiled as one graph.

    Raises:
        SpecError: the spec needs data, rounds stochastically, or its levels coincide.

    Source: SQUAT, section III; snnTorch's ``state_quant`` has the same levels and nearest-level rule.

    >>> from spikequant.quantizers import Uniform
    >>> StateQuant(Uniform(bits=2, low=-1.0, high=1.2))(torch.tensor([0.1, 7.0, -torch.inf])).tolist()
    [-0.2666666507720947, 1.2000000476837158, -1.0]
    """

    place: Tensor
    held: Grid
    gradient: Gradient

    def __init__(self, spec: QuantizerSpec) -> None:
        super().__init__()
        # Not persistent: it only tells the grid, kept in float32 whatever the neuron's precision, where to go.
        self.register_buffer("place", torch.empty(0), persistent=False)
        self._take(spec)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` on the grid, with a straight-through gradient."""
        x = x if x.is_floating_point() else x.float()  # a level between whole numbers would be cut off
        if torch.compiler.is_compiling():
            return self._traced(x)
        return snap(self.grid(), x, self.spec.rounding_rule, self.spec.gradient)

    def grid(self) -> Grid:
        """The grid, on the module's device."""
        if self.held[0].device != self.place.device:
            self.held = to(self.held, self.place)
        return self.held

    def _take(self, spec: QuantizerSpec) -> None:
        if spec.rounding_rule == "stochastic":
            raise SpecError(f"{spec.label()}: a guest's neuron names no noise; round to nearest, or adopt the network")
        self.spec, self.held = spec, to(spec.grid(), self.place)
        self.rounding_rule, self.gradient = spec.rounding_rule, spec.gradient
        self.table, self.middles = levels(self.held), midpoints(self.held)

    def _traced(self, x: Tensor) -> Tensor:
        """The same values in operations that a compiler can follow; rounding other than to the nearest level cannot be traced."""
        if self.spec.rounding_rule not in ("nearest_even", "half_up"):
            raise SpecError(f"rounding {self.spec.rounding_rule!r} cannot be compiled; use 'nearest_even'")
        torch._assert_async(~torch.isnan(x).any(), "cannot quantize NaN; find where it arises")
        wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        value = self._nearest(wide.contiguous()).to(x.dtype)
        return through(value, self._sloped(x))

    def _sloped(self, x: Tensor) -> Tensor:
        """What has the slope of the spec's straight-through gradient, by which alone it counts."""
        if self.gradient == "stacked":
            return x * stacked(to(self.held, x), x.detach())
        low, high = (bound.to(x.device, x.dtype) for bound in bounds(self.held))
        return x.clamp(low, high) if self.gradient == "mask" else x

    def _nearest(self, wide: Tensor) -> Tensor:
        if not isinstance(self.held, Affine):
            return self.table.to(wide.device)[torch.bucketize(wide, self.middles.to(wide.device, wide.dtype))]
        step, lowest, shift = (value.to(wide.device) for value in self.held[:3])
        quotient = wide / step - shift
        below = torch.floor(quotient)  # a half added to 0.49999997 would be 1
        rounded = torch.round(quotient) if self.spec.rounding_rule == "nearest_even" else below + (quotient - below >= 0.5)
        code = (rounded - lowest).clamp(0, self.held.size - 1).to(torch.int32)
        return step * (code + lowest + shift)

    def get_extra_state(self) -> Tensor:
        """The spec, as the bytes of its JSON: a tensor, so that every format of weights can hold it."""
        return torch.frombuffer(bytearray(self.spec.model_dump_json().encode()), dtype=torch.uint8).clone()

    def set_extra_state(self, state: object) -> None:
        """Take over the spec of a loaded neuron.

        Raises:
            FormatError: it is none.
        """
        try:
            self._take(SPEC.validate_json(bytes(state.tolist())))  # type: ignore[attr-defined]
        except (SpikequantError, AttributeError, TypeError, ValueError) as error:
            raise FormatError(f"the state of a StateQuant holds no spec of a grid: {error}") from None

    def extra_repr(self) -> str:
        """Shown when a model is printed."""
        return f"{self.spec.label()}, bits={self.spec.width}"
