"""A study's finished trials as the records of a report: one for each float network that others are compared with."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikequant import files
from spikequant.errors import FormatError, SpecError
from spikequant.views.record import FILES, REMEDY, read

if TYPE_CHECKING:
    from spikequant.search import Cell
    from spikequant.search.rows import Tags
    from spikequant.studies.records import Record as Finished

SPREAD = ("accuracy", "emd", "mean_rate", "dead", "saturated")
MEANS = (*SPREAD, "emd_floor", "memory_bits")
PARTS = ("weight_bits", "state_bits")
KEPT_LIMIT = 64 * 2**20
LABELS = {"uniform": "uniform", "lqnet": "LQ-Net", "lsq": "LSQ", "fixed_point": "fixed point", "threshold_centered": "threshold-centered"}


def documents(path: Path) -> list[dict[str, Any]]:
    """What a report is made from: one document of a demo, a comparison or a search; of a study one for each float network.

    Raises:
        FormatError: nothing of the kind is there, or it is damaged.
    """
    if path.is_dir() and not any((path / name).is_file() for name in FILES):
        return study_documents(path)
    return [read(path)]


def study_documents(folder: Path, texts: Sequence[Path] = ()) -> list[dict[str, Any]]:
    """The documents of a run folder, or of a folder of text records such as ``results/<study>``; records in ``texts`` come on top.

    Raises:
        FormatError: a file there is damaged.
        SpecError: there is no record.
    """
    from spikequant.studies.records import read_all

    run = any((folder / name).exists() for name in ("records", "run.json"))
    records = list(read_all([folder / "records" if run else folder, *texts]).values())
    if not records:
        where = "records/*.json" if run else "*.json"
        raise SpecError(f"{folder} holds none of {', '.join(FILES)}, and no record of a finished trial ({where}); {REMEDY}")
    families = _families(records)
    return [_document(folder, base, kept) for base, kept in families.items()]


def _families(records: "Sequence[Finished]") -> "dict[str, list[Finished]]":
    """Trials by the configuration of their reference; those without one stand under the name of the study, if they are no reference."""
    known = {record.key: record for record in records}
    found: dict[str, list[Finished]] = {}
    for record in sorted(records, key=lambda record: record.name):
        base = known.get(str(record.configuration.get("reference")))
        if base is not None:
            found.setdefault(unseeded(base), []).append(record)
    bases = {name: [record for record in records if unseeded(record) == name] for name in found}
    placed = {record.key for kept in [*found.values(), *bases.values()] for record in kept}
    rest = [record for record in records if record.key not in placed]
    return {name: [*bases[name], *kept] for name, kept in found.items()} | ({"": rest} if rest else {})


def unseeded(record: "Finished") -> str:
    """The name of a trial without its seed."""
    return record.name.removesuffix(f"/s{_setup(record)['seed']}")


def _document(folder: Path, base: str, records: "Sequence[Finished]") -> dict[str, Any]:
    from spikequant.search import cells
    from spikequant.studies.dynamics import schedule
    from spikequant.studies.rows import rows_of

    measured = {(cell.tags, cell.measure): cell for cell in cells(rows_of(records), (*MEANS, *PARTS))}
    groups: dict[str, list[Finished]] = {}
    for record in records:
        groups.setdefault(unseeded(record), []).append(record)
    variants = [_variant(folder, name, kept, measured) for name, kept in groups.items() if name != base]
    seeds = sorted({int(_setup(record)["seed"]) for record in records})
    setup = {"study": records[0].study, "data": ", ".join(sorted({str(_setup(record).get("data")) for record in records}))}
    froze = {name: epochs for name, kept in groups.items() if (epochs := _epochs(folder, kept))}
    setup |= {"trials": str(len(records)), "configurations": str(len(groups)), "seeds": ", ".join(map(str, seeds)), **_where(records)}
    return {
        "version": 1,
        "title": base or records[0].study,
        "float": {"name": base or "no reference"} | (_means(groups[base], measured) if base else {}),
        "variants": [variant for variant in variants if "emd" in variant and "emd_floor" in variant],
        "trials": [_trial(record) for record in sorted(records, key=_natural)],
        "froze": froze,
        "schedules": {name: schedule(_setup(groups[name][0])) for name in froze},
        "setup": setup | {"command": f"spikequant run {records[0].study}"},
    }


def _trial(record: "Finished") -> dict[str, Any]:
    from spikequant.studies.doubt import is_reading

    uncertain = is_reading(record.configuration)
    return {"name": record.name, "state": "done", "key": record.key, "measures": record.measures, "uncertain": uncertain}


def _natural(record: "Finished") -> list[str | int]:
    """A key that puts f2 before f10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", record.name)]


