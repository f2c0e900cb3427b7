import base64
import hashlib
import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import spikequant
from spikequant.behavior import Drift
from spikequant.errors import FormatError, SpecError, SpikequantError
from spikequant.views.record import Record, parse
from spikequant.views.report import html, write_report

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><script>alert(1)</script>",
    "{{ 7919 * 7927 }}{% raw %}",
    "=HYPERLINK(1)",
    "datum.emd'+alert(1)+'",
    "&lt;b&gt;\x00\x1b[2J\u202e",
]
ALLOWED = {
    "a",
    "b",
    "body",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "head",
    "header",
    "html",
    "li",
    "main",
    "meta",
}
ALLOWED |= {"details", "script", "summary"}
FIGURES = ["tradeoff", "trends", "rates", "causes", "across", "disagreement", "shares"]
ALLOWED |= {"p", "pre", "section", "span", "style", "table", "tbody", "td", "th", "thead", "title", "tr", "ul"}
ALLOWED |= {"svg", "g", "path", "line", "rect", "text", "tspan", "defs", "clippath"}


class Page(HTMLParser):
    """The tags and attributes of a page, as a browser's parser meets them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]


def hostile(document: dict[str, Any]) -> dict[str, Any]:
    for variant, name in zip(document["variants"], [*HOSTILE, *HOSTILE], strict=False):
        variant |= {"name": name, "weights": name, "state": name, "scheme": name}
    for variant in document["variants"]:
        for layer, name in zip(variant["drift"]["layers"], HOSTILE, strict=False):
            layer["name"] = name
    document["float"]["name"] = HOSTILE[1]
    document["setup"] |= {"data": HOSTILE[0], "command": HOSTILE[2], HOSTILE[1]: HOSTILE[0], "seconds": 1.0}
    return document


@pytest.fixture(scope="module")
def page(untouched: dict[str, Any]) -> str:
    return html(parse(untouched))


def test_the_first_screen_tells_the_verdict_with_numbers(page: str) -> None:
    heading = re.search(r'<h1 class="verdict">(.*?)</h1>', page)
    assert heading is not None
    assert re.fullmatch(
        r"\d+ of 20 variants keep accuracy within 1 point of float \(97.5%\), yet .* EMD of 0\.\d{4} to 0\.\d{4}.*", heading[1]
    )
    assert page.index('id="tradeoff"') < page.index("<h2>")


def test_every_figure_has_a_caption_and_a_text_alternative(page: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert [re.findall(r'<figure id="(\w+)"', figure)[0] for figure in figures] == FIGURES
    for number, figure in enumerate(figures, 1):
        assert f"Figure {number}. " in figure
        assert re.search(r'role="img" aria-label="[^"]{80,}"', figure)
        assert "<svg" in figure


def test_every_variant_and_every_layer_is_there(page: str, untouched: dict[str, Any]) -> None:
    for variant in untouched["variants"]:
        assert page.count(variant["name"]) >= 2
    for layer in untouched["float"]["layers"]:
        assert f">{layer['name']}<" in page
    assert "spikequant demo --seed 0" in page


def test_nothing_is_requested_from_anywhere(page: str) -> None:
    parsed = Page(page)
    without = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "http" not in without.lower().replace("http-equiv", "")
    assert not re.search(r"url\(|@import|//\w", without)
    references = [value for _, name, value in parsed.attributes if name in {"src", "href", "xlink:href", "srcset", "action", "data"}]
    assert all((value or "").startswith("data:text/csv;base64,") for value in references)
    assert not {"link", "iframe", "object", "img"} & set(parsed.tags)


def test_the_policy_admits_the_page_s_own_style_and_scripts_and_nothing_else(page: str) -> None:
    policy = next(value for _, name, value in Page(page).attributes if name == "content" and "default-src" in (value or ""))
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert (len(style), len(scripts)) == (1, 2)
    own, first, second = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (*style, *scripts))
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{own}'; script-src 'sha256-{first}' 'sha256-{second}'; base-uri 'none'; form-action 'none'"
    )
    assert not [tag for tag, name, _ in Page(page).attributes if name == "style"]


def test_names_cannot_leave_the_data_of_a_live_figure(document: dict[str, Any]) -> None:
    text = html(parse(hostile(document)))
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    data = [json.loads(body) for attributes, body in scripts if attributes]
    assert len(scripts) == len(data) + 2
    assert len(data) == 2 + 4 + 3
    assert "<script>alert(1)</script>" in json.dumps(data)


def test_it_fits_into_an_email(page: str) -> None:
    assert len(page.encode()) < 1_500_000


def test_names_from_outside_stay_text(document: dict[str, Any]) -> None:
    parsed = Page(html(parse(hostile(document))))
    assert set(parsed.tags) <= ALLOWED
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]


def test_template_marks_and_control_characters_in_names_do_nothing(document: dict[str, Any]) -> None:
    text = html(parse(hostile(document)))
    assert "{{ 7919 * 7927 }}" in text
    assert "62773913" not in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", text)


def test_a_comparison_is_reported_without_the_figures_of_many(comparison: dict[str, Any]) -> None:
    text = html(parse(comparison))
    assert re.findall(r'<figure id="(\w+)"', text) == ["rates", "causes", "across", "disagreement"]
    assert "The firing of small differs from that of float by an EMD of" in text


def test_codes_memory_and_configuration_are_shown_where_they_are_known(comparison: dict[str, Any]) -> None:
    network = comparison["network"]
    network |= {"ledger": {"weight_bits": 8192, "norm_bits": 0, "state_bits": 16384}, "configuration": {"weights": {"kind": "lqnet"}}}
    grid = {"low": -1.0, "high": 1.0, "codes": 2, "zero": False, "on_threshold": True, "stalled": 1}
    state = {"layer": "conv1", "spec": "uniform 1 bits", "grid": grid, "use": None, "advice": ["zero is no level"]}
    network["state_health"] = [state | {"occupancy": [[-1.0, 0.25, False], [1.0, 0.75, True]]}]
    text = html(parse(comparison))
    assert re.findall(r'<figure id="(\w+)"', text)[-1] == "occupancy"
    assert "2 of 2 codes taken, 75.0% where the leak stalls" in text
    assert "<li>conv1: zero is no level</li>" in text
    assert re.search(r">1.0 KiB<.*>2.0 KiB<", text, re.DOTALL)
    assert "&#34;lqnet&#34;" in text
    assert "Not in this record" not in text


def test_a_state_that_is_no_state_is_refused(comparison: dict[str, Any]) -> None:
    comparison["network"]["state_health"] = [{"layer": "conv1", "spec": "x", "occupancy": [[0.0, 7.0, False]]}]
    with pytest.raises(FormatError, match=r"damaged at variants\.0\.state_health"):
        parse(comparison)


def test_a_single_candidate_of_a_front_stands_among_all_that_were_tried(document: dict[str, Any]) -> None:
    tried = [
        {"name": v["name"], "state": "done", "measures": {k: v[k] for k in ("accuracy", "emd", "memory_bits")}}
        for v in document["variants"]
    ]
    text = html(parse(document | {"variants": document["variants"][:1], "trials": tried}))
    assert '<figure id="outcomes"' in text
    assert text.count("<tr>") > len(tried)


def test_a_training_floor_is_shown_where_it_was_measured(comparison: dict[str, Any]) -> None:
    floor = {"emd": 0.0213, "interval": [0.02, 0.03], "excess": 0.0, "excess_interval": [0.0, 0.0], "pairs": 3}
    assert "training floor" not in html(parse(comparison))
    assert "0.0213" in html(parse(comparison | {"training_floor": floor}))


def test_a_silent_network_of_one_layer_and_one_channel_can_be_drawn(comparison: dict[str, Any]) -> None:
    (first, *_) = comparison["layers"]
    reference = {**first["reference"], "rates": [0.0], "mean_rate": 0.0}
    layer = first | {"rates": [0.0], "emd": 0.0, "emd_floor": 0.0, "emd_mean_shift": 0.0, "emd_shape": 0.0, "reference": reference}
    assert "<svg" in html(parse(comparison | {"layers": [layer], "emd": 0.0, "emd_floor": 0.0}))


def test_without_accuracy_the_rest_is_still_shown(document: dict[str, Any]) -> None:
    document["float"]["accuracy"] = None
    for variant in document["variants"]:
        variant["accuracy"] = None
    assert re.findall(r'<figure id="(\w+)"', html(parse(document))) == ["trends", "rates", "causes", "across", "disagreement", "shares"]


def test_tables_lie_beside_the_report_with_formulas_disarmed(tmp_path: Path, document: dict[str, Any]) -> None:
    write_report(hostile(document), tmp_path / "new" / "look.html")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["figures", "look.html", "tables"]
    assert {path.name for path in (tmp_path / "new" / "figures").iterdir()} == {
        f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "svg")
    }
    written = {path.name for path in (tmp_path / "new" / "tables").iterdir()}
    assert written == {f"{name}.{kind}" for name in ("crossed", "drifting", "layers", "variants") for kind in ("csv", "md", "tex")}
    assert (tmp_path / "new" / "figures" / "rates.pdf").read_bytes().startswith(b"%PDF")
    assert "currentColor" not in (tmp_path / "new" / "figures" / "rates.svg").read_text()
    lines = (tmp_path / "new" / "tables" / "variants.csv").read_text()
    assert "'=HYPERLINK(1)" in lines
    assert not re.search(r"(^|,)=", lines, re.MULTILINE)


def test_what_the_page_says_of_telling_variants_lies_beside_it_under_their_names(tmp_path: Path, comparison: dict[str, Any]) -> None:
    grid = {"low": -1.0, "high": 1.0, "codes": 2, "zero": False, "on_threshold": True, "stalled": 1}
    state = {"layer": "conv1", "spec": "uniform 1 bits", "grid": grid, "use": None, "occupancy": [[-1.0, 0.25, False], [1.0, 0.75, True]]}
    comparison["network"]["state_health"] = [state]
    comparison["layers"][0]["died"] = list(range(16))
    comparison["layers"][1]["died"] = list(range(32))
    write_report(comparison, tmp_path)
    told = {name: (tmp_path / "tables" / f"{name}.csv").read_text().splitlines() for name in ("drifting", "crossed", "state", "codes")}
    assert told["codes"] == ["variant,layer,level,share,stalls", "small,conv1,-1.0,0.25,no", "small,conv1,1.0,0.75,yes"]
    assert told["state"][1].startswith("small,conv1,uniform 1 bits,no,yes,")
    assert told["drifting"][0] == "variant,layer,emd,emd_floor,remedy"
    assert all(line.startswith("small,") for line in told["drifting"][1:])
    assert told["crossed"][2].startswith('small,conv2,32,"' + ", ".join(map(str, range(32))))


def test_a_comparison_made_in_python_is_reported_without_a_record(tmp_path: Path, comparison: dict[str, Any]) -> None:
    drift = Drift.from_dict({key: value for key, value in comparison.items() if key in Drift.model_fields})
    assert spikequant.write_report(drift, str(tmp_path / "own.html")) == tmp_path / "own.html"
    assert "The firing of network differs from that of reference by an EMD of" in (tmp_path / "own.html").read_text()


@pytest.mark.parametrize("name", ["", "new", "decay-0.5"])
def test_several_comparisons_are_one_report_and_a_folder_takes_it(tmp_path: Path, comparison: dict[str, Any], name: str) -> None:
    drift = Drift.from_dict({key: value for key, value in comparison.items() if key in Drift.model_fields})
    assert write_report([drift, comparison], tmp_path / name) == tmp_path / name / "report.html"
    tables = {path.name for path in (tmp_path / name / "tables").glob("*.csv")}
    assert tables == {f"{table}{number}.csv" for table in ("crossed", "drifting", "layers", "variants") for number in ("", "-2")}


@pytest.mark.parametrize("documents", ["runs/drift", Path("runs/drift"), [], [None], None])
def test_what_is_no_record_is_refused_before_anything_is_written(tmp_path: Path, documents: Any) -> None:
    with pytest.raises(SpecError, match="a report is made from a comparison, a record as read"):
        write_report(documents, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_leaves_no_file(tmp_path: Path, document: dict[str, Any]) -> None:
    document["variants"][0]["emd"] = -1.0
    with pytest.raises(FormatError):
        write_report(document, tmp_path / "out" / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpikequantError, match=f"cannot make folder {tmp_path / 'file' / 'out'}"):
        write_report(document, tmp_path / "file" / "out" / "report.html")


def test_the_same_record_gives_the_same_bytes_in_every_process(tmp_path: Path, comparison: dict[str, Any], record: Record) -> None:
    (tmp_path / "drift.json").write_text(json.dumps(comparison))
    pages = []
    for seed in ("1", "2"):
        out = tmp_path / seed / "report.html"
        command = [sys.executable, "-m", "spikequant", "report", str(tmp_path / "drift.json"), "--out", str(out)]
        subprocess.run(command, check=True, capture_output=True, timeout=120, env={**os.environ, "PYTHONHASHSEED": seed})
        pages.append(out.read_bytes())
    assert pages[0] == pages[1]
    assert html(record) == html(record)
