"""Finished trials as text, one JSON file each, named by its key: what a repository keeps, and what merges without conflict."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from spikequant import files
from spikequant.errors import FormatError, SpecError
from spikequant.quantizers import Spec
from spikequant.studies.keys import RESULTS_VERSION, key_of

LIMIT = 2**20
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Record(Spec):
    """What remains of a finished trial.

    ``hashes``: SHA-256 of its files. ``provenance`` says where and how long it ran, and is no part of the key.
    """

    version: Literal[1] = 1
    results_version: int
    study: str
    key: Digest
    name: str
    tags: Annotated[tuple[str, ...], Field(strict=False)]
    configuration: dict[str, JsonValue]
    data_sha256: dict[str, str]
    measures: dict[str, float | int | None]
    hashes: dict[str, Digest]
    provenance: dict[str, JsonValue] = Field(default_factory=dict)


def parse(document: Any, place: str) -> Record:
    """A record from its JSON form, its key held against its own configuration.

    Raises:
        FormatError: something else, damaged, or changed by hand.
    """
    if not isinstance(document, dict) or not {"key", "configuration"} & document.keys():
        raise FormatError(f"{place} is no record of a trial; give a run folder, or results/<study>")
    remedy = "remove it, and the trial is run again"
    try:
        record = Record.read(document)
    except (SpecError, TypeError, ValueError) as error:
        raise FormatError(f"{place} is no record of a trial: {error}; {remedy}") from None
    if record.key != key_of(record.configuration, record.data_sha256, record.results_version):
        raise FormatError(f"{place}: its key is not that of its configuration: damaged, or changed by hand; {remedy}")
    return record


def read_all(folders: Iterable[Path]) -> dict[str, Record]:
    """The records of these folders by their keys; those of an older results version are left out.

    Raises:
        FormatError: a file there is no record.
    """
    found: dict[str, Record] = {}
    for path in (path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))):
        try:
            if path.stat().st_size > LIMIT:
                raise FormatError(f"{path} has {path.stat().st_size} bytes; a record has at most {LIMIT}")
            document = json.loads(path.read_bytes())
        except OSError as error:
            raise FormatError(f"cannot read {path}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise FormatError(f"{path} is not JSON: {error}; remove it, and the trial is run again") from None
        record = parse(document, str(path))
        if record.results_version == RESULTS_VERSION:
            found.setdefault(record.key, record)
    return found


def write(folder: Path, record: Record) -> None:
    """Write a record to its folder, unless its results stand there: by what name, where and how long it ran is no other record."""
    path = folder / f"{record.key[:16]}.json"
    if not _says(path, record):
        files.write(files.folder(folder) / path.name, json.dumps(record.fields(), indent=1, sort_keys=True, allow_nan=False) + "\n")


def _says(path: Path, record: Record) -> bool:
    """Whether a file holds the results of this record."""
    try:
        held = parse(json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError, RecursionError):
        return False
    return (held.key, held.measures, held.hashes) == (record.key, record.measures, record.hashes)
