import json
from collections.abc import Callable
from typing import Any

from spikequant.search import papers
from spikequant.views.exhibits import exhibits


def told(run: Callable[..., Any], study: str) -> dict[str, dict[str, Any]]:
    code, printed, _ = run("run", study, "--figures", "--json")
    assert code == 0
    return {each["id"]: each for each in json.loads(printed)["exhibits"]}


def test_every_paper_has_exhibits_and_every_id_is_its_paper_s() -> None:
    assert {each["paper"] for each in exhibits().values()} == set(papers())
    assert all(name.startswith(f"{each['paper']}/") for name, each in exhibits().items())


def test_the_paper_s_own_study_fills_every_row_and_makes_every_figure(run: Callable[..., Any]) -> None:
    found = told(run, "beyond-accuracy")
    assert [each["filled"] for each in found.values() if "table" in each["id"]] == [64, 32]
    assert all(each["trials"] for each in found.values())
    assert found["beyond-accuracy/figure4"]["where"] == "figures/trends"


def test_a_table_that_several_tags_make_has_all_of_its_rows(run: Callable[..., Any]) -> None:
    found = told(run, "squat-fmnist") | told(run, "qspinn-unsupervised")
    assert [found[f"squat/table{number}"]["printed"] for number in range(2, 8)] == [18] * 6
    assert found["qspinn/table2"]["printed"] == 6


def test_digits_fill_no_row_of_the_paper_s_and_lack_its_network(run: Callable[..., Any]) -> None:
    found = told(run, "beyond-accuracy-digits")
    assert sum(each["filled"] for each in found.values()) == 0
    assert [name for name, each in found.items() if not each["trials"]] == ["beyond-accuracy/figure2", "beyond-accuracy/figure3"]
    printed = run("run", "beyond-accuracy-digits", "--figures").out
    assert printed.endswith("5 of 7 can be made from this study's trials; these fill rows of the paper in 0 of 7\n")


def test_what_no_record_holds_names_the_command_that_does(run: Callable[..., Any]) -> None:
    found = told(run, "qspinn-unsupervised")
    assert {f"qspinn/{name}" for name in ("table1", "table2", "figure1b", "figure1c", "figure2", "figure8", "figure10")} <= set(found)
    assert [found[f"qspinn/figure1{part}"]["trials"] for part in "bc"] == [15, 219]
    for name in ("table1", "figure8"):
        assert found[f"qspinn/{name}"]["trials"] == 0
        assert "spikequant ranges stdp-net --data mnist" in found[f"qspinn/{name}"]["what"]


def test_a_study_of_no_paper_says_so(run: Callable[..., Any]) -> None:
    assert "is of no paper" in run("run", "digits-smoke", "--figures").out
