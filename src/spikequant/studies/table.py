"""The registry of this room: every procedure by its name."""

from spikequant.studies.local import DECOLLE
from spikequant.studies.procedure import Procedure
from spikequant.studies.supervised import POST_TRAINING, SUPERVISED
from spikequant.studies.unsupervised import STDP

PROCEDURES: dict[str, Procedure] = {
    "decolle": DECOLLE,
    "post_training": POST_TRAINING,
    "stdp": STDP,
    "supervised": SUPERVISED,
}
