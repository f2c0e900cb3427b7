import pytest

from spikequant.search import Row, bearing, cells, paper_rows
from spikequant.search.rows import words


def runs(tags: str, *values: float) -> list[Row]:
    return [Row(words(tags), {"emd": value, "dead": 0.5}, seed) for seed, value in enumerate(values)]


def test_mean_and_deviation_over_seeds() -> None:
    (cell,) = cells(runs("a", 1.0, 2.0, 6.0), ["emd"])
    assert (cell.mean, cell.deviation, cell.seeds, cell.paper, cell.difference) == (3.0, pytest.approx(7**0.5), 3, None, None)


def test_one_seed_has_no_spread_and_none_no_mean() -> None:
    one, none = cells(runs("a", 1.0), ["emd", "accuracy"])
    assert (one.mean, one.deviation) == (1.0, None)
    assert (none.mean, none.seeds) == (None, 0)


def test_the_papers_cells_come_first_and_stay_where_nothing_was_run() -> None:
    found = cells(runs("z", 1.0) + runs("b", 2.0), ["emd"], [Row(words("b"), {"emd": 0.5}), Row(words("a"), {"emd": 0.25})])
    assert [(*cell.tags, cell.paper, cell.mean) for cell in found] == [("b", 0.5, 2.0), ("a", 0.25, None), ("z", None, 1.0)]
    assert [cell.difference for cell in found] == [1.5, None, None]


def test_another_tag_fills_no_cell_of_the_papers() -> None:
    paper = paper_rows("beyond-accuracy")
    configuration = "table1 cifar10 resnet8 uniform narrow 2bits"
    same, narrower = runs(configuration, 0.02), runs(f"{configuration} width16", 0.03)
    found = {cell.tags: cell for cell in cells(same + narrower, ["emd"], bearing(paper, configuration))}
    assert (found[words(configuration)].mean, found[words(configuration)].paper) == (0.02, 0.0113)
    assert (found[words(f"{configuration} width16")].mean, found[words(f"{configuration} width16")].paper) == (0.03, None)
