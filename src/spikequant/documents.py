"""JSON from strangers: a name that is there twice is refused, where the standard reader lets the last one win."""

import json
from typing import Any


def parse_json(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, nests too deeply, or an object has a name twice.

    >>> parse_json('{"bits": 4, "bits": 8}')
    Traceback (most recent call last):
    ValueError: the name 'bits' is there twice
    """
    try:
        return json.loads(text, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {name!r} is there twice")
        found[name] = value
    return found
