"""From groups and axes to single trials: the product of options and seeds, each with its name, its tags and all that it says."""

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from spikequant.errors import SpecError, nearest, unknown
from spikequant.studies.places import Path
from spikequant.studies.study import Fields, Group, Study


class Misplaced(SpecError):
    """A mistake in a study, with its path in the document."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self.path, self.text = path, text


@dataclass(frozen=True)
class Draft:
    """One trial before it is checked: ``origins`` says for each of its fields which place of the document set it."""

    name: str
    group: int
    tags: tuple[str, ...]
    seed: int
    options: Mapping[str, str]
    fields: Fields
    origins: Mapping[Path, Path] = field(repr=False)


def drafts(study: Study) -> Iterator[Draft]:
    """All trials of a study, in the order of its groups, axes and seeds; a group that names an unknown axis has none."""
    for index, group in enumerate(study.trials):
        if not {*group.axes} <= study.axes.keys():
            continue
        dropped = [frozenset(text.split()) for text in group.without]
        choices = [[(axis, option) for option in study.axes[axis]] for axis in group.axes]
        for chosen in itertools.product(*choices):
            for seed in group.seeds or study.seeds:
                draft = _draft(study, index, dict(chosen), seed)
                if not any(words <= {*draft.tags} for words in dropped):
                    yield draft


def _draft(study: Study, index: int, options: dict[str, str], seed: int) -> Draft:
    group = study.trials[index]
    layers: list[tuple[Fields, Path]] = [(study.defaults, ("defaults",)), (group.sets, ("trials", index))]
    layers += [(study.axes[axis][option], ("axes", axis, option)) for axis, option in options.items()]
    fields: Fields = {}
    origins: dict[Path, Path] = {}
    more: list[str] = []
    for layer, place in layers:
        more += _tags(layer)
        merge(fields, {key: value for key, value in layer.items() if key != "tags"}, origins, place)
    tags = (group.name, *group.tags, *options.values(), f"s{seed}", *more)
    name = "/".join([group.name, *options.values(), f"s{seed}"])
    return Draft(name, index, tuple(dict.fromkeys(tags)), seed, options, fields, origins)


def merge(into: Fields, layer: Mapping[str, Any], origins: dict[Path, Path], place: Path, path: Path = ()) -> None:
    """Lay one table over another, table by table; a table of another ``kind`` takes the place of the one below.

    >>> fields = {"weights": {"kind": "uniform", "low": -1.0, "bits": 2}}
    >>> merge(fields, {"weights": {"bits": 4}}, {}, ()); merge(fields, {"weights": {"kind": "lqnet", "bits": 8}}, {}, ())
    >>> fields
    {'weights': {'kind': 'lqnet', 'bits': 8}}
    """
    for key, value in layer.items():
        below, here, origin = into.get(key), (*path, key), (*place, key)
        if isinstance(value, dict) and isinstance(below, dict) and _same_kind(below, value):
            merge(below, value, origins, origin, here)
            continue
        for known in [known for known in origins if known[: len(here)] == here]:
            del origins[known]
        origins[here] = origin
        into[key] = {} if isinstance(value, dict) else value
        if isinstance(value, dict):
            merge(into[key], value, origins, origin, here)  # type: ignore[arg-type]


def _same_kind(below: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    return None in (value.get("kind"), below.get("kind")) or value["kind"] == below["kind"]


def _tags(layer: Mapping[str, Any]) -> list[str]:
    value = layer.get("tags", [])
    return [tag for tag in value if isinstance(tag, str)] if isinstance(value, list) else []


def mistakes(study: Study) -> Iterator[Misplaced]:
    """What is wrong with the names that groups and axes use of each other."""
    seeds = {f"s{seed}" for group in study.trials for seed in group.seeds or study.seeds}
    yield from _twice(("seeds",), study.seeds)
    for axis, options in study.axes.items():
        for option, layer in options.items():
            yield from _of_seeds(("axes", axis, option), (option,), seeds)
            if layer.get("tags", []) != _tags(layer):
                yield Misplaced(("axes", axis, option, "tags"), f"tags must be a list of words, got {layer['tags']!r}")
    for index, group in enumerate(study.trials):
        place: Path = ("trials", index)
        yield from _twice((*place, "axes"), group.axes)
        yield from _twice((*place, "seeds"), group.seeds or ())
        yield from _of_seeds((*place, "name"), (group.name,), seeds)
        yield from _of_seeds((*place, "tags"), group.tags, seeds)
        yield from _unfitting(study, index, place)


def _unfitting(study: Study, index: int, place: Path) -> Iterator[Misplaced]:
    """What a group names that is not there, or is there already."""
    group, names = study.trials[index], [group.name for group in study.trials]
    absent = [axis for axis in group.axes if axis not in study.axes]
    yield from (Misplaced((*place, "axes"), unknown("axis", axis, study.axes)) for axis in absent)
    if names.index(group.name) != index:
        yield Misplaced((*place, "name"), f"group {group.name!r} is there already; choose another name")
    others = [name for name in names if name != group.name]
    if group.reference == group.name:
        yield Misplaced((*place, "reference"), f"group {group.name!r} cannot be its own reference; name another, or leave it out")
    elif group.reference is not None and group.reference not in others:
        yield Misplaced((*place, "reference"), unknown("group", group.reference, others))
    if not absent:
        yield from _unborne_tags(study, group, place)


def _of_seeds(place: Path, words: Sequence[str], seeds: Set[str]) -> Iterator[Misplaced]:
    for word in (word for word in words if word in seeds):
        yield Misplaced(place, f"{word!r} is the tag of a seed, and would be lost in it; choose another name")


def _twice(place: Path, values: Sequence[str | int]) -> Iterator[Misplaced]:
    for value in dict.fromkeys(value for value in values if values.count(value) > 1):
        yield Misplaced(place, f"{value!r} is there twice; drop one of them")


def _unborne_tags(study: Study, group: Group, place: Path) -> Iterator[Misplaced]:
    layers = [study.defaults, group.sets, *(layer for axis in group.axes for layer in study.axes[axis].values())]
    known = {group.name, *group.tags, *(option for axis in group.axes for option in study.axes[axis])}
    known |= {f"s{seed}" for seed in group.seeds or study.seeds} | {tag for layer in layers for tag in _tags(layer)}
    for word in (word for text in group.without for word in text.split()):
        if word not in known:
            yield Misplaced((*place, "without"), f"no trial of group {group.name!r} has the tag {word!r}{nearest(word, known)}")


def referred(study: Study, all_drafts: Sequence[Draft], draft: Draft) -> tuple[Draft, list[Draft]] | None:
    """The reference of a trial, and the trials that differ from it by their seed alone; None where its group names none.

    Raises:
        Misplaced: the group has no such trial, or several.
    """
    group = study.trials[draft.group]
    if group.reference is None:
        return None
    seed = draft.seed if group.reference_seed is None else group.reference_seed
    alike = [other for other in all_drafts if study.trials[other.group].name == group.reference and _agree(draft, other)]
    same = [other for other in alike if other.seed == seed]
    if len(same) != 1:
        shared = ", ".join([*draft.options.values(), f"seed {seed}"])
        text = f"trial {draft.name!r} needs one reference in group {group.reference!r} ({shared}), found {len(same)}"
        raise Misplaced(("trials", draft.group, "reference"), text)
    return same[0], [other for other in alike if other.seed != seed]


def _agree(draft: Draft, other: Draft) -> bool:
    return all(draft.options.get(axis, option) == option for axis, option in other.options.items())
