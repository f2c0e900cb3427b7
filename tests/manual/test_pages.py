"""The generated pages: no method of the registry and no public name is forgotten, and every number stands in a record."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from pages import findings, methods, reference, results, write_all
from pages.pictures import grid_levels

import spikequant as sq
from conftest import DOCS
from spikequant.quantizers.table import SPECS


@pytest.mark.parametrize("kind", SPECS)
def test_every_method_says_equation_picture_lines_and_source(kind: str) -> None:
    page = methods.page(kind, SPECS[kind])
    for part in ("## Equation\n", "<svg ", "```python\nimport spikequant as sq", "## Source\n\n", "| field | default |"):
        assert part in page
    assert page.partition("## Source")[2].splitlines()[2].strip() != ""


def test_what_is_written_of_a_method_belongs_to_one() -> None:
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} <= set(SPECS)


def test_the_picture_shows_the_levels() -> None:
    assert grid_levels(sq.Uniform(bits=2, low=-1.0, high=1.0)) == pytest.approx([-1, -1 / 3, 1 / 3, 1])
    assert len(grid_levels(sq.LQNet(bits=3))) == 8


def test_every_public_name_is_in_the_reference() -> None:
    page = reference.facade()
    assert [name for name in sq.__all__ if not name.startswith("_") and f"`sq.{name}`" not in page] == []
    rooms = {path.parent.name for path in Path(sq.__file__).parent.glob("*/__init__.py")}
    assert rooms - set(reference.ROOMS) == {"views"}


def test_numbers_of_results_are_those_of_the_records(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A study\n")
    (tmp_path / "table.csv").write_text("name,emd\nx,0.0123456\n")
    assert "| x | 0.012346 |" in results.page(tmp_path)


def test_lines_with_fields_of_their_own_become_one_table(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Kills\n")
    (tmp_path / "kills.jsonl").write_text('{"scene": "one", "kills": 3}\n{"scene": "two", "lives": 4}\n')
    assert "| scene | kills | lives |\n| --- | --- | --- |\n| one | 3 |  |\n| two |  | 4 |" in results.page(tmp_path)


def test_every_folder_of_results_has_a_page() -> None:
    folders = {path.parent.name for path in results.RESULTS.glob("*/README.md")}
    assert {f"results/{name}.md" for name in folders} <= set(results.pages())


def test_figures_named_by_a_folder_are_written_beside_its_page() -> None:
    pages = results.pages()
    for folder in {path.parent for path in results.RESULTS.glob("*/*.svg")}:
        for target in re.findall(r"\]\(([^)]*\.svg)\)", pages[f"results/{folder.name}.md"]):
            assert f"results/{target}" in pages


def test_the_report_of_a_study_is_drawn_on_its_page() -> None:
    folder = results.RESULTS / "beyond-accuracy-digits"
    shown = results.of_report(folder)
    assert set(shown) == {"tradeoff", "trends"}
    text = results.page(folder, shown)
    assert "```{figure} beyond-accuracy-digits/tradeoff.svg" in text
    assert "currentColor" not in shown["trends"][1]


def test_verdicts_stand_beside_the_papers_own() -> None:
    section = findings.section("beyond-accuracy")
    assert "| claim | paper | ours |" in section
    assert "(results/beyond-accuracy-digits.md)" in section


def test_pages_that_are_no_more_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pages.all_pages", lambda: {"methods/a.md": "a\n"})
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "old.md").write_text("old\n")
    write_all(tmp_path)
    assert [path.name for path in tmp_path.rglob("*.md")] == ["a.md"]


def test_a_number_names_one_decision() -> None:
    numbers = [path.name[:4] for path in (DOCS / "decisions").glob("0*.md")]
    headings = [path.read_text(encoding="utf-8")[2:6] for path in (DOCS / "decisions").glob("0*.md")]
    assert sorted(numbers) == sorted(set(numbers))
    assert headings == numbers
