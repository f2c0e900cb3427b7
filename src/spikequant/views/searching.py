"""The verb that searches: explore."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spikequant import files
from spikequant.views.notebook import front_table
from spikequant.views.progress import display
from spikequant.views.tables import csv_text, text_table
from spikequant.views.verbs import BROKEN, Answer, Debug, Json, asked
from spikequant.views.wording import distance, duration, percent, size

if TYPE_CHECKING:
    from spikequant.studies import Evaluated, Exploration, Priced

STRATEGIES = "halving, published (Q-SpiNN's), every, sensitivity (per layer), tpe, nsga2, nsga3 or random."
MODEL = "A folder of a trained float network, made by save, or package.module:factory."


def explore(  # noqa: PLR0913 - the options of the command line
    model: Annotated[str, typer.Argument(help=MODEL)],
    data: Annotated[str, typer.Option(help="Data set by name; a share of its training images judges the candidates.")],
    space: Annotated[Path, typer.Option(help="A TOML file: lists of choices, each from fine to coarse.")],
    out: Annotated[Path, typer.Option(help="Folder for the search; one that was interrupted there goes on.")],
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Accuracy that may be lost, as a fraction.")] = 0.01,
    max_emd: Annotated[float | None, typer.Option(min=0, max=1, help="EMD from the float network that is allowed.")] = None,
    objectives: Annotated[str, typer.Option(help="Of accuracy, memory, emd, traffic, steps; by commas.")] = "accuracy,memory,emd",
    strategy: Annotated[str, typer.Option(help=STRATEGIES)] = "halving",
    budget: Annotated[int | None, typer.Option(min=1, help="Most candidates to evaluate.")] = None,
    validation: Annotated[float, typer.Option(help="Share of the training images held out to judge by.")] = 0.1,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 128,
    epochs: Annotated[int, typer.Option(min=1, help="Of every candidate's training, in the scheme itq.")] = 1,
    lr: Annotated[float, typer.Option(help="Highest learning rate, in the scheme itq; STDP takes none.")] = 1e-3,
    seed: Annotated[int, typer.Option(min=0, help="Of the held-out share, of training and of samplers.")] = 0,
    as_published: Annotated[bool, typer.Option(help="Judge by the test images, as papers do; the record says so.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Search for the smallest recipe that keeps accuracy and firing, and show the trade-offs on the way."""
    from spikequant.studies import Options, Search, search_saved
    from spikequant.views.report import write_report

    options = Options(tuple(objectives.split(",")), strategy, max_drop, max_emd, budget, seed, as_published)
    wanted = Search(model, data, space, options, validation, batch_size, epochs, lr)
    files.refuse_unwritable(out)
    found, record = _drawn(search_saved(wanted, out))
    record["setup"]["command"] = asked()
    table = front_table(found)
    files.write(out / "front.csv", csv_text(table))
    files.write(out / "front.json", json.dumps(record, allow_nan=False) + "\n")
    report = str(write_report(record, out / "report.html"))
    document = found.to_dict() | {"front": [each.fields() for each in found.front()], "recipe": None, "network": None, "report": report}
    notes = [record["setup"]["note"]] if "note" in record["setup"] else []
    if not any(each.passed for each in found.evaluated):
        return Answer(document, "\n".join([text_table(table), "", found.how_near(max_drop, max_emd), *notes, f"report: {report}"]), BROKEN)
    best, recipe = found.best_candidate(), found.best()
    files.write(out / "best.toml", recipe.to_toml())
    places = [f"network: {out / 'best'}", f"its recipe alone: {out / 'best.toml'}", f"report: {report}"]
    lines = [text_table(table), "", f"best: {_told(best)}", *notes, *places]
    return Answer(document | {"recipe": recipe.fields(), "network": str(out / "best")}, "\n".join(lines))


def _drawn(events: Iterable[object]) -> "tuple[Exploration, dict[str, Any]]":
    """Draw the search until its end: the price, then every candidate with the front so far."""
    from spikequant.studies import Exploration, Judged, Priced

    total = None
    ended: list[Any] = []
    with display() as shown:
        for event in events:
            if isinstance(event, Priced):
                total = event.evaluations
                shown.line(_price(event))
            elif isinstance(event, Judged):
                front = event.so_far.front()
                shown.advance(len(event.so_far.evaluated), total, f"{len(front)} on the front", "candidate")
                if event.candidate in front:
                    shown.line(f"on the front: {_told(event.candidate)}{'' if event.candidate.passed else ', beyond the bounds'}")
            elif isinstance(event, Exploration | dict):
                ended.append(event)
    return ended[0], ended[1]


def _told(each: "Evaluated") -> str:
    measures = each.measures
    return f"{each.label}: {percent(measures.accuracy)}, {size(measures.memory_bits)}, EMD {distance(measures.emd)}"


def _price(event: "Priced") -> str:
    each = ", ".join(f"{scheme} {duration(seconds)}" for scheme, seconds in event.seconds.items())
    return f"at most {event.evaluations} candidates, each about {each}: {duration(event.evaluations * max(event.seconds.values()))} at most"
