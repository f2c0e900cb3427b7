"""Results as a notebook shows them: a figure where there is one to draw (of trials: two that have accuracy and memory), and a table."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from spikequant.errors import SpecError
from spikequant.views.tables import Column, Table
from spikequant.views.wording import distance, percent, size

if TYPE_CHECKING:
    from spikequant.behavior import Drift
    from spikequant.deploy import Program
    from spikequant.studies import Exploration
    from spikequant.studies.events import StudyEnded
    from spikequant.views.figures import Figure

CANDIDATES = (
    Column("candidate", "candidate", number=False),
    Column("accuracy", "accuracy", percent),
    Column("emd", "EMD", distance),
    Column("memory_bits", "memory", size),
    Column("within", "within the bounds", number=False),
)
OPERATIONS = (
    Column("name", "operation", number=False),
    Column("kind", "kind", number=False),
    Column("inputs", "from", number=False),
    Column("shape", "gives", number=False),
    Column("tensors", "numbers stored"),
)


def html(result: object) -> str:
    """A result as HTML; all names in it stay text.

    Raises:
        SpecError: nothing is known of how to show it.
    """
    kind = type(result).__name__
    if kind not in SHOWN:
        raise SpecError(f"a result of type {kind} has no picture; those that have: {', '.join(SHOWN)}")
    return str(SHOWN[kind](result))


def front_table(found: "Exploration") -> Table:
    """The front of a search, the smallest first."""
    kept = sorted(found.front(), key=lambda each: each.measures.memory_bits)
    rows = [
        (each.label, each.measures.accuracy, each.measures.emd, each.measures.memory_bits, "yes" if each.passed else "no") for each in kept
    ]
    return Table(CANDIDATES, rows)


def _drift(drift: "Drift") -> Markup:
    from spikequant.views.columns import compared
    from spikequant.views.figures import across, causes

    told = f"EMD {distance(drift.emd)}, where sampling alone gives {distance(drift.emd_floor)}; {drift.images} images"
    shown = {"network": drift}
    return _joined(told, [causes(shown), across(shown)], compared(drift))


def _exploration(found: "Exploration") -> Markup:
    from spikequant.views.figures.searched import searched

    told = f"{len(found.evaluated)} candidates, {len(found.front())} on the front; judged on {found.judged_on} images"
    figures = [searched(found)] if found.finished else []
    return _joined(told, figures, front_table(found))


def _program(program: "Program") -> Markup:
    from spikequant.views.figures.stored import stored

    header = program.header
    numbers = {op.name: sum(t.size for name, t in program.tensors.items() if name.startswith(f"{op.name}.")) for op in header.operations}
    rows = [
        (op.name, type(op).__name__.lower(), ", ".join(op.inputs), " × ".join(map(str, program.shapes[op.name])), numbers[op.name])
        for op in header.operations
    ]
    return _joined(str(program), [stored(numbers)], Table(OPERATIONS, rows))


def _study(end: "StudyEnded") -> Markup:
    from spikequant.views.figures import outcomes
    from spikequant.views.trials import trials_table

    trials = [dict(trial) for trial in end.trials]
    done = sum(trial["state"] == "done" for trial in trials)
    drawn = outcomes(trials)
    return _joined(f"{done} of {len(trials)} trials done", [drawn] if drawn else [], trials_table(trials))


SHOWN: dict[str, Callable[[Any], Markup]] = {"Drift": _drift, "Exploration": _exploration, "Program": _program, "StudyEnded": _study}


def _joined(told: str, figures: "list[Figure]", table: Table) -> Markup:
    drawn = [Markup("<div>{}</div><p><small>{}</small></p>").format(Markup("").join(each.panels), each.caption) for each in figures]
    return Markup("<div><p>{}</p>{}{}</div>").format(told, Markup("").join(drawn), _table(table))


def _table(table: Table) -> Markup:
    head = Markup("").join(Markup("<th>{}</th>").format(column.title) for column in table.columns)
    rows = [Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row) for row in table.cells()]
    body = Markup("").join(Markup("<tr>{}</tr>").format(row) for row in rows)
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(head, body)
