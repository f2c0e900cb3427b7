import csv
import io

import pytest

from spikequant.views.tables import Column, Table, csv_text, inert, markdown, text_table
from spikequant.views.wording import percent

TABLE = Table([Column("name", "layer", number=False), Column("dead", "dead", percent)], [["conv1", 0.25], ["dense", None]])
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", '=HYPERLINK("a")']


def test_csv_keeps_raw_values_under_their_keys() -> None:
    assert csv_text(TABLE) == "name,dead\r\nconv1,0.25\r\ndense,\r\n"


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_in_a_name_is_inert_in_csv(text: str) -> None:
    rows = list(csv.reader(io.StringIO(csv_text(Table([Column("name", "name")], [[text]])), newline="")))
    assert rows[1] == [f"'{text}"]


def test_numbers_and_harmless_names_stay_as_they_are() -> None:
    assert [inert(value) for value in (-0.5, 3, "W(Q1.6)-N(Q11.6)", "")] == [-0.5, 3, "W(Q1.6)-N(Q11.6)", ""]


def test_markdown_shows_values_and_escapes_names() -> None:
    hostile = Table([Column("name", "name", number=False)], [["a|b<img src=x>`*_[l](u)\\"]])
    assert markdown(TABLE).splitlines() == ["| layer | dead |", "| :--- | ---: |", "| conv1 | 25.0% |", "| dense | – |"]
    assert markdown(hostile).splitlines()[2] == r"| a\|b&lt;img src=x&gt;\`\*\_\[l\](u)\\ |"


def test_text_is_aligned_numbers_to_the_right() -> None:
    assert text_table(TABLE).splitlines() == ["layer   dead", "conv1  25.0%", "dense      –"]


def test_a_name_cannot_steer_the_terminal() -> None:
    assert "\x1b" not in text_table(Table([Column("name", "name")], [["\x1b[2J\nx"]]))
    assert len(text_table(Table([Column("name", "name")], [["a\nb"]])).splitlines()) == 2


def test_a_row_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Table(TABLE.columns, [["conv1"]]).cells()
