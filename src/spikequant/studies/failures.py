"""Why a trial did not end well, and whether it is tried again: a failure is a state with a reason."""

import errno
import traceback
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch

from spikequant.errors import DataError, Diverged, FormatError

Kind = Literal["diverged", "out_of_memory", "killed", "timed_out", "failed", "interrupted", "unwritable"]


class Rule(NamedTuple):
    """``retries``: how often one command tries such a trial again; ``next_command``: whether the next command does."""

    retries: int
    next_command: bool


# The same seed diverges again; what another process on the machine caused need not come again; only the next command can know more.
RULES: dict[Kind, Rule] = {
    "diverged": Rule(0, False),
    "out_of_memory": Rule(1, True),
    "killed": Rule(3, True),
    "timed_out": Rule(0, True),
    "failed": Rule(0, True),
    "interrupted": Rule(1_000_000, True),
    "unwritable": Rule(0, True),
}


@dataclass(frozen=True)
class Failure:
    """What happened, in a word and in words."""

    kind: Kind
    reason: str


class Interrupted(Exception):
    """A trial was asked to stop between two events."""


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception means.

    >>> failure_of(MemoryError()).kind
    'out_of_memory'
    """
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    if isinstance(error, Interrupted):
        return Failure("interrupted", "stopped between two steps; the same command goes on")
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return Failure("out_of_memory", str(error).splitlines()[0] if str(error) else "no memory left")
    if _unwritable(error):
        return Failure("unwritable", str(error))
    last = traceback.extract_tb(error.__traceback__)[-1:]
    place = f" ({last[0].name}, line {last[0].lineno})" if last else ""
    return Failure("failed", f"{type(error).__name__}: {error}{place}; see log.txt in its folder")


def _unwritable(error: BaseException) -> bool:
    if isinstance(error, DataError | FormatError):  # something could not be read
        return False
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES)
