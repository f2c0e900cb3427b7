"""What a training that freezes went through, epoch by epoch, kept beside its network."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from spikequant import files
from spikequant.training import Event, Froze

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
