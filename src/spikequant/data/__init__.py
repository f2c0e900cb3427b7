"""Samples and their encodings: readers for the standard sets."""

from spikequant.data.batches import Augment, Batches, crop_and_flip, hold_out
from spikequant.data.dataset import DataSet, Split
from spikequant.data.encoding import direct, rate
from spikequant.data.hdf5 import read_hdf5
from spikequant.data.table import load, names

__all__ = ["Augment", "Batches", "DataSet", "Split", "crop_and_flip", "direct", "hold_out", "load", "names", "rate", "read_hdf5"]
