"""Which trials hold our reading of a paper that says too little."""

from collections.abc import Mapping

from spikequant.quantizers.specs.own import imported

DOUBT = "?"
READINGS = (("neuron", "trained_threshold"), ("score", "fisher"))
"""What is no spec of a grid, and is our reading all the same: a field and its value."""


def is_reading(configuration: object) -> bool:
    """Whether a configuration holds a method that is uncertain, at any depth; of a user's own class: where it has been imported.

    >>> is_reading({"recipe": {"weights": {"kind": "spikefit", "bits": 2}}}), is_reading({"kind": "lsq", "bits": 2})
    (True, False)
    """
    if not isinstance(configuration, Mapping):
        return False
    spec = imported(str(configuration.get("kind")))
    doubted = spec is not None and spec.model_construct(**configuration).uncertain
    doubted |= any(configuration.get(field) == value for field, value in READINGS)
    return doubted or any(is_reading(each) for each in configuration.values())
