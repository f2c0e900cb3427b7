"""The reference: the names of the facade with their rooms, and a page for each room with what it offers."""

import inspect

import spikequant

ROOMS = ("quantizers", "neurons", "models", "recipes", "training", "behavior", "search", "deploy", "studies", "data", "numerics")


def pages() -> dict[str, str]:
    """The facade and the rooms."""
    return {"reference/index.md": facade()} | {f"reference/{room}.md": page(room) for room in ROOMS}


def facade() -> str:
    """The table of public names."""
    names = sorted((name for name in spikequant.__all__ if not name.startswith("_")), key=str.lower)
    rows = [f"| `sq.{name}` | {_first(name)} | {_room(name)} |" for name in names]
    listed = "\n".join(ROOMS)
    return (
        "# Reference\n\n`import spikequant as sq` gives these names; each is loaded on first use. All else is in the rooms.\n\n"
        + "\n".join(["| name | what it is | room |", "| :--- | :--- | :--- |", *rows])
        + f"\n\n```{{toctree}}\n:caption: Rooms\n\n{listed}\n```\n"
    )


def page(room: str) -> str:
    """All public names of one room, from their docstrings."""
    title = f"# spikequant.{room}"
    return f"{title}\n\n```{{eval-rst}}\n.. automodule:: spikequant.{room}\n```\n"


def _room(name: str) -> str:
    room = spikequant._ROOMS[name].removeprefix("spikequant.")
    return f"[{room}]({room}.md)" if room in ROOMS else room.partition(".")[0]


def _first(name: str) -> str:
    value = getattr(spikequant, name)
    text = inspect.getdoc(value) or ""
    return " ".join(text.split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")
