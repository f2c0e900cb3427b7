"""A program as NIR: a view of floats for other libraries, the integers themselves in its metadata, and what each reader gets wrong."""

from spikequant.deploy.nir.view import READERS, Reader
from spikequant.deploy.nir.writing import Written, read_nir, write_nir

__all__ = ["READERS", "Reader", "Written", "read_nir", "write_nir"]
