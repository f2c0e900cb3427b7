"""A study as a document: what is run, on what, how often, and what is measured. How to write one: ``docs/studies.md``."""

from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from spikequant.quantizers import Spec

Fields = dict[str, JsonValue]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}$")]
Words = Annotated[tuple[Word, ...], Field(strict=False)]
Seeds = Annotated[tuple[Annotated[int, Field(ge=0, le=2**32 - 1)], ...], Field(min_length=1, strict=False)]


class Group(Spec):
    """Trials that differ by their options on some axes and by their seed.

    ``axes``: names of axes of the study; the product of their options makes the trials. ``without``: drops the trials that bear all
    tags of one of these texts. ``reference``: the group of float networks with which these are compared; a trial's own reference has
    the same options on the axes that both groups share, and the same seed, or ``reference_seed``. ``sets``: what the trials say,
    on top of the study's defaults; in TOML they stand beside the names above.
    """

    name: Word
    tags: Words = ()
    axes: Words = ()
    seeds: Seeds | None = None
    without: Annotated[tuple[str, ...], Field(strict=False)] = ()
    reference: Word | None = None
    reference_seed: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    sets: Fields = Field(default_factory=dict)


class Study(Spec):
    """A study: defaults, axes with their options, and groups of trials.

    ``objective`` is the measure by which storage and progress rank trials; every trial must measure it. ``threads``: CPU threads of one
    trial; they are part of the study, since another number of threads adds in another order. ``gpus``: of one trial, on a cluster.
    ``timeout_s``: of one trial. ``stop_after``: so many failures of one kind in a row stop the study. ``axes``: axis, option, and what
    the option sets in a trial. ``defaults``: what every trial says unless its group or options say otherwise.
    """

    version: Literal[1]
    name: Word
    title: str = ""
    objective: Word = "accuracy"
    direction: Literal["maximize", "minimize"] = "maximize"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus: Annotated[float, Field(ge=0, le=64)] = 0.0
    timeout_s: Annotated[float, Field(gt=0)] | None = None
    stop_after: Annotated[int, Field(ge=1)] = 5
    seeds: Seeds = (0,)
    defaults: Fields = Field(default_factory=dict)
    axes: dict[Word, dict[Word, Fields]] = Field(default_factory=dict)
    trials: Annotated[tuple[Group, ...], Field(min_length=1, strict=False)]


OWN = frozenset(Group.model_fields) - {"sets"}


def grouped(document: dict[str, Any]) -> dict[str, Any]:
    """The document with each group's own names apart from the fields of its trials.

    >>> grouped({"trials": [{"name": "float", "data": "digits"}]})
    {'trials': [{'name': 'float', 'sets': {'data': 'digits'}}]}
    """
    groups = document.get("trials")
    if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
        return document
    return document | {"trials": [_split(group) for group in groups]}


def _split(group: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in group.items() if key in OWN}
    return own | {"sets": {key: value for key, value in group.items() if key not in OWN}}
