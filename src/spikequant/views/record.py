"""A record of a comparison or of a demo as the report reads it: checked, typed, nothing recomputed."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikequant.behavior import Drift
from spikequant.errors import FormatError
from spikequant.views.wording import plain

Fraction = Annotated[float, Field(ge=0, le=1)]
Bits = Annotated[float, Field(gt=0)]

LARGEST = 256 * 2**20
FILES = ("demo.json", "drift.json", "front.json")
REMEDY = "give a folder of demo, compare, explore or run, or the demo.json, drift.json or front.json in it"


class Part(BaseModel):
    """A part of a record: later versions may add fields, none may change its meaning."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Reference(Part):
    """The float network that the variants are compared with; of several ``seeds`` the means, with the ``deviation`` of each measure."""

    name: str
    mean_rate: Fraction | None = None
    dead: Fraction | None = None
    saturated: Fraction | None = None
    accuracy: Fraction | None = None
    memory_bits: Bits | None = None
    seeds: int | None = None
    deviation: dict[str, float] = {}


class StateGrid(Part):
    """The grid of a layer's state, as the state doctor found it."""

    low: float
    high: float
    codes: int
    zero: bool
    on_threshold: bool
    stalled: int


class StateUse(Part):
    """What membranes did before they were rounded to it."""

    low: float
    high: float
    below: Fraction | None = None
    above: Fraction | None = None
    unused: int | None = None


class StateHealth(Part):
    """The state doctor's findings on one layer; ``occupancy``: level, share of membranes, and whether the leak stalls there."""

    layer: str
    spec: str
    grid: StateGrid | None = None
    use: StateUse | None = None
    advice: tuple[str, ...] = ()
    occupancy: tuple[tuple[float, Fraction, bool], ...] = ()


class Variant(Part):
    """One quantized form of the network; of several ``seeds`` the means, with the ``deviation`` of each measure.

    Optional, and left out of the report where absent: ``drift``, layer by layer; ``ledger``, the memory by its parts, in bits;
    ``state_health``, the state doctor's findings; ``configuration``, what it was made from; ``pairing``, where it began from
    scratch, whether with the ``same`` initialization and order of data as the float network or ``independent`` ones.
    """

    name: str
    weights: str
    state: str
    scheme: str
    emd: Fraction
    emd_floor: Fraction
    mean_rate: Fraction | None = None
    dead: Fraction | None = None
    saturated: Fraction | None = None
    drift: Drift | None = None
    configuration: dict[str, Any] = {}
    pairing: str | None = None
    seeds: int | None = None
    deviation: dict[str, float] = {}
    ledger: dict[str, Bits | Literal[0]] = {}
    state_health: tuple[StateHealth, ...] = ()
    bits: int | None = None
    state_bits: int | None = None
    accuracy: Fraction | None = None
    memory_bits: Bits | None = None


class Epoch(Part):
    """One epoch of a training that froze: held-out accuracy as it was and as if all were frozen; of each layer frozen share, gradient."""

    epoch: Annotated[int, Field(ge=1)]
    shares: Annotated[dict[str, Fraction], Field(min_length=1)]
    gradients: dict[str, Annotated[float, Field(ge=0)]]
    accuracy: Fraction | None = None
    hard_accuracy: Fraction | None = None


class Schedule(Part):
    """In which order layers froze, or all at once (``global``), and the share of all steps left when all were frozen."""

    order: Literal["forward", "reverse", "global"]
    tail: Fraction


class Trial(Part):
    """One trial of a study or one candidate of a search; ``uncertain``: our reading of a paper that says too little."""

    name: str
    state: str
    measures: dict[str, int | float | None]
    uncertain: bool = False


