"""The key of a trial: a hash of all that its numbers follow from, and of nothing else."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

# Raise it when the same configuration gives other numbers than before: then every trial is run again.
RESULTS_VERSION = 1
NAMING = frozenset({"kind"})


def said(value: Any) -> Any:
    """A configuration as JSON without what equals its default, so that a field added later leaves old keys as they are.

    What names a method (``kind``) always stays.

    >>> from spikequant.quantizers import LQNet
    >>> said(LQNet(bits=2))
    {'kind': 'lqnet', 'bits': 2}
    """
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        differs = {name: getattr(value, name) != fields[name].get_default(call_default_factory=True) for name in fields}
        kept = {name: getattr(value, name) for name in fields if name in NAMING or differs[name]}
        return {name: said(part) for name, part in kept.items() if part is not None}
    if isinstance(value, Mapping):
        return {str(name): said(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [said(part) for part in value]
    return value


def key_of(configuration: Mapping[str, Any], data_sha256: Mapping[str, str], version: int = RESULTS_VERSION) -> str:
    """The key: SHA-256, in hexadecimal, of configuration, data hashes and results version as canonical JSON.

    >>> key_of({"seed": 0}, {}) == key_of({"seed": 0}, {}, version=1)
    True
    """
    keyed = {"configuration": configuration, "data": dict(data_sha256), "results_version": version}
    return hashlib.sha256(json.dumps(keyed, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()).hexdigest()
