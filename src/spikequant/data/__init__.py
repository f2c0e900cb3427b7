"""Samples and their encodings: readers for the standard sets."""

from spikequant.data.arrays import read_npy, read_npz
from spikequant.data.batches import Augment, Batches, crop_and_flip, hold_out
from spikequant.data.dataset import DataSet, Split
from spikequant.data.encoding import direct, rate
from spikequant.data.hdf5 import read_hdf5
from spikequant.data.table import load, names

__all__ = ["Augment", "Batches", "DataSet", "Split", "crop_and_flip", "direct", "hold_out", "load", "names", "rate"]
__all__ += ["read_hdf5", "read_npy", "read_npz"]
