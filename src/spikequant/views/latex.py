"""Tables for papers: LaTeX with booktabs, means with their spread, bold only beyond noise."""

import math

from spikequant.views.tables import Column, Table, Value

NOTE = "% needs the package booktabs; after a mean: standard deviation over seeds; bold: best by more than two standard errors"
TEX = {letter: f"\\{letter}" for letter in "&%$#_{}"}
TEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "→": r"$\to$"}


def latex(table: Table) -> str:
    r"""The table as LaTeX: a mean with its spread in one cell, the best value bold only where it is beyond noise.

    >>> print(latex(Table([Column("name", "name", number=False), Column("emd", "EMD")], [["a_b", 0.25]])).split("\n", 1)[1])
    \begin{tabular}{lr}
    \toprule
    name & EMD \\
    \midrule
    a\_b & 0.25 \\
    \bottomrule
    \end{tabular}
    """
    spreads = {column.spread for column in table.columns}
    kept = [index for index, column in enumerate(table.columns) if column.key not in spreads]
    bold = {(beyond_noise(table, table.columns[index]), index) for index in kept}
    lines = [[_escaped(table.columns[index].title) for index in kept]]
    lines += [[_cell(table, row, index, (row, index) in bold) for index in kept] for row in range(len(table.rows))]
    head, *body = [" & ".join(line) + r" \\" for line in lines]
    aligned = "".join("r" if table.columns[index].number else "l" for index in kept)
    first = [NOTE, rf"\begin{{tabular}}{{{aligned}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*first, *body, r"\bottomrule", r"\end{tabular}"])


def beyond_noise(table: Table, column: Column) -> int | None:
    """The row whose mean is better than every other by more than two standard errors of the difference; None where noise decides.

    A row without a deviation is never the best, but the best must be better than its value too; the first row is exempt, where it has
    none: it is the reference.

    >>> columns = [Column("emd", "EMD", spread="sd", best="low"), Column("sd", "±"), Column("seeds", "n")]
    >>> beyond_noise(Table(columns, [[0.2, 0.01, 4], [0.3, 0.01, 4]]), columns[0])
    0
    >>> beyond_noise(Table(columns, [[0.2, 0.1, 4], [0.3, 0.1, 4]]), columns[0]) is None
    True
    """
    places = {each.key: index for index, each in enumerate(table.columns)}
    if not column.best or column.spread not in places or "seeds" not in places:
        return None
    sign = 1.0 if column.best == "high" else -1.0
    rated, bare = [], []
    for index, row in enumerate(table.rows):
        mean, deviation, seeds = (_number(row[places[key]]) for key in (column.key, column.spread, "seeds"))
        if mean is not None and deviation is not None and seeds:
            rated.append((sign * mean, deviation**2 / seeds, index))
        elif mean is not None and index > 0:
            bare.append((sign * mean, 0.0, index))
    if len(rated) < 2:
        return None
    (best, error, index), *others = sorted(rated, reverse=True)
    return index if all(best - mean > 2 * math.sqrt(error + other) for mean, other, _ in [*others, *bare]) else None


def _number(value: Value) -> float | None:
    return value if isinstance(value, int | float) else None


def _cell(table: Table, row: int, index: int, bold: bool) -> str:
    column, keys = table.columns[index], [each.key for each in table.columns]
    text = _escaped(column.show(table.rows[row][index]))
    text = rf"\textbf{{{text}}}" if bold else text
    if column.spread not in keys:
        return text
    place = keys.index(column.spread)
    deviation = table.rows[row][place]
    return text if deviation is None else rf"{text} $\pm$ {_escaped(table.columns[place].show(deviation))}"


def _escaped(text: str) -> str:
    return "".join(TEX.get(letter, letter) for letter in text)