class Record(Part):
    """Everything a report shows."""

    version: int = 1
    reference: Reference = Field(alias="float")
    variants: tuple[Variant, ...]
    setup: dict[str, Any] = {}
    title: str = ""
    trials: tuple[Trial, ...] = ()
    froze: dict[str, Annotated[tuple[Epoch, ...], Field(min_length=1)]] = {}
    schedules: dict[str, Schedule] = {}

    @property
    def watched(self) -> list[tuple[Variant, Drift]]:
        """The variants whose firing is known layer by layer, the most faithful first."""
        known = [(variant, variant.drift) for variant in self.variants if variant.drift is not None]
        return sorted(known, key=lambda pair: pair[0].emd)

    @model_validator(mode="after")
    def _drawable(self) -> Self:
        if not self.variants and not self.trials:
            raise ValueError("a record holds at least one variant or trial")
        layers: list[str] = []
        for variant, drift in self.watched:
            layers = layers or [layer.name for layer in drift.layers]
            if not layers or [layer.name for layer in drift.layers] != layers:
                raise ValueError(f"variant {variant.name!r} must have the same layers as the first, at least one")
            for layer in drift.layers:
                shares = (layer.emd, layer.emd_floor, layer.emd_mean_shift, layer.emd_shape, layer.dead, layer.saturated)
                drawn = (*layer.rates, *layer.reference.rates, *shares, layer.reference.dead, layer.reference.saturated)
                if not layer.rates or not layer.reference.rates or min(drawn) < 0 or max(drawn) > 1:
                    raise ValueError(f"variant {variant.name!r}, layer {layer.name!r}: rates and shares must be in [0, 1], at least one")
        return self


def read(path: Path) -> dict[str, Any]:
    """The JSON object in a file written by ``demo`` or ``compare``, or in a folder of theirs.

    Raises:
        FormatError: the file is absent, too large or not a JSON object.
    """
    file = next((path / name for name in FILES if (path / name).is_file()), path)
    try:
        if file.stat().st_size > LARGEST:
            raise FormatError(f"{file} has {file.stat().st_size} bytes; a record has at most {LARGEST}")
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise FormatError(f"cannot read {file}: {error.strerror}; {REMEDY}") from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{file} is not JSON: {error}; {REMEDY}") from error
    if not isinstance(document, dict):
        raise FormatError(f"{file} must hold a JSON object, not a {type(document).__name__}; {REMEDY}")
    return document


def parse(document: dict[str, Any]) -> Record:
    """A record from its JSON form, all text printable; a comparison becomes a record of one variant.

    Raises:
        FormatError: it is no such record, or a value breaks its rule; the message names place, rule and remedy.
    """
    if document.get("version") != 1:
        raise FormatError(f"the record has version {document.get('version')!r}, this spikequant reads 1; {REMEDY}")
    if not {"variants", "layers"} & document.keys():
        raise FormatError(f"no record of a demo, a comparison or a search: it holds neither variants nor layers; {REMEDY}")
    try:
        clean = _printable(document)
        whole = clean if "variants" in clean else _of_comparison(clean)
        return Record.model_validate_json(json.dumps(whole))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in problem["loc"]) or "variants"
        raise FormatError(f"the record is damaged at {place}: {problem['msg']}; {REMEDY}") from error
    except RecursionError:
        raise FormatError(f"the record is damaged: its parts are nested too deep; {REMEDY}") from None


def _printable(value: Any) -> Any:
    """The same without control characters in any text: they would end the process that draws the figures."""
    if isinstance(value, dict):
        return {plain(str(key)): _printable(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(part) for part in value]
    return plain(value) if isinstance(value, str) else value


def _of_comparison(document: dict[str, Any]) -> dict[str, Any]:
    """The record's form of what ``compare`` writes: a drift with its two networks and its setup beside it."""
    drift = Drift.from_dict({key: value for key, value in document.items() if key in Drift.model_fields})
    before = {key: getattr(drift, f"reference_{key}") for key in ("mean_rate", "dead", "saturated")}
    after = drift.model_dump(include={"emd", "emd_floor", "mean_rate", "dead", "saturated"})
    reference, network, setup = (document.get(key, {}) for key in ("reference", "network", "setup"))
    if not all(isinstance(part, dict) for part in (reference, network, setup)):
        raise FormatError(f"the record is damaged: reference, network and setup must be JSON objects; {REMEDY}")
    scheme = {"float": "qat", "scratch": "scratch"}.get(str(network.get("start")), "")
    named = {"name": "network", "weights": network.get("label", ""), "state": "", "scheme": scheme}
    return {
        "float": {"name": "reference"} | before | reference,
        "variants": [named | after | {"drift": drift.to_dict()} | network],
        "setup": setup,
    }
