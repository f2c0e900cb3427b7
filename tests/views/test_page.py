import copy
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikequant.views.page import digest, inert_json, page, template_text, vega
from spikequant.views.report import write_report
from spikequant.views.study import documents

sys.path.insert(0, str(Path(__file__).parent))
from browser import Browser

RESULTS = Path(__file__).parents[2] / "results" / "beyond-accuracy-digits"


def test_the_bundle_is_the_same_every_time_and_cannot_end_its_element() -> None:
    assert digest(vega()) == digest(vega.__wrapped__())
    assert "</script" not in vega().lower()
    assert "innerHTML" not in template_text("report.js")


def test_json_in_a_page_stays_data() -> None:
    assert inert_json('{"a": "</script><!--&"}') == '{"a": "\\u003c/script\\u003e\\u003c!--\\u0026"}'


def test_a_template_that_is_given_too_little_is_refused() -> None:
    with pytest.raises(Exception, match="is undefined"):
        page({})


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, untouched: dict[str, Any]) -> Path:
    return write_report(copy.deepcopy(untouched), tmp_path_factory.mktemp("demo") / "report.html")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(documents(RESULTS), tmp_path_factory.mktemp("study") / "report.html")


def rows(browser: Browser, table: str) -> int:
    return int(browser.value(f"[...document.querySelectorAll('{table} tbody tr')].filter(row => !row.hidden).length"))


@pytest.mark.browser
@pytest.mark.parametrize("name", ["demo", "study"])
def test_it_opens_offline_without_complaint_or_request_and_every_figure_is_drawn(
    browser: Browser, request: pytest.FixtureRequest, name: str
) -> None:
    browser.size(1280)
    browser.media("light")
    browser.open(request.getfixturevalue(name))
    assert (browser.complaints, browser.requests) == ([], [])
    assert browser.value("[...document.querySelectorAll('.panel')].every(panel => panel.querySelectorAll('svg path').length > 3)")
    assert browser.value("document.querySelectorAll('svg.live').length === document.querySelectorAll('script[data-panel]').length")
    assert browser.value("document.querySelectorAll('svg.live').length") == {"demo": 2 + 4 + 3, "study": 2 + 4}[name]


@pytest.mark.browser
def test_pointing_at_a_mark_tells_its_configuration(browser: Browser, demo: Path) -> None:
    browser.size(1280)
    browser.open(demo)
    place = browser.value(
        "(() => { const box = document.querySelector('#tradeoff svg.live .mark-symbol.role-mark path').getBoundingClientRect();"
        "return [box.x + box.width / 2, box.y + box.height / 2] })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    told = browser.value("document.getElementById('tip').hidden ? '' : document.getElementById('tip').innerText")
    assert re.search(r"variant.* bits", told)
    assert re.search(r"EMD\s*0\.\d{4} \(floor 0\.0040\)", told)
    assert browser.complaints == []


@pytest.mark.browser
def test_the_table_of_trials_sorts_and_filters(browser: Browser, study: Path) -> None:
    browser.size(1280)
    browser.open(study)
    accuracies = "[...document.querySelectorAll('#trials tbody tr')].map(row => Number(row.cells[2].dataset.value))"
    for order in (1, -1):
        browser.value("document.querySelectorAll('#trials th button')[2].click()")
        found = browser.value(accuracies)
        assert found == sorted(found, key=lambda value: order * value)
        assert browser.value("document.querySelectorAll('#trials th')[2].ariaSort") == ("ascending" if order == 1 else "descending")
    assert rows(browser, "#trials") == 125
    for text, kept in (("lqnet 2bits narrow", 5), ("uniform accuracy<97%", None), ("nothing-of-this-name", 0), ("", 125)):
        typed = f"const box = document.querySelector('#trials input'); box.value = '{text}'; box.dispatchEvent(new Event('input'))"
        browser.value("{" + typed + "}")
        shown = browser.value("[...document.querySelectorAll('#trials tbody tr')].filter(row => !row.hidden).map(row => row.innerText)")
        assert kept in (len(shown), None)
        if kept is None:
            assert 0 < len(shown) < 125
            assert all("uniform" in row for row in shown)
    assert browser.complaints == []


@pytest.mark.browser
def test_dark_mode_turns_the_ink_and_paper_prints(browser: Browser, demo: Path) -> None:
    browser.size(1280)
    color = "getComputedStyle(document.body).backgroundColor"
    browser.media("light")
    browser.open(demo)
    light = browser.value(color)
    browser.media("dark")
    assert browser.value(color) != light
    ink = browser.value("getComputedStyle(document.querySelector('svg.live text')).fill")
    assert min(map(int, re.findall(r"\d+", ink)[:3])) > 180
    browser.media("light")
    printed = browser.printed()
    assert printed.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 16


@pytest.mark.browser
@pytest.mark.parametrize("name", ["demo", "study"])
def test_a_narrow_screen_scrolls_in_one_direction_only(browser: Browser, request: pytest.FixtureRequest, name: str) -> None:
    browser.size(360, 740)
    browser.open(request.getfixturevalue(name))
    assert browser.value("document.documentElement.scrollWidth") == 360


@pytest.mark.browser
def test_without_javascript_everything_is_still_there(browser: Browser, demo: Path) -> None:
    browser.size(1280)
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(demo, until="document.readyState === 'complete'")
        assert browser.complaints == []
        assert browser.value("document.querySelectorAll('.panel svg').length") == 2 + 4 + 3 + 3 + 1 + 3 + 1
        assert browser.value("document.querySelectorAll('input, th button').length") == 0
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.browser
def test_two_hundred_variants_of_twenty_layers_stay_small_and_open_fast(browser: Browser, document: dict[str, Any], tmp_path: Path) -> None:
    kept = document["variants"]
    for variant in kept:
        first = variant["drift"]["layers"]
        variant["drift"]["layers"] = [first[index % 3] | {"name": f"layer{index}"} for index in range(20)]
    document["variants"] = [kept[index % 20] | {"name": f"{kept[index % 20]['name']}, {index}"} for index in range(200)]
    path = write_report(document, tmp_path / "report.html")
    assert path.stat().st_size < 5_000_000
    browser.size(1280)
    seconds = min(browser.open(path) for _ in range(3))
    assert (browser.complaints, browser.requests) == ([], [])
    assert seconds < 2
