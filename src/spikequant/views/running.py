"""The verb that runs a study."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from spikequant import files
from spikequant.views.exhibits import covered
from spikequant.views.progress import Display, display, say
from spikequant.views.tables import Column, Table, Value, text_table
from spikequant.views.trials import trials_table
from spikequant.views.verbs import FAILED, GOOD, INTERRUPTED, Answer, Debug, Json
from spikequant.views.wording import duration, percent, plain, size

STUDY = "A name from 'spikequant ls studies', or a TOML file; see docs/studies.md."
LONG_S = 1800
NAMED = 3  # of the trials that run


def run(  # noqa: PLR0913 - the options of the command line
    study: Annotated[str, typer.Argument(help=STUDY)],
    out: Annotated[Path | None, typer.Option(help="Run folder, runs/<study> if not given; a run there goes on.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and what it costs.")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="Only say which tables and figures of the papers it covers.")] = False,
    only: Annotated[str, typer.Option(help="Only trials that bear all these tags, and those that they need.")] = "",
    workers: Annotated[int | None, typer.Option(min=1, help="Trials at a time; as many as fit the cores if not given.")] = None,
    storage: Annotated[str | None, typer.Option(help="postgresql://... for many machines; a file in the run folder if not given.")] = None,
    join: Annotated[bool, typer.Option("--join", help="Help others that run this study in the same storage.")] = False,
    grace_s: Annotated[int, typer.Option(min=2, help="With --storage: a trial without a heartbeat for so long is abandoned.")] = 45,
    engine: Annotated[Literal["local", "ray"], typer.Option(help="Where trials run: on this machine, or on a Ray cluster.")] = "local",
    deterministic: Annotated[bool, typer.Option("--deterministic", help="Refuse operations of torch that are not deterministic.")] = False,
    results: Annotated[Path | None, typer.Option(help="Folder of text records of done trials, to read and write; else results.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Run a study, or go on with it: every trial that is not done yet."""
    from spikequant import studies

    plan = studies.plan(study, only, deterministic, absent_data=dry_run or figures)
    if figures:
        return covered(plan)
    place = out or Path("runs") / plan.study.name
    files.refuse_unwritable(place)
    at_a_time = workers or max(1, (os.cpu_count() or 1) // plan.study.threads)
    options = studies.RunOptions(place, at_a_time, storage, join, engine == "ray", results, deterministic, grace_s)
    if dry_run:
        say("measuring a few steps of every kind of trial")
        return _quoted(studies.quoted(plan, studies.states(plan, options), at_a_time), plan.study.name)
    with display() as shown:
        return _answer(watch(studies.run(plan, options), shown), plan.study.name, place, options.texts(plan.study.name))


def watch(events: Iterable[Any], shown: Display) -> Any:
    """Draw the events of a study; the last one, which holds the trials."""
    event: Any = None
    for event in events:
        if hasattr(event, "total"):
            shown.advance(event.done, event.total, _state_of(event), "trial")
        elif hasattr(event, "state"):
            again = "; it is tried again" if event.again else ""
            shown.line(f"{event.name}: {event.state}" + ("" if event.reason is None else f": {event.reason}{again}"))
        elif hasattr(event, "text"):
            shown.line(event.text)
    return event


def _state_of(progress: Any) -> str:
    at = [f"{name} {percent(step / steps) if steps else step}" for name, step, steps in progress.running]
    more = f" and {len(at) - NAMED} more" if len(at) > NAMED else ""
    parts = [f"running {', '.join(at[:NAMED])}{more}"] if at else []
    parts += [f"{progress.failed} failed"] if progress.failed else []
    parts += [f"best {progress.best[1]:.4f} ({progress.best[0]})"] if progress.best else []
    return "; ".join(parts) or "nothing at work"


def _answer(end: Any, study: str, out: Path, texts: Path) -> Answer:
    from spikequant.views.report import write_report, write_table
    from spikequant.views.study import study_documents

    trials = [dict(trial) for trial in end.trials]
    files.folder(out / "tables")
    table = trials_table(trials)
    write_table(trials_table(trials, every=True), out / "tables" / "main")
    report = None
    if any(trial["state"] == "done" for trial in trials) and not end.interrupted:
        say("drawing the report")
        report = str(write_report(study_documents(out, [texts]), out / "report.html"))
    undone = [trial for trial in trials if trial["state"] != "done"]
    document = {"version": 1, "study": study, "trials": trials, "out": str(out), "interrupted": end.interrupted, "stopped": end.stopped}
    document["report"] = report
    reasons = [f"{plain(trial['name'])}: {trial['state']}: {plain(str(trial['reason']))}" for trial in undone if "reason" in trial]
    verdict = f"{len(trials) - len(undone)} of {len(trials)} trials done; tables and records in {out}"
    drawn = [] if report is None else [f"report: {report}"]
    goes_on = ["the same command goes on"] if end.interrupted else []
    stopped = [f"stopped: {plain(end.stopped)}"] if end.stopped else []
    code = INTERRUPTED if end.interrupted else FAILED if undone else GOOD
    return Answer(document, "\n".join([text_table(table), *reasons, *stopped, verdict, *drawn, *goes_on]), code)


def _quoted(document: dict[str, Any], study: str) -> Answer:
    price, trials = document["price"], document["trials"]
    columns = [Column("name", "trial", number=False), Column("state", "state", number=False), Column("seconds", "time", _duration)]
    rows: list[list[Value]] = [[trial["name"], trial["state"], trial.get("price", {}).get("seconds")] for trial in trials]
    states = Counter(trial["state"] for trial in trials)
    absent = dict.fromkeys(trial["reason"] for trial in trials if trial["state"] == "data_absent")
    lines = [
        f"{len(trials)} trials, {states['done']} done, {len(trials) - states['done']} to run",
        *(f"{states['data_absent']} of them wait for data, and have neither key nor price: {plain(reason)}" for reason in absent),
        f"time: {duration(price['seconds'])} on {price['workers']} workers, from a few measured steps; measuring at the end comes on top",
        f"disk: {size(8 * price['disk_bytes'])}; memory: {size(8 * price['memory_bytes'])} a worker",
    ]
    if price["alone_seconds"] > price["worker_seconds"]:
        gain = price["alone_seconds"] / price["worker_seconds"]
        lines.append(f"each trial by itself, with the float networks that it needs: {gain:.1f} times the work")
    if price["from_tree"] and price["seconds"] > LONG_S:
        lines.append("this spikequant runs from a source tree: install a wheel for so long a run, lest edits reach it halfway")
    return Answer({"version": 1, "study": study, **document}, "\n".join([text_table(Table(columns, rows)), *lines]))


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)
