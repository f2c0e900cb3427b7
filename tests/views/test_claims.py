import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikequant.search import Row, cells, judge, paper_claims
from spikequant.search.rows import words
from spikequant.views.claims import configurations, verdicts

ROWS = """tags,seed,accuracy,emd
table1 digits uniform wide 2bits,0,0.80,0.10
table1 digits uniform wide 2bits,1,0.82,0.11
table1 digits uniform wide 2bits,2,0.81,0.12
table1 digits uniform narrow 2bits,0,0.97,0.01
table1 digits uniform narrow 2bits,1,0.98,0.01
table1 digits uniform narrow 2bits,2,0.97,0.02
"""


def test_judges_the_papers_own_table(run: Callable[..., Any]) -> None:
    code, out, _ = run("claims", "beyond-accuracy")
    assert code == 0
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert "contradicted" in lines["membrane-emd-falls-with-bits"]
    assert "supported" in lines["unsigned-2-bits-more-accurate"]


def test_judges_rows_beside_it(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    document = json.loads(run("claims", "beyond-accuracy", "--rows", tmp_path / "rows.csv", "--json").out)
    sides = {claim["name"]: [finding["verdict"] for finding in claim["findings"]] for claim in document["claims"]}
    assert sides["wide-at-2-bits-collapses"] == ["supported", "supported"]
    assert sides["wide-2-bits-raises-dead"] == ["contradicted", "undecided"]
    ours = [cell for cell in document["cells"] if "digits" in cell["tags"] and cell["measure"] == "emd"]
    assert [(round(cell["mean"], 6), cell["paper"], cell["seeds"]) for cell in ours] == [(0.11, None, 3), (0.013333, None, 3)]
    assert "digits narrow table1 uniform" in run("claims", "beyond-accuracy", "--rows", tmp_path / "rows.csv").out


def test_an_unbounded_interval_is_null(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("\n".join(line for line in ROWS.splitlines() if ",1," not in line and ",2," not in line))
    document = json.loads(run("claims", "beyond-accuracy", "--rows", tmp_path / "rows.csv", "--json").out)
    (claim,) = (each for each in document["claims"] if each["name"] == "wide-at-2-bits-collapses")
    assert [claim["findings"][1]["cases"][0][side] for side in ("low", "high")] == [None, None]


def test_only_narrows_the_rows(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    out = run("claims", "beyond-accuracy", "--rows", tmp_path / "rows.csv", "--only", "narrow").out
    assert "digits narrow" in out
    assert "uniform wide" not in out


def test_reads_a_table_as_spreadsheets_save_it(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8-sig")
    assert "digits narrow" in run("claims", "beyond-accuracy", "--rows", tmp_path / "rows.csv").out


def test_tags_laid_aside_let_rows_stand_beside_the_papers(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("tags,seed,accuracy\nfloat fmnist short,0,0.5\n")
    for aside, paper in (("", None), ("short", 0.9087)):
        document = json.loads(run("claims", "squat", "--rows", tmp_path / "rows.csv", "--aside", aside, "--json").out)
        assert [cell["paper"] for cell in document["cells"] if cell["mean"] == 0.5] == [paper]


def test_gains_of_ours_stand_beside_the_papers(run: Callable[..., Any], tmp_path: Path) -> None:
    lines = [f"bnn cifar10 resnet50 {method},0,{accuracy}\n" for method, accuracy in (("stompp", 0.7), ("ste", 0.5))]
    (tmp_path / "rows.csv").write_text("tags,seed,accuracy\n" + "".join(lines))
    out = run("claims", "stompp", "--rows", tmp_path / "rows.csv").out
    (line,) = (line for line in out.splitlines() if line.startswith("bnn cifar10 resnet50  "))
    assert line.split()[3:] == ["1", "–", "–", "20.0%", "–", "18.0%", "2.0%"]
    (judged,) = (line for line in out.splitlines() if line.startswith("gains-over-ste-bnn"))
    assert judged.split()[3] == "1"


def test_the_papers_rows_that_none_of_ours_fills_are_shown_when_asked_for(run: Callable[..., Any]) -> None:
    shown = [
        [line for line in run("claims", "stompp", *option).out.splitlines() if line.startswith(("bnn ", "bwn "))]
        for option in ((), ("--unfilled",))
    ]
    assert [len(lines) for lines in shown] == [0, 8]
    assert shown[1][0].split() == ["bnn", "cifar10", "resnet50", "0", *"––––––", "18.0%", "–"]


def test_says_what_it_cannot_read(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    rows = ["beyond-accuracy", "--rows", str(tmp_path / "rows.csv")]
    for arguments, message in (
        (["beyond-accuracy", "--only", "narrow"], "--only chooses among rows of ours: give them with --rows too"),
        (["beyond-accuracy", "--aside", "narrow"], "--aside chooses among rows of ours"),
        (["beyond-acuracy"], "did you mean 'beyond-accuracy'"),
        (["beyond-accuracy", "--rows", str(tmp_path / "none.csv")], "none.csv cannot be read"),
        ([*rows, "--only", "digits narow"], "rows.csv: unknown tag 'narow': must be one of 2bits, digits, narrow"),
        ([*rows, "--aside", "tabel1"], "did you mean 'table1'"),
        ([*rows, "--aside", "narrow wide"], "without 'narrow wide' two rows are of"),
    ):
        code, out, err = run("claims", *arguments)
        assert (code, out) == (2, "")
        assert message in err


def test_a_cell_stands_beside_the_papers() -> None:
    ours = [Row(words("a 2bits"), {"accuracy": 0.5, "emd": 0.02}, 0), Row(words("a small"), {"accuracy": 0.25}, 0)]
    printed = [Row(words("2bits a"), {"accuracy": 0.75})]
    table = configurations(cells(ours, ["accuracy", "emd"], printed), ["accuracy", "emd"])
    assert [column.title for column in table.columns] == ["configuration", "seeds", "accuracy", "±", "paper", "differs", "emd", "±"]
    assert table.cells() == [
        ["2bits a", "1", "50.0%", "–", "75.0%", "-25.0%", "0.0200", "–"],
        ["a small", "1", "25.0%", "–", "–", "–", "–", "–"],
    ]


def test_verdicts_show_each_side() -> None:
    claim = paper_claims("beyond-accuracy")[0]
    finding = judge(claim, [])
    assert verdicts({"paper": [finding], "ours": [finding]}).cells() == [
        [claim.name, "undecided", "undecided", "0", "0", "no row that it speaks of"]
    ]
