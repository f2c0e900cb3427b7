"""What a training that freezes went through, epoch by epoch, kept beside its network; and by which schedule it did."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spikequant import files
from spikequant.training import Event, Freezing, Froze

FILE = "dynamics.json"


def kept(events: Iterable[Event], folder: Path) -> Iterator[Event]:
    """The same events; each ``Froze`` among them is written down before its epoch counts as done.

    An epoch that is run again after a kill writes the same, so the file does not tell of kills.
    """
    path = folder / FILE
    epochs = json.loads(path.read_text()) if path.exists() else {}
    for event in events:
        if isinstance(event, Froze):
            epochs[str(event.epoch)] = asdict(event)
            files.write(path, json.dumps(epochs, sort_keys=True, allow_nan=False) + "\n")
        yield event


def schedule(setup: Mapping[str, Any]) -> dict[str, Any]:
    """How the training of this setup freezes, in full: a record leaves out what is as ever.

    >>> schedule({"training": {"epochs": 10, "freezing": {"order": "global"}}})["tail"]
    0.05
    """
    return Freezing.model_validate(setup["training"]["freezing"]).model_dump()
