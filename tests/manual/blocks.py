"""The blocks of a page: Python and console lines, which run; files, which a caption names; commands and TOML, which are read."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import typer

from spikequant.recipes import Recipe
from spikequant.studies import plan
from spikequant.views.main import app

FENCE = re.compile(r"^```(?:\{[\w-]+\} ?)?(\w*)[^\n]*\n((?::\w+:[^\n]*\n)*)(.*?)^```", re.MULTILINE | re.DOTALL)
RUN, READ = ("python", "console"), ("toml", "json", "sh", "")
CALL = re.compile(r"(?:^|&& )(?:\.venv/bin/)?((?:spikequant|make) .*?)(?= &&|$)", re.MULTILINE)
COMMAND_S = 600


class Block(NamedTuple):
    """One block: its language, its text, and the file that it is shown as, if any."""

    language: str
    text: str
    file: str | None = None


def blocks(page: str) -> list[Block]:
    found = []
    for language, options, text in FENCE.findall(page):
        caption = re.search(r":caption: *(\S+)", options)
        if language in RUN + READ:
            found.append(Block(language, text.lstrip("\n"), caption and caption[1]))
    return found


def run(block: Block, session: dict[str, object], name: str) -> None:
    """Runs a block in the working directory; names of Python live on in ``session``."""
    if block.file is not None:
        Path(block.file).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, name, "exec"), session)
    elif block.language == "console":
        for command in commands(block.text):
            console(command, name)


def commands(text: str) -> list[str]:
    return [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]


def console(command: str, name: str) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", command], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, f"{name}: {command}\n{done.stdout}{done.stderr}"


def calls(found: list[Block]) -> list[list[str]]:
    """The words of each ``spikequant …`` and ``make …`` in blocks that do not run: they install, or need data or machines."""
    shown = [text for block in found if block.language in ("sh", "") for text in CALL.findall(block.text)]
    return [shlex.split(text, comments=True) for text in shown]


def understood(words: list[str], makefile: str) -> None:
    """Raises where a command is none: no target of the makefile, or refused by the parser of the command line."""
    if words[0] == "make":
        assert re.search(rf"^{words[1]}:", makefile, re.MULTILINE), f"no target {words[1]}"
        return
    verbs = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    assert words[1] in verbs, f"no verb {words[1]}"
    verbs[words[1]].make_context(words[1], words[2:])


def read(text: str, folder: Path) -> None:
    """Raises where a block of TOML is neither a study nor a recipe."""
    if "trials" in tomllib.loads(text):
        (folder / "study.toml").write_text(text, encoding="utf-8")
        plan(str(folder / "study.toml"), absent_data=True)
    else:
        Recipe.from_toml(text)


def absent(found: list[Block]) -> str | None:
    """The first compiler or emulator that a page calls and this machine lacks."""
    tools = re.findall(r"\b(?:arm-none-eabi-\w+|make|cc)\b", " ".join(block.text for block in found if block.language == "console"))
    return next((tool for tool in tools if shutil.which(tool) is None), None)
