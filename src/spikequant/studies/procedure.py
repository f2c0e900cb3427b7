"""What a procedure is: how one trial is checked, priced and carried out. How to add one: ``docs/studies.md``."""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from spikequant.data import names
from spikequant.errors import unknown
from spikequant.quantizers import Spec
from spikequant.training import Event

Measures = dict[str, float | int | None]
Work = Generator[Event, None, Measures]


class Setup(Spec):
    """What every trial says, whatever its procedure; a procedure's own setup adds fields.

    ``data``: the data set whose hashes enter the trial's key. ``measures``: what is measured in the end, see ``measures.MEASURES``
    (a procedure of its own may know others).
    """

    data: str
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)]
    measures: Annotated[tuple[str, ...], Field(strict=False)] = ()

    @field_validator("data")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in names():
            raise ValueError(unknown("data set", value, names()))
        return value

    def files_sha256(self) -> dict[str, str]:
        """SHA-256 of the files that the numbers follow from beside the data, by name: they enter the trial's key."""
        return {}

    def refuse_reference(self, reference: "Setup") -> None:
        """Raise SpecError where the reference of the trial, by its setup, does not go with this one."""


@dataclass(frozen=True)
class Bench:
    """Where a trial is carried out.

    ``folder``: whatever is written there is hashed when the trial is done; write it with ``spikequant.files`` and leave nothing in it
    that another run would not write bit for bit. ``reference``, ``twins``: the folders of the finished trials that this one is compared
    with, and of those that differ from the reference by their seed. ``pairing``: whether the reference has the seed of this trial.
    ``rehearsal``: only a few steps are wanted, to price the trial; references are absent, and nothing is kept.
    """

    folder: Path
    reference: Path | None = None
    twins: tuple[Path, ...] = ()
    pairing: Literal["same", "independent"] | None = None
    device: str = "cpu"
    rehearsal: bool = False


@dataclass(frozen=True)
class Procedure:
    """A way to carry out a trial.

    ``setup``: its fields, checked before anything runs. ``work(setup, bench)``: a generator of training events that returns the
    measures; it is left between two events when the run is interrupted, and called again later with the same folder. ``check(setup)``
    raises SpecError for what the fields alone do not show. ``needs(setup)``: ``reference`` and ``twins``, where it wants them.
    ``weight_bytes(setup)``: bytes of the tensors that it keeps, for the price.
    """

    setup: type[Setup]
    work: Callable[[Any, Bench], Work]
    check: Callable[[Any], None]
    needs: Callable[[Any], frozenset[str]]
    weight_bytes: Callable[[Any], int]


Procedures = Mapping[str, Procedure]
