import tomllib

import pytest

from spikequant.studies.places import damaged_line, line_of, lines

TEXT = """version = 1
[defaults]
training = { epochs = 3, lr = 0.1 }
measures = [
  "emd",
]
[axes.bits]
b2 = { recipe.weights.bits = 2 }
"b 4" = { recipe.weights.bits = 4 }
[[trials]]
name = "a"
[[trials]]
name = "b"
training.lr = 1
[trials.recipe]
seed = 4
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("version",), 1),
        (("defaults", "training", "lr"), 3),
        (("axes", "bits", "b2", "recipe", "weights", "bits"), 8),
        (("axes", "bits", "b 4"), 9),
        (("trials", 0, "name"), 11),
        (("trials", 1, "training", "lr"), 14),
        (("trials", 1, "training"), 14),
        (("trials", 1, "recipe", "seed"), 16),
        (("trials", 1, "absent"), 12),
        (("absent",), None),
    ],
)
def test_finds_the_line_of_a_value(path: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(lines(TEXT), TEXT, path) == line


def test_finds_the_line_of_damage() -> None:
    with pytest.raises(tomllib.TOMLDecodeError) as caught:
        tomllib.loads("a = 1\nb = = 2\n")
    assert damaged_line(caught.value) == 2
