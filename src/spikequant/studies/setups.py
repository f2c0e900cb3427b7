"""From drafts to the setups of trials: every field checked, all mistakes together, each with its place in the document."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from spikequant.errors import DataError, SpecError, closest, nearest, unknown
from spikequant.studies import places
from spikequant.studies.grid import Draft, Misplaced
from spikequant.studies.measures import check_objective
from spikequant.studies.procedure import Procedure, Procedures, Setup
from spikequant.studies.study import OWN, Study


def checked(
    study: Study, chosen: Sequence[Draft], procedures: Procedures, absent_data: bool = False
) -> tuple[dict[str, Setup], list[Misplaced]]:
    """The setups of trials by name, and what is wrong with their fields.

    Trials whose procedure is unknown are read as those of the nearest one, so that their other mistakes are told as well.

    Raises:
        DataError: nothing is wrong but data that is absent or damaged, and ``absent_data`` is not set.
    """
    setups, wrong, absent = dict[str, Setup](), [*_fields_of_no_procedure(chosen, procedures)], list[DataError]()
    for draft in chosen:
        name = str(draft.fields.get("procedure", ""))
        if name not in procedures:
            missing = f"is required: one of {', '.join(sorted(procedures))}"
            wrong.append(Misplaced(_origin(draft, ("procedure",)), unknown("procedure", name, procedures) if name else missing))
        procedure = procedures.get(_meant(draft, procedures))
        if procedure is None:
            continue
        try:
            setups[draft.name] = _setup(draft, procedure)
            told = list(_wrong(study, draft, procedure, setups[draft.name]))
        except SpecError as error:
            told = [str(error)]
        except DataError as error:
            absent.append(error)
            continue
        wrong += [Misplaced(_origin(draft, path), text) for each in told for path, text in complaints(each)]
    wrong += _unranked(study, chosen, setups)
    if absent and not wrong and not absent_data:
        raise absent[0]
    return setups, wrong


def _meant(draft: Draft, procedures: Procedures) -> str:
    """The procedure that a trial names or, by what it names, most likely means; the empty string where none is near."""
    name = str(draft.fields.get("procedure", ""))
    return name if name in procedures else closest(name, procedures) or ""


def _fields_of_no_procedure(chosen: Sequence[Draft], procedures: Procedures) -> Iterator[Misplaced]:
    """Fields of defaults and options that no procedure in use has: a procedure takes of these what it knows."""
    meant = {_meant(draft, procedures) for draft in chosen}
    used = procedures.keys() if "" in meant else meant
    known = {"procedure", "tags"} | {name for procedure in used for name in procedures[procedure].setup.model_fields}
    for draft in chosen:
        for name in draft.fields.keys() - known:
            origin = _origin(draft, (name,))
            if origin[0] != "trials":
                yield Misplaced(origin, "belongs into a group of trials" if name in OWN else f"no such field{nearest(name, known)}")


def _setup(draft: Draft, procedure: Procedure) -> Setup:
    known = procedure.setup.model_fields
    kept = {name: value for name, value in draft.fields.items() if name in known or _origin(draft, (name,))[0] == "trials"}
    kept = {name: value for name, value in kept.items() if name != "procedure"}
    if strangers := kept.keys() - known - {"seed"}:
        raise SpecError("\n".join(f"Setup.{name}: no such field{nearest(name, known.keys() | OWN)}" for name in sorted(strangers)))
    if "seed" in kept:
        raise SpecError(f"Setup.seed: must be given as seeds = [{kept['seed']!r}], of the group or the study")
    return procedure.setup.read(kept | {"seed": draft.seed})


def _wrong(study: Study, draft: Draft, procedure: Procedure, setup: Setup) -> Iterator[str]:
    """What is wrong with a setup whose fields are right, each by itself."""
    if procedure.needs(setup) and study.trials[draft.group].reference is None:
        yield "Setup.reference: is required by what the trial starts from or measures; name the group of its float networks"
    try:
        procedure.check(setup)
    except SpecError as error:
        yield str(error) if re.match(r"Setup\.", str(error)) else f"Setup: {error}"


def _unranked(study: Study, chosen: Sequence[Draft], setups: dict[str, Setup]) -> Iterator[Misplaced]:
    """An objective that cannot rank trials, else the trials that do not measure it."""
    try:
        check_objective(study.objective, [name for draft in chosen for name in _measures(draft, setups)])
    except SpecError as error:
        yield Misplaced(("objective",), str(error))
        return
    for draft in (draft for draft in chosen if draft.name in setups):
        if study.objective not in (found := _measures(draft, setups)):
            yield Misplaced(_origin(draft, ("measures",)), f"must hold the study's objective {study.objective!r}, got {list(found)}")


def _measures(draft: Draft, setups: dict[str, Setup]) -> Sequence[Any]:
    said = setups[draft.name].measures if draft.name in setups else draft.fields.get("measures")
    return said if isinstance(said, list | tuple) else ()


def complaints(told: str) -> Iterator[tuple[places.Path, str]]:
    """The single complaints of a spec, each with its path: ``Study.trials.0.name: is required``.

    >>> list(complaints("Study.trials.0.name: is required"))
    [(('trials', 0, 'name'), 'is required')]
    """
    for line in told.splitlines():
        place, separator, text = line.partition(": ")
        words = place.split(".")[1:]
        path = tuple(int(word) if word.isdigit() else word for word in words)
        path = (*path, "kind") if text.startswith("unknown kind ") else path
        yield (path, text) if separator and re.match(r"[A-Z]\w*(\.|$)", place) else ((), line)


def _origin(draft: Draft, path: places.Path) -> places.Path:
    """The place in the document that set a field of a trial, or the field that holds it; else the trial's group."""
    path = _without_kinds(path, draft.fields)
    for length in range(len(path), 0, -1):
        if path[:length] in draft.origins:
            return (*draft.origins[path[:length]], *path[length:])
    return ("trials", draft.group, *path)


def _without_kinds(path: places.Path, table: Any) -> places.Path:
    """A path as the document has it: between a table and its field, pydantic names the table's kind."""
    if not path or not isinstance(table, dict):
        return path
    if path[0] not in table and path[0] == table.get("kind"):
        return _without_kinds(path[1:], table)
    return (path[0], *_without_kinds(path[1:], table.get(path[0])))