def _tags(record: "Finished") -> "Tags":
    """The tags of a trial's row: without its seed, and with the mark of our readings."""
    from spikequant.studies.rows import rows_of

    return rows_of([record])[0].tags


def _means(kept: "Sequence[Finished]", measured: "Mapping[tuple[Tags, str], Cell]") -> dict[str, Any]:
    tags = _tags(kept[0])
    values = {name: measured[tags, name].mean for name in MEANS}
    spread = {name: value for name in SPREAD if (value := measured[tags, name].deviation) is not None}
    return {name: value for name, value in values.items() if value is not None} | {"seeds": len(kept), "deviation": spread}


def _variant(folder: Path, name: str, kept: "Sequence[Finished]", measured: "Mapping[tuple[Tags, str], Cell]") -> dict[str, Any]:
    first = kept[0]
    tags = _tags(first)
    recipe = _setup(first).get("recipe") or {}
    weights, state = recipe.get("weights"), recipe.get("state")
    known = {part: measured[tags, part].mean for part in PARTS}
    told = _kept(folder, kept, "network.json") or {}
    return {
        "name": name,
        "weights": label(weights),
        "state": label(state),
        "bits": None if weights is None else weights.get("bits"),
        "state_bits": None if state is None else state.get("bits"),
        "scheme": _scheme(first),
        "pairing": _pairing(kept),
        "ledger": told.get("ledger") or _parts(known, measured[tags, "memory_bits"].mean),
        "state_health": told.get("state_health") or [],
        "drift": _kept(folder, kept, "drift.json"),
        "configuration": first.configuration,
        **_means(kept, measured),
    }


def _scheme(record: "Finished") -> str:
    if record.configuration.get("procedure") == "post_training":
        return "ptq"
    return "qat" if _setup(record).get("init") == "float" else "scratch"


def _pairing(kept: "Sequence[Finished]") -> str | None:
    """Whether seeds pair with those of the reference; None where training went on from its weights."""
    found = sorted({str(record.configuration["pairing"]) for record in kept if record.configuration.get("pairing")})
    return ", ".join(found) if found and _scheme(kept[0]) == "scratch" else None


def label(spec: Any) -> str:
    """A grid in words, without its bits.

    >>> label({"kind": "uniform", "bits": 2, "low": -1.0, "high": 1.0}), label(None)
    ('uniform [-1, 1]', 'float')
    """
    if not isinstance(spec, dict):
        return "float"
    kind = str(spec.get("kind"))
    limits = f" [{spec['low']:g}, {spec['high']:g}]" if {"low", "high"} <= spec.keys() else ""
    others = [f" {name} {value}" for name, value in spec.items() if name not in ("kind", "bits", "low", "high")]
    return LABELS.get(kind, kind) + limits + "".join(others)


def _parts(known: Mapping[str, float | None], total: float | None) -> dict[str, float]:
    """What text records tell of the memory: weights, state, and what is left of the whole."""
    parts = {part: bits for part, bits in known.items() if bits is not None}
    return parts if total is None or not parts else parts | {"other_bits": max(0.0, total - sum(parts.values()))}


def _kept(folder: Path, kept: "Iterable[Finished]", name: str) -> dict[str, Any] | None:
    """The object that a trial left in a file of this name: the first seed's that is there."""
    document = _left(folder, kept, name)
    return document if isinstance(document, dict) else None


def _epochs(folder: Path, kept: "Iterable[Finished]") -> list[Any]:
    """How the network froze, epoch by epoch, where it did and the run folder holds it."""
    found = _kept(folder, kept, "dynamics.json") or {}
    return [found[number] for number in sorted(found, key=lambda word: (len(word), word))]


def _left(folder: Path, kept: "Iterable[Finished]", name: str) -> Any:
    for record in kept:
        found = next((folder / "trials").glob(f"*-{record.key[:12]}/{name}"), None)
        if found is not None:
            try:
                return json.loads(files.read(found, KEPT_LIMIT))
            except ValueError as error:
                raise FormatError(f"{found} is not JSON: {error}; remove its folder, and the trial is run again") from None
    return None


def _setup(record: "Finished") -> dict[str, Any]:
    setup = record.configuration["setup"]
    assert isinstance(setup, dict), "the configuration of a trial holds its setup"
    return setup


def _where(records: "Sequence[Finished]") -> dict[str, str]:
    names = ("spikequant", "torch", "commit", "machine", "gpu")
    found = {name: sorted({str(r.provenance[name]) for r in records if r.provenance.get(name) is not None}) for name in names}
    return {name: ", ".join(values) for name, values in found.items() if values}
