"""A program as C99: no dependency, no malloc, no libm; two structs, one of constants and one of memory."""

from spikequant.deploy.c.writing import write_c

__all__ = ["write_c"]
