import itertools

import pytest

from spikequant.errors import FormatError, SpecError
from spikequant.search import Row, bearing, paper_rows, papers, read_rows, without
from spikequant.search.rows import words

MEASURES = {"accuracy", "mean_rate", "emd", "dead"}
ROWS = paper_rows("beyond-accuracy")


def emd(text: str) -> float:
    (row,) = bearing(ROWS, text)
    return row.measures["emd"]


def test_the_paper_has_96_rows_and_4_float_networks() -> None:
    tables = [row for row in ROWS if "float" not in row.tags]
    assert len(tables) == 96
    assert all(row.measures.keys() == MEASURES and row.seed is None for row in tables)
    assert {(*row.tags & {"table1", "table2"}, len(row.tags)) for row in tables} == {("table1", 6), ("table2", 5)}
    assert [row.measures for row in bearing(ROWS, "float resnet8")] == [{"accuracy": 0.919}, {"accuracy": 0.723}]
    assert [row.measures for row in bearing(ROWS, "float resnet18")] == [{"accuracy": 0.933}, {"accuracy": 0.752}]


@pytest.mark.parametrize("table", ["table1", "table2"])
def test_every_cell_of_the_grid_is_there_once(table: str) -> None:
    methods = ("uniform narrow", "uniform wide", "lqnet narrow", "lqnet wide") if table == "table1" else ("signed", "unsigned")
    for data in ("cifar10", "cifar100"):
        for network in ("resnet8", "resnet18"):
            for method in methods:
                for bits in (2, 4, 6, 8):
                    assert len(bearing(ROWS, f"{table} {data} {network} {method} {bits}bits")) == 1


# Sums over the four networks, added up by hand from the printed columns (accuracy and dead in percent).
@pytest.mark.parametrize(
    ("text", "accuracy", "mean_rate", "emd", "dead"),
    [
        ("table1 uniform narrow 2bits", 324.2, 0.321, 0.0543, 230.5),
        ("table1 lqnet narrow 2bits", 329.2, 0.252, 0.0288, 255.2),
        ("table1 uniform wide 2bits", 259.4, 0.776, 0.5702, 210.2),
        ("table1 lqnet wide 8bits", 332.9, 0.205, 0.0112, 269.2),
        ("table2 signed 2bits", 308.2, 0.156, 0.0635, 323.3),
        ("table2 unsigned 8bits", 328.8, 0.260, 0.0399, 263.4),
    ],
)
def test_sums_of_columns(text: str, accuracy: float, mean_rate: float, emd: float, dead: float) -> None:
    sums = {measure: sum(row.measures[measure] for row in bearing(ROWS, text)) for measure in MEASURES}
    assert sums == pytest.approx({"accuracy": accuracy / 100, "mean_rate": mean_rate, "emd": emd, "dead": dead / 100}, abs=1e-9)


def test_numbers_that_the_text_repeats() -> None:
    # Section 4: 51.6 % and .121; 73.7 % and .014 beside 74.9 % and .008; 80.8; 79.5 % and .148; 90.0 % and .011; .023 and .005
    said = {
        "cifar100 resnet18 uniform wide 2bits": (0.516, 0.121),
        "cifar100 resnet18 uniform wide 6bits": (0.737, 0.014),
        "cifar100 resnet18 uniform narrow 6bits": (0.749, 0.008),
        "cifar100 resnet18 lqnet wide 2bits": (0.744, 0.012),
        "cifar10 resnet18 uniform wide 6bits": (0.926, 0.011),
        "cifar10 resnet18 uniform narrow 6bits": (0.932, 0.003),
        "cifar10 resnet8 uniform wide 2bits": (0.795, 0.148),
        "cifar10 resnet8 uniform narrow 2bits": (0.900, 0.011),
        "cifar100 resnet18 unsigned 2bits": (0.719, 0.010),
        "cifar100 resnet18 signed 2bits": (0.671, 0.014),
    }
    for text, (accuracy, distance) in said.items():
        (row,) = bearing(ROWS, text)
        assert (row.measures["accuracy"], round(row.measures["emd"], 3)) == (accuracy, distance)


