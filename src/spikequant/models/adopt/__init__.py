"""The door through which networks of other libraries come in."""

from spikequant.models.adopt.door import adopt
from spikequant.models.adopt.hosting import host, observers
from spikequant.models.adopt.unrolled import Unrolled

__all__ = ["Unrolled", "adopt", "host", "observers"]
