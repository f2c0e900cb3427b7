"""The report: one offline HTML file made from a record only, and its tables as CSV beside it."""

import base64
import hashlib
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from spikequant import files
from spikequant.views import columns
from spikequant.views.figures import Figure, causes, distributions, shares, tradeoff
from spikequant.views.record import Record, Variant, parse
from spikequant.views.tables import Table, csv_text
from spikequant.views.verdict import kept, verdict
from spikequant.views.wording import distance, duration, percent, size


def write_report(document: Mapping[str, Any], path: Path) -> Path:
    """Write a record's report to ``path`` and its tables beside it as CSV.

    Raises:
        FormatError: a value of the record breaks its rule.
        SpikequantError: the folder cannot be written to.
    """
    record = parse(dict(document))
    page = html(record, path.stem)
    files.folder(path.parent)
    for name, table in _tables(record).items():
        files.write(path.with_name(f"{path.stem}-{name}.csv"), csv_text(table))
    files.write(path, page)
    return path


def html(record: Record, stem: str = "report") -> str:
    """The page: the same record gives the same bytes."""
    found = verdict(record)
    style = _template_text("report.css")
    return _environment().get_template("report.html.j2").render(
        record=record,
        verdict=found,
        facts=_facts(record),
        tables={name: _downloadable(table, f"{stem}-{name}.csv") for name, table in _tables(record).items()},
        layers=columns.layers({mark: variant.drift for mark, variant in found.telling.items()}),
        figures=_figures(record, found.telling),
        marks={variant.name: mark for mark, variant in found.telling.items()},
        near={variant.name for variant in kept(record)},
        dead_below=percent(record.variants[0].drift.dead_below),
        saturated_above=percent(record.variants[0].drift.saturated_above),
        setup=_setup(record),
        style=Markup(style),
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )  # fmt: skip


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("spikequant.views"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _template_text(name: str) -> str:
    return (resources.files("spikequant.views") / "templates" / name).read_text("utf-8")


def _tables(record: Record) -> dict[str, Table]:
    return {
        "variants": columns.variants(record),
        "layers": columns.layers({variant.name: variant.drift for variant in record.variants}),
    }


def _downloadable(table: Table, name: str) -> dict[str, Any]:
    content = base64.b64encode(csv_text(table).encode()).decode()
    return {"table": table, "file": name, "data": f"data:text/csv;base64,{content}"}


def _figures(record: Record, telling: Mapping[str, Variant]) -> dict[str, Figure]:
    drawn: list[Figure | None] = [distributions(telling), causes(telling)]
    if len(record.variants) > 1:
        drawn = [tradeoff(record, telling), *drawn, shares(record)]
    return {figure.key: figure for figure in drawn if figure}


def _facts(record: Record) -> list[tuple[str, str, str]]:
    """The numbers of the first screen: value, name, remark."""
    float_, variants = record.reference, record.variants
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
        training = only.drift.training_floor
        if training is not None:
            facts.append((distance(training.emd), "training floor", f"float twins, {training.pairs} pairs"))
    return [*facts, (distance(floor), "sampling floor", "less cannot be told from noise")]


def _setup(record: Record) -> list[tuple[str, str]]:
    """What the run was, but for its command, which stands apart."""
    shown = {key: value for key, value in record.setup.items() if key != "command" and value is not None}
    if isinstance(shown.get("seconds"), int | float) and math.isfinite(shown["seconds"]):
        shown["seconds"] = duration(shown["seconds"])
    return [(key.replace("_", " "), str(value)) for key, value in shown.items()]
