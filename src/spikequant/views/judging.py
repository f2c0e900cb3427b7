"""The verbs that judge: demo, compare, report."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from spikequant import files
from spikequant.views.progress import say
from spikequant.views.verbs import BROKEN, GOOD, Answer, Debug, Json, asked

MODEL = "A name from 'spikequant ls models', a folder made by save, or package.module:factory."


def demo(
    out: Annotated[Path, typer.Option(help="Folder for demo.json, report.html and its tables.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of data order, initialization and sampling.")] = 0,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Train a small network on the embedded digits, quantize it many ways, and report which ways still fire like it."""
    from spikequant import studies

    files.refuse_unwritable(out)
    return _reported(studies.demo(seed=seed, progress=say), out, "demo.json")


def compare(  # noqa: PLR0913 - the options of the command line
    reference: Annotated[str, typer.Argument(help="The float network. " + MODEL)],
    network: Annotated[str, typer.Argument(help="The network to judge: a folder, as above.")],
    data: Annotated[str, typer.Option(help="Data set by name; its test split is used.")],
    batches: Annotated[int, typer.Option(min=1, help="Batches over which firing is watched.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 128,
    twin: Annotated[list[str] | None, typer.Option(help="Float network of another seed, for the training floor; may repeat.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for drift.json, report.html and its tables.")] = None,
    max_emd: Annotated[float | None, typer.Option(min=0, help="Exit with 1 if the EMD is above this.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Say how the firing of a network differs from that of its float reference on the same images."""
    from spikequant import studies

    if out is not None:
        files.refuse_unwritable(out)
    say(f"watching {reference} and {network} on {data}")
    answer = _reported(studies.compare_saved(reference, network, data, batches, batch_size, twin or ()), out, "drift.json")
    return answer if max_emd is None else _bounded(answer, max_emd)


def report(
    record: Annotated[Path, typer.Argument(help="A folder of demo, compare, explore or run, results/<study>, or a record in one.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file, or else a folder for it; beside the record if not given.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Draw the report again, from records only, with its tables and figures in folders beside it."""
    from spikequant.views.record import parse
    from spikequant.views.report import write_report
    from spikequant.views.study import documents
    from spikequant.views.verdict import verdict

    found = documents(record)
    path = write_report(found, out or (record if record.is_dir() else record.parent) / "report.html")
    told = [verdict(parse(document)).sentence for document in found]
    return Answer({"report": str(path), "verdict": told[0], "verdicts": told}, "\n".join([*told, str(path)]))


def _reported(document: dict[str, Any], out: Path | None, name: str) -> Answer:
    """Write record and report where a folder is given, and answer with the tables."""
    from spikequant.views import columns
    from spikequant.views.record import parse
    from spikequant.views.report import write_report
    from spikequant.views.tables import text_table
    from spikequant.views.verdict import verdict

    document = document | {"setup": document["setup"] | {"command": asked()}}
    record = parse(document)
    found = verdict(record)
    path = None if out is None else out / "report.html"
    complete = document | {"report": None if path is None else str(path)}
    if out is not None and path is not None:
        files.folder(out)
        files.write(out / name, json.dumps(complete, allow_nan=False) + "\n")
        write_report(complete, path)
    drift = record.variants[0].drift
    table = columns.variants(record) if len(record.variants) > 1 or drift is None else columns.compared(drift)
    lines = [text_table(table), "", found.sentence, found.consequence, *([f"report: {path}"] if path else [])]
    return Answer(complete, "\n".join(lines))


def _bounded(answer: Answer, max_emd: float) -> Answer:
    emd = answer.document["emd"]
    holds = emd <= max_emd
    line = f"EMD {emd:.4f} is {'within' if holds else 'above'} the bound {max_emd}"
    bound = {"measure": "emd", "at_most": max_emd, "value": emd, "holds": holds}
    return Answer({**answer.document, "bounds": [bound]}, f"{answer.text}\n{line}", GOOD if holds else BROKEN)
