"""What a user is told when something cannot be done: the value, the place, the rule, the nearest valid value.

SpikequantError (ValueError)
├── SpecError      a spec, recipe, wiring or option breaks its rule
├── DataError      a data file is absent, damaged or not what it claims to be
├── FormatError    a file of ours is damaged, hostile or of another version
├── MismatchError  two things that must fit do not: checkpoint and model, grid and tensor
└── Diverged       training met a value that is not finite
"""

import difflib
from collections.abc import Iterable


class SpikequantError(ValueError):
    """Root of every error that a user can cause; the command line prints it and exits with 2."""


class SpecError(SpikequantError):
    """A spec, recipe, wiring or option breaks its rule."""


class DataError(SpikequantError):
    """A data file is absent, damaged or not what it claims to be."""


class FormatError(SpikequantError):
    """A file of ours is damaged, hostile or of another version."""


class MismatchError(SpikequantError):
    """Two things that must fit together do not."""


class Diverged(SpikequantError):
    """Training met a value that is not finite."""


def nearest(value: str, valid: Iterable[str]) -> str:
    """A hint ``; did you mean 'lqnet'?`` where one valid value is close, else the empty string.

    >>> nearest("lqnt", ["uniform", "lqnet"])
    "; did you mean 'lqnet'?"
    """
    close = closest(value, valid)
    return "" if close is None else f"; did you mean {close!r}?"


def closest(value: str, valid: Iterable[str]) -> str | None:
    """The valid value that is meant most likely; None where none is close.

    >>> closest("lqnt", ["uniform", "lqnet"])
    'lqnet'
    """
    return next(iter(difflib.get_close_matches(value.lower(), list(valid), n=1, cutoff=0.6)), None)


def unknown(what: str, value: str, valid: Iterable[str], place: str = "") -> str:
    """The message for a name that is not in a list.

    >>> unknown("model", "sew8", ["sew-resnet8", "digits"])
    "unknown model 'sew8': must be one of digits, sew-resnet8"
    """
    names = sorted(valid)
    where = f"{place}: " if place else ""
    choice = f"must be one of {', '.join(names)}" if names else "there is none to choose from"
    return f"{where}unknown {what} {value!r}: {choice}{nearest(value, names)}"
