"""The blocks of a page that can be run: Python, console lines, and files that a caption names."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

FENCE = re.compile(r"^```(?:\{code-block\} )?(python|console|toml|json)\n((?::\w+:[^\n]*\n)*)(.*?)^```", re.MULTILINE | re.DOTALL)
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


def absent(found: list[Block]) -> str | None:
    """The first compiler or emulator that a page calls and this machine lacks."""
    tools = re.findall(r"\b(?:arm-none-eabi-\w+|make|cc)\b", " ".join(block.text for block in found if block.language == "console"))
    return next((tool for tool in tools if shutil.which(tool) is None), None)
