"""The tutorials: every Python block of a page runs, in order, in one session; and a page stays short."""

import io
import re
import warnings
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
PAGES = sorted(FOLDER.glob("*.md"))
PEERS = {"from-snntorch": "snntorch", "from-spikingjelly": "spikingjelly.activation_based.neuron"}
LINES, COLUMNS = 55, 110  # of a printed page


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.manual
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_runs(page: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peers warn while they are imported, which is not our affair
        pytest.importorskip(PEERS.get(page.stem, "torch"), exc_type=ImportError)
        session: dict[str, object] = {"__name__": "tutorial"}
        printed = io.StringIO()
        with torch.random.fork_rng(devices=[]), redirect_stdout(printed):
            for index, block in enumerate(blocks(page.read_text(encoding="utf-8"))):
                exec(compile(block, f"{page.name}, block {index + 1}", "exec"), session)
    assert printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_at_most_three_pages(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert sum(max(1, -(-len(line) // COLUMNS)) for line in lines) <= 3 * LINES


def test_blocks_are_found() -> None:
    assert blocks("a\n```python\nx = 1\n```\nb\n```text\ny\n```\n```python\nz\n```\n") == ["x = 1\n", "z\n"]
    assert len(PAGES) >= 2