def test_the_emd_of_uniform_grids_grows_with_their_step() -> None:
    # Step 2 clip / (2^bits - 1): the smallest first. One swap of neighbors in two of the four columns, none in the others.
    by_step = ("narrow 8bits", "narrow 6bits", "wide 8bits", "narrow 4bits", "wide 6bits", "narrow 2bits", "wide 4bits", "wide 2bits")
    swaps = {}
    for column in ("cifar10 resnet18", "cifar10 resnet8", "cifar100 resnet18", "cifar100 resnet8"):
        values = [emd(f"{column} uniform {text}") for text in by_step]
        swaps[column] = sum(a > b for a, b in itertools.pairwise(values))
    assert swaps == {"cifar10 resnet18": 1, "cifar10 resnet8": 0, "cifar100 resnet18": 0, "cifar100 resnet8": 1}


def test_an_emd_is_at_least_the_shift_of_the_mean() -> None:
    # The mean rate of the float network is not printed; LQ-Net's at 8 bits stands in, some .01 apart at most.
    for row in bearing(ROWS, "table1 uniform wide 2bits"):
        (near,) = bearing(ROWS, " ".join((row.tags - words("uniform 2bits")) | words("lqnet 8bits")))
        assert row.measures["emd"] > row.measures["mean_rate"] - near.measures["mean_rate"] - 0.04


def test_unknown_paper() -> None:
    assert "beyond-accuracy" in papers()
    with pytest.raises(SpecError, match=r"unknown paper 'beyond': must be one of .*beyond-accuracy"):
        paper_rows("beyond")


def test_reads_seeds_and_leaves_absent_measures_out() -> None:
    (row,) = read_rows("tags,seed,emd,dead\na b,3,0.5,\n")
    assert (row.tags, row.seed, dict(row.measures)) == (words("b a"), 3, {"emd": 0.5})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed,emd\n1,0.5\n", "it needs one named 'tags'"),
        ("", "it needs one named 'tags'"),
        ("tags,emd\na,x\n", "line 2: emd is 'x'; it must be a finite number"),
        ("tags,emd\na,inf\n", "emd is 'inf'"),
        ("tags,emd,emd\na,0.5,0.6\n", "it needs one named 'tags', and no name twice"),
        ("tags,accuracy\na,91.9\n", "line 2: accuracy 91.9 must be a fraction in .0, 1.; divide a percentage by 100"),
        ("tags,dead\na,-0.1\n", "dead -0.1 must be a fraction"),
        ("tags,seed,emd\na,1.5,0.1\n", "line 2: seed 1.5 must be a whole number"),
        ("tags,emd\na,0.5,3\n", "line 2: the line has not as many values"),
        ("tags,emd\na\n", "line 2: the line has not as many values"),
        ("tags,emd\na b,0.5\nb a,0.6\n", "two rows are of 'a b' with seed None"),
    ],
)
def test_refuses_damaged_tables(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read_rows(text)


def test_tags_that_tell_two_runs_apart_cannot_be_laid_aside() -> None:
    rows = [Row(words("a short"), {"accuracy": 0.5}, 0), Row(words("a"), {"accuracy": 0.9}, 0)]
    with pytest.raises(SpecError, match="without 'short' two rows are of 'a' with seed 0"):
        without(rows, "short")
    assert len(without([rows[0], rows[1]._replace(seed=1)], "short")) == 2


def test_squat_has_90_rows_and_3_float_networks() -> None:
    rows = paper_rows("squat")
    assert len([row for row in rows if "float" not in row.tags]) == 90
    assert {row.measures["accuracy"] for row in bearing(rows, "float")} == {0.9087, 0.7978, 0.8624}
    sums = {  # of printed lines, in percent, added up by hand
        "qat-states exponential fmnist": 263.70,
        "qat-states uniform fmnist": 210.17,
        "ptq-both uniform shd": 139.10,
        "qat-both exponential dvs": 248.96,
        "ptq-weights dvs": 27.27,
    }
    for text, total in sums.items():
        assert 100 * sum(row.measures["accuracy"] for row in bearing(rows, text)) == pytest.approx(total, abs=0.01)
