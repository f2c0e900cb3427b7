from typing import Any

import pytest
from pydantic import ValidationError

from spikequant.errors import FormatError
from spikequant.search import Claim, bearing, paper_claims, paper_rows, read_claims

PLAIN: dict[str, Any] = {"name": "plain", "says": "-", "source": "-", "measure": "emd", "of": "a", "least": 0.0}
TEXT = 'version = 1\n[[claims]]\nname = "x"\nsays = "-"\nsource = "-"\nmeasure = "emd"\nof = "a"\nleast = 0.0\n'


def test_reads_claims() -> None:
    (claim,) = read_claims(TEXT)
    assert (claim.name, claim.least, claim.most, claim.seeds, claim.holds) == ("x", 0.0, None, 3, "every")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"least": None}, "least, most or both"),
        ({"most": -1.0}, "least 0.0 must not be above most -1.0"),
        ({"against": "b", "along": ("c", "d")}, "against or along, not both"),
        ({"along": ("c",)}, "at least 2 tags"),
        ({"beside": "dead"}, "belong to compare = 'correlation'"),
        ({"compare": "correlation"}, "belong to compare = 'correlation'"),
        ({"given": ("dead",)}, "belong to compare = 'correlation'"),
        ({"compare": "correlation", "beside": "dead", "along": ("a", "b")}, "a correlation has no along"),
        ({"compare": "ratio", "against": "b"}, "bounds of a ratio must be above 0"),
        ({"colour": "red"}, "Extra inputs"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"least": float("nan")}, "finite"),
    ],
)
def test_refuses_what_says_nothing(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Claim(**{**PLAIN, **changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = ", "not valid TOML"),
        ("version = 2\nclaims = []\n", "must hold version = 1"),
        (TEXT.replace("least = 0.0", "lest = 0.0"), "lest: Extra inputs"),
        (TEXT + TEXT.removeprefix("version = 1\n"), "two claims are named 'x'"),
    ],
)
def test_refuses_damaged_files(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_claims(text)


@pytest.mark.parametrize("claim", paper_claims("beyond-accuracy"), ids=lambda claim: claim.name)
def test_every_claim_speaks_of_measures_and_tags_that_are(claim: Claim) -> None:
    ours = {"digits", "naive", "plain", "recovered", "states"}  # groups of our own studies
    known = set[str]().union(*(row.tags for row in paper_rows("beyond-accuracy"))) | ours
    spoken = [claim.of, claim.against or "", *claim.along, *claim.each]
    assert {word for text in spoken for word in text.split()} <= known
    assert {claim.measure, claim.beside or "emd"} <= {
        "accuracy",
        "mean_rate",
        "emd",
        "emd_excess",
        "dead",
        "error_growth",
        "start_dead_shift",
        "start_emd",
        "layers_firing_more",
        "synaptic_operations",
        "noisy_accuracy",
    }
    assert claim.source
    assert bearing(paper_rows("beyond-accuracy"), claim.of) or ours & set(claim.of.split())
