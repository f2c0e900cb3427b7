"""The report: one offline HTML file made from records only; its tables as CSV, Markdown and LaTeX, its figures as SVG and PDF beside it."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spikequant import files
from spikequant.behavior import Drift
from spikequant.errors import SpecError
from spikequant.studies.doubt import is_reading
from spikequant.views import columns
from spikequant.views.advice import crossed, worst_layers
from spikequant.views.examination import codes, health
from spikequant.views.figures import (
    Figure,
    across,
    causes,
    disagreement,
    distributions,
    freezing,
    occupancy,
    on_paper,
    outcomes,
    shares,
    tradeoff,
    trends,
)
from spikequant.views.latex import latex
from spikequant.views.page import page
from spikequant.views.record import Record, StateHealth, parse
from spikequant.views.tables import Table, csv_text, markdown
from spikequant.views.trials import UNCERTAIN, trials_table
from spikequant.views.verdict import Verdict, kept, verdict
from spikequant.views.wording import distance, duration, percent, size

Document = Drift | Mapping[str, Any]
Documents = Document | Sequence[Document]


def write_report(documents: Documents, path: Path | str) -> Path:
    """Write the report of a comparison, of a record or of several, to ``path``, and beside it the folders ``tables`` and ``figures``.

    A name that ends in ``.html`` or ``.htm`` is the report's own; any other is a folder's, in which it is ``report.html``.

    Raises:
        SpecError: documents that are neither.
        FormatError: a value of a record breaks its rule.
        SpikequantError: the folder cannot be written to.
    """
    path = Path(path)
    path = path if path.suffix.lower() in (".html", ".htm") and not path.is_dir() else path / "report.html"
    sections = [section(record, number) for number, record in enumerate(_records(documents))]
    written = _page(sections)
    for folder in ("tables", "figures"):
        files.folder(path.parent / folder)
    for each in sections:
        for name, table in each["files"].items():
            write_table(table, path.parent / "tables" / f"{name}{each['suffix']}")
        for name, figure in each["figures"].items():
            svg, pdf = on_paper(figure)
            files.write(path.parent / "figures" / f"{name}{each['suffix']}.svg", svg)
            files.write(path.parent / "figures" / f"{name}{each['suffix']}.pdf", pdf)
    files.write(path, written)
    return path


def _records(documents: Documents) -> list[Record]:
    found = documents if isinstance(documents, Sequence) else [documents]
    if not found or not all(isinstance(each, Drift | Mapping) for each in found):
        raise SpecError(
            f"a report is made from a comparison, a record as read from its JSON file (front.json for a search), or a list of such, "
            f"got {documents!r:.80}"
        )
    return [parse(each.to_dict() if isinstance(each, Drift) else dict(each)) for each in found]


def write_table(table: Table, path: Path) -> None:
    """Write a table three times: as CSV, Markdown and LaTeX."""
    files.write(path.with_name(f"{path.name}.csv"), csv_text(table))
    files.write(path.with_name(f"{path.name}.md"), markdown(table) + "\n")
    files.write(path.with_name(f"{path.name}.tex"), latex(table) + "\n")


def html(*records: Record) -> str:
    """The page: the same records give the same bytes."""
    return _page([section(record, number) for number, record in enumerate(records)])


def _page(sections: Sequence[Mapping[str, Any]]) -> str:
    records = [each["record"] for each in sections]
    return page({"sections": sections, "record": records[0], "words": _words(records)})


def section(record: Record, number: int) -> dict[str, Any]:
    """What the page says of one record; of several, names of figures and files end in their number."""
    record = _marked(record)
    found = verdict(record)
    tables = _tables(record, found)
    return {
        "record": record,
        "suffix": f"-{number + 1}" if number else "",
        "verdict": found,
        "facts": _facts(record),
        "files": tables,
        "tables": {name: _downloadable(table, f"{name}.csv") for name, table in tables.items()},
        "telling_layers": columns.layers(found.drifts),
        "worst": worst_layers(found.drifts),
        "crossed": crossed(found.drifts),
        "health": {mark: _health(variant.state_health) for mark, variant in found.telling.items() if variant.state_health},
        "configurations": {
            mark: json.dumps(variant.configuration, indent=1) for mark, variant in found.telling.items() if variant.configuration
        },
        "figures": _figures(record, found),
        "marks": {variant.name: mark for mark, variant in found.telling.items()},
        "above": {variant.name for variant in record.variants if variant.emd > variant.emd_floor},
        "implied": columns.implied(record),
        "seeded": any(variant.seeds for variant in record.variants),
        "near": {variant.name for variant in kept(record)},
        "setup": _setup(record),
        "uncertain": any(is_reading(variant.configuration) for variant in record.variants)
        or any(trial.uncertain for trial in record.trials),
        "absent": absent(record, found),
    }


def _marked(record: Record) -> Record:
    """The record with a mark after the names of variants that are our readings; the table of trials marks its own."""
    named = [v.model_copy(update={"name": v.name + UNCERTAIN}) if is_reading(v.configuration) else v for v in record.variants]
    return record.model_copy(update={"variants": tuple(named)})


def absent(record: Record, found: Verdict) -> list[str]:
    """What the record does not hold, and so the report does not show; nothing is computed again for it."""
    lacks = []
    if record.variants and not found.drifts:
        lacks.append("firing rates per layer and channel (they are in a run folder, not in text records)")
    if not record.variants:
        lacks.append("EMD and its floor against a reference")
    if not any(variant.ledger for variant in found.telling.values()):
        lacks.append("the memory by its parts")
    if not any(variant.state_health for variant in found.telling.values()):
        lacks.append("state codes in use and stalled leak (spikequant doctor MODEL --data DATA shows them)")
    if not any(drift.agreement is not None for drift in found.drifts.values()):
        lacks.append("spikes compared one by one")
    elif not any(layer.disagreement for drift in found.drifts.values() for layer in drift.layers):
        lacks.append("spike disagreement at every time step (only the step at which spikes first differ)")
    return lacks


def _health(layers: Sequence[StateHealth]) -> dict[str, Any]:
    advice = [f"{layer.layer}: {advice}" for layer in layers for advice in layer.advice]
    return {"table": health(layer.model_dump() for layer in layers), "advice": advice}


def _tables(record: Record, found: Verdict) -> dict[str, Table]:
    tables: dict[str, Table] = {}
    if record.variants:
        tables["variants"] = columns.variants(record)
    if record.watched:
        tables["layers"] = columns.layers({variant.name: drift for variant, drift in record.watched})
    if record.trials:
        tables["trials"] = trials_table(trial.model_dump() for trial in record.trials)
    if any(variant.ledger for variant in found.telling.values()):
        tables["memory"] = columns.ledger(found.telling)
    return tables | {name: table for name, table in _telling(found).items() if table.rows}


def _telling(found: Verdict) -> dict[str, Table]:
    """What the page says of the telling variants, under their names: what to do, channels that died or came back, codes of the state."""
    drifts = {found.telling[mark].name: drift for mark, drift in found.drifts.items()}
    watched = {variant.name: [each.model_dump() for each in variant.state_health] for variant in found.telling.values()}
    return {
        "drifting": worst_layers(drifts),
        "crossed": crossed(drifts, most=None),
        "state": columns.stacked({name: health(layers) for name, layers in watched.items()}),
        "codes": columns.stacked({name: codes(layers) for name, layers in watched.items()}),
    }


def _downloadable(table: Table, name: str) -> dict[str, Any]:
    content = base64.b64encode(csv_text(table).encode()).decode()
    return {"table": table, "file": name, "data": f"data:text/csv;base64,{content}"}


def _figures(record: Record, found: Verdict) -> dict[str, Figure]:
    drawn: list[Figure | None] = [] if len(record.variants) > 1 else [outcomes([trial.model_dump() for trial in record.trials])]
    if len(record.variants) > 1:
        drawn += [tradeoff(record, found.telling), trends(record)]
    if found.drifts:
        drawn += [distributions(found.drifts), causes(found.drifts), across(found.drifts), disagreement(found.drifts)]
    if len(record.watched) > 1:
        drawn.append(shares(record))
    drawn += [freezing(name, epochs, record.schedules.get(name), number) for number, (name, epochs) in enumerate(record.froze.items(), 1)]
    drawn.append(occupancy({mark: variant.state_health for mark, variant in found.telling.items()}))
    return {figure.key: figure for figure in drawn if figure}


def _words(records: Sequence[Record]) -> dict[str, str]:
    """The bounds by which channels count as dead or saturated, where a record states them."""
    drift = next((drift for record in records for _, drift in record.watched), None)
    return {} if drift is None else {"dead_below": percent(drift.dead_below), "saturated_above": percent(drift.saturated_above)}


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """The numbers of the first screen: value, name, remark."""
    float_, variants = record.reference, record.variants
    if not variants:
        return [(str(len(record.trials)), "trials", "")]
    floor = max(variant.emd_floor for variant in variants)
    facts = [(percent(float_.accuracy), f"{float_.name} accuracy", size(float_.memory_bits) if float_.memory_bits else "")]
    near = kept(record)
    if len(variants) > 1:
        images = record.setup.get("test_images")
        point = f"a point is {images / 100:.1f} of {images} test images" if isinstance(images, int) else "of float accuracy"
        facts.append((f"{len(near)} of {len(variants)}", "variants within 1 point", point))
        if near:
            facts.append((f"{distance(near[0].emd)} – {distance(near[-1].emd)}", "their EMD from float", "0 is equal firing"))
    else:
        only = variants[0]
        facts.append((percent(only.accuracy), f"{only.name} accuracy", size(only.memory_bits) if only.memory_bits else ""))
        facts.append((distance(only.emd), "EMD", "0 is equal firing"))
        facts.append((f"{percent(float_.dead)} → {percent(only.dead)}", "dead channels", "before and after"))
        training = None if only.drift is None else only.drift.training_floor
        if training is not None:
            facts.append((distance(training.emd), "training floor", f"float twins, {training.pairs} pairs"))
    return [*facts, (distance(floor), "sampling floor", "less cannot be told from noise")]


def _setup(record: Record) -> list[tuple[str, str]]:
    """What the run was, but for its command, which stands apart."""
    shown = {key: value for key, value in record.setup.items() if key != "command" and value is not None}
    if isinstance(shown.get("seconds"), int | float) and math.isfinite(shown["seconds"]):
        shown["seconds"] = duration(shown["seconds"])
    return [(key.replace("_", " "), str(value)) for key, value in shown.items()]
