"""Specs of the user's own: a kind ``package.module:Spec`` stands for a class that has been imported, and imports none itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidatorFunctionWrapHandler

from spikequant.errors import SpecError
from spikequant.quantizers.specs.base import QuantizerSpec


def own(value: Any, shipped: ValidatorFunctionWrapHandler) -> Any:
    """A spec of the user's own as it is, or by its kind; everything else as the ``shipped`` ones are read.

    A recipe may come from a stranger: what it names is not imported.

    Raises:
        SpecError: no imported class bears that kind.
    """
    if isinstance(value, QuantizerSpec) and ":" in value.kind:
        return value
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or ":" not in kind:
        return shipped(value)
    spec = imported(kind)
    if spec is None:
        raise SpecError(f"QuantizerSpec.kind: {kind!r} is code that was not imported: import it, or name it on the command line (--method)")
    return spec.read(value)


def imported(kind: str) -> type[QuantizerSpec] | None:
    """The class of that kind, where it has been imported."""
    below = _below(QuantizerSpec)  # type: ignore[type-abstract]
    return next((spec for spec in below if spec.model_fields["kind"].default == kind), None)


def _below(spec: type[QuantizerSpec]) -> Iterator[type[QuantizerSpec]]:
    for child in spec.__subclasses__():
        yield child
        yield from _below(child)
