from spikequant.views.latex import beyond_noise, latex
from spikequant.views.tables import Column, Table
from spikequant.views.wording import percent

COLUMNS = [
    Column("name", "variant", number=False),
    Column("accuracy", "accuracy", percent, spread="deviation", best="high"),
    Column("deviation", "±", percent),
    Column("seeds", "seeds"),
]


def table(*rows: tuple[str, float, float | None, int]) -> Table:
    return Table(COLUMNS, [list(row) for row in rows])


def test_mean_and_spread_share_a_cell_and_the_number_of_seeds_is_stated() -> None:
    lines = latex(table(("a_b", 0.9, 0.01, 5), ("c", 0.5, None, 1))).splitlines()
    assert r"a\_b & 90.0\% $\pm$ 1.0\% & 5 \\" in lines
    assert r"c & 50.0\% & 1 \\" in lines
    assert lines[1] == r"\begin{tabular}{lrr}"
    assert "variant & accuracy & seeds" in lines[3]


def test_the_best_is_bold_only_where_it_is_beyond_noise() -> None:
    # standard error of the difference: sqrt(.01^2/4 + .01^2/4) = .00707; two of them .0141
    assert r"\textbf{90.0\%}" in latex(table(("a", 0.9, 0.01, 4), ("b", 0.88, 0.01, 4)))
    assert r"\textbf" not in latex(table(("a", 0.9, 0.01, 4), ("b", 0.89, 0.01, 4)))


def test_the_best_is_not_bold_where_a_row_without_deviation_beats_it_but_the_reference_may() -> None:
    seeded = ("a", 0.9, 0.01, 4), ("b", 0.5, 0.01, 4)
    assert r"\textbf" not in latex(table(*seeded, ("one seed", 0.95, None, 1)))
    assert r"\textbf{90.0\%}" in latex(table(*seeded, ("one seed", 0.85, None, 1)))
    assert r"\textbf{90.0\%}" in latex(table(("float", 0.95, None, 4), *seeded))


def test_the_good_end_is_the_column_s() -> None:
    low = [Column("emd", "EMD", spread="deviation", best="low"), *COLUMNS[2:]]
    assert beyond_noise(Table(low, [[0.3, 0.01, 4], [0.1, 0.01, 4]]), low[0]) == 1
    assert beyond_noise(Table(low, [[0.3, None, 1], [0.1, None, 1]]), low[0]) is None


def test_names_stay_text() -> None:
    written = latex(Table([Column("name", "name", number=False)], [[r"\input{x} & $y$ #1 ~ ^"]]))
    assert r"\textbackslash{}input\{x\} \& \$y\$ \#1 \textasciitilde{} \textasciicircum{}" in written
