"""Where in a TOML text a value stands: the line of every table and key, which ``tomllib`` does not tell."""

import re
import tomllib
from collections.abc import Iterator, Mapping

Path = tuple[str | int, ...]
KEY = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
DOTTED = rf"{KEY}(?:\s*\.\s*{KEY})*"
HEADER = re.compile(rf"\s*(\[\[?)\s*({DOTTED})\s*\]\]?")
ASSIGNED = re.compile(rf"\s*({DOTTED})\s*=")


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every table header and every key that begins a line, by its path; items of ``[[...]]`` are numbered.

    >>> lines("version = 1\\n[[trials]]\\nname = 'float'\\nrecipe.seed = 3\\n")
    {('version',): 1, ('trials', 0): 2, ('trials', 0, 'name'): 3, ('trials', 0, 'recipe', 'seed'): 4}
    """
    found: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), 1):
        header, assigned = HEADER.match(line), ASSIGNED.match(line)
        if header:
            table = _inside(counts, tuple(_parts(header[2])), grows=header[1] == "[[")
            found[table] = number
        elif assigned:
            found.setdefault((*table, *_parts(assigned[1])), number)
    return found


def line_of(places: Mapping[Path, int], text: str, path: Path) -> int | None:
    """The line of a value: of its own key, of that key inside the inline table that holds it, or of the table around it."""
    for length in range(len(path), 0, -1):
        start = min((line for known, line in places.items() if known[:length] == path[:length]), default=None)
        if start is not None:
            return start if length == len(path) else _within(text, start, str(path[-1]))
    return None


def _within(text: str, start: int, key: str) -> int:
    named = re.compile(rf"(?<![\w-])[\"']?{re.escape(key)}[\"']?\s*=")
    for number, line in enumerate(text.splitlines()[start - 1 :], start):
        if number > start and (HEADER.match(line) or ASSIGNED.match(line)):
            break
        if named.search(line):
            return number
    return start


def _parts(dotted: str) -> Iterator[str]:
    for part in re.findall(KEY, dotted):
        yield part[1:-1] if part[0] in "\"'" else part


def _inside(counts: dict[Path, int], parts: tuple[str, ...], grows: bool) -> Path:
    """The path of a header, with the number of the item of every list of tables on the way."""
    path: Path = ()
    for position, part in enumerate(parts):
        path = (*path, part)
        if grows and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = (*path, counts[path])
    return path


def damaged_line(error: tomllib.TOMLDecodeError) -> int | None:
    """The line that the parser of TOML complains about, read off its message."""
    found = re.search(r"at line (\d+)", str(error))
    return int(found[1]) if found else None
