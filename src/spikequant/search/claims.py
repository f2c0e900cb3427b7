"""Claims as data: what a paper says of its rows, such that any table of rows can be asked."""

import tomllib
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spikequant.errors import FormatError
from spikequant.search.rows import paper_file

Least = Annotated[float, Field(allow_inf_nan=False)]


class Claim(BaseModel):
    """What is said: an effect lies between ``least`` and ``most``, in ``every`` case or in the ``mean`` of all.

    The effect is a ``difference`` or ``ratio`` of ``measure`` in rows that bear the tags ``of``: to the row with the tags ``against``
    instead and all others alike; or, with ``along``, from each tag of it to the next; or the value itself. ``correlation``: that of
    ``measure`` and ``beside`` over the configurations (means over seeds) of one case, a case being what ``of`` and one text of
    ``each`` select; with ``against``, of how far each moved from that baseline, where it has the measure, runs without it left out; with
    ``given``, the partial correlation once these measures are known. Other comparisons also take ``each``: only rows of one of its texts
    count. ``floor``: what the measure is an excess over, whose interval (``_low`` and ``_high`` of it in the rows) is part of the
    effect's. ``seeds``: fewer decide nothing, where seeds are known.

    >>> Claim(name="wide", says="Wide fires more.", source="4.1", measure="mean_rate", of="wide", against="narrow", least=0.0).compare
    'difference'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    says: str
    source: str
    measure: str
    of: str
    against: str | None = None
    along: Annotated[tuple[str, ...], Field(strict=False)] = ()
    each: Annotated[tuple[str, ...], Field(strict=False)] = ("",)
    beside: str | None = None
    given: Annotated[tuple[str, ...], Field(strict=False)] = ()
    compare: Literal["difference", "ratio", "correlation"] = "difference"
    least: Least | None = None
    most: Least | None = None
    holds: Literal["every", "mean"] = "every"
    floor: str | None = None
    seeds: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _fields_fit_together(self) -> Self:
        if self.least is None and self.most is None:
            raise ValueError("a claim needs least, most or both: else nothing could contradict it")
        if self.least is not None and self.most is not None and self.least > self.most:
            raise ValueError(f"least {self.least} must not be above most {self.most}")
        if self.against is not None and self.along:
            raise ValueError("give against or along, not both")
        if (self.compare == "correlation") != (self.beside is not None) or (self.beside is None and self.given):
            raise ValueError("beside, and given if wanted, belong to compare = 'correlation'")
        if self.beside is not None and self.along:
            raise ValueError("a correlation has no along")
        if self.floor is not None and (self.against is not None or self.along or self.beside is not None):
            raise ValueError("a floor belongs to a value itself: leave out against, along and beside")
        if len(self.along) == 1:
            raise ValueError(f"along needs at least 2 tags, got {self.along}")
        if self.compare == "ratio" and any(bound is not None and bound <= 0 for bound in (self.least, self.most)):
            raise ValueError("the bounds of a ratio must be above 0")
        return self


def read_claims(text: str, place: str = "the claims") -> tuple[Claim, ...]:
    """The claims of a TOML text: tables ``[[claims]]`` beside ``version = 1``.

    Raises:
        FormatError: not TOML, of another version, or not claims; two of one name.
    """
    try:
        document = tomllib.loads(text)
        if document.get("version") != 1 or set(document) != {"version", "claims"}:
            raise FormatError(f"{place}: must hold version = 1 and [[claims]], got {sorted(document)}")
        claims = tuple(Claim.model_validate(each) for each in document["claims"])
    except ValidationError as error:
        first = error.errors()[0]
        raise FormatError(f"{place}: {'.'.join(map(str, first['loc'])) or 'a claim'}: {first['msg']}, got {first['input']!r}") from None
    except tomllib.TOMLDecodeError as error:
        raise FormatError(f"{place}: not valid TOML: {error}") from None
    names = [claim.name for claim in claims]
    for name in names:
        if names.count(name) > 1:
            raise FormatError(f"{place}: two claims are named {name!r}")
    return claims


def paper_claims(paper: str) -> tuple[Claim, ...]:
    """The claims of a paper.

    >>> len({claim.name for claim in paper_claims("beyond-accuracy")}) > 20
    True
    """
    return read_claims(paper_file(paper, "claims.toml"), f"claims.toml of {paper}")
