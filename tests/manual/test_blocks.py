"""Every block of Python and every console line of the manual and of README runs, in order, in one session a page; a tutorial stays short.

Commands in blocks without a language install, or need data or machines that a test does not have: of them it is tested only that there is
such a target or verb, and that it takes these arguments. TOML is read as the recipe or study that it is. C is for the reader's compiler.
"""

import io
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from blocks import Block, absent, blocks, calls, commands, read, run, understood
from pages import methods

from conftest import DOCS
from spikequant.errors import SpecError

WRITTEN = [path for path in sorted(DOCS.rglob("*.md")) if not {"generated", "_build", "methods"} & set(path.relative_to(DOCS).parts)]
PAGES = {path.relative_to(DOCS).as_posix(): path.read_text(encoding="utf-8") for path in WRITTEN} | methods.pages()
PAGES |= {name: (DOCS.parent / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")}
CALLS = [(name, words) for name, text in PAGES.items() for words in calls(blocks(text))]
TOML = [(name, block.text) for name, text in PAGES.items() for block in blocks(text) if block.language == "toml" and block.file is None]
RUN = {name: text for name, text in PAGES.items() if any(block.language in ("python", "console") for block in blocks(text))}
PEERS = {"tutorials/from-snntorch.md": "snntorch", "tutorials/from-spikingjelly.md": "spikingjelly.activation_based.neuron"}
PEERS["explanation/first-walk.md"] = "snntorch"
LINES, COLUMNS = 55, 110  # of a printed page


@pytest.mark.manual
@pytest.mark.parametrize("name", RUN)
def test_every_block_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks(RUN[name])
    if tool := absent(found):
        pytest.skip(f"no {tool}")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn while they are imported, which is not our affair
        pytest.importorskip(PEERS.get(name, "torch"), exc_type=ImportError)
        session: dict[str, object] = {"__name__": "manual"}
        printed = io.StringIO()
        with torch.random.fork_rng(devices=[]), redirect_stdout(printed):
            for index, block in enumerate(found):
                run(block, session, f"{name}, block {index + 1}")
    assert printed.getvalue() or not any("print(" in block.text for block in found)


@pytest.mark.parametrize(("name", "words"), CALLS, ids=lambda each: each if isinstance(each, str) else " ".join(each))
def test_a_command_that_is_only_shown_is_one(name: str, words: list[str]) -> None:
    understood(words, (DOCS.parent / "Makefile").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "text"), TOML, ids=[name for name, _ in TOML])
def test_toml_is_a_recipe_or_a_study(name: str, text: str, tmp_path: Path) -> None:
    read(text, tmp_path)


def test_what_is_no_command_recipe_or_study_is_seen(tmp_path: Path) -> None:
    page = "```\npython3 -m venv .venv && .venv/bin/spikequant demo\nmake test    # all\n```\nb\n```sh\nspikequant ls x\n```\n"
    assert calls(blocks(page)) == [["spikequant", "demo"], ["make", "test"], ["spikequant", "ls", "x"]]
    with pytest.raises(Exception, match="No such option"):
        understood(["spikequant", "train", "--epoch", "3"], "")
    for words in (["spikequant", "sing"], ["make", "sing"]):
        with pytest.raises(AssertionError, match=r"no (verb|target) sing"):
            understood(words, "test: env\n")
    for text in ("weights = { kind = 'lqnet', bit = 4 }", "version = 1\nname = 'a'\ntrials = [{ name = 'a', procedure = 'sing' }]"):
        with pytest.raises(SpecError):
            read(text, tmp_path)


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("tutorials/")])
def test_a_tutorial_has_at_most_three_pages(name: str) -> None:
    assert sum(max(1, -(-len(line) // COLUMNS)) for line in PAGES[name].splitlines()) <= 3 * LINES


def test_blocks_are_found() -> None:
    page = (
        "a\n```python\nx = 1\n```\nb\n```text\ny\n```\n```{code-block} toml\n:caption: r.toml\n\nv = 1\n```\n```console\n$ a\nb\n$ c\n```\n"
    )
    assert blocks(page) == [Block("python", "x = 1\n"), Block("toml", "v = 1\n", "r.toml"), Block("console", "$ a\nb\n$ c\n")]
    assert commands("$ a\nb\n$ c\n") == ["a", "c"]
    assert len(RUN) >= 20


def test_a_block_that_fails_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(Block("toml", "v = 1\n", "r.toml"), {}, "page")
    run(Block("console", "$ test -f r.toml\n"), {}, "page")
    with pytest.raises(AssertionError, match="page: test -f other"):
        run(Block("console", "$ test -f other\n"), {}, "page")
    with pytest.raises(ZeroDivisionError):
        run(Block("python", "1 / 0\n"), {}, "page")
