import errno

import pytest
import torch

from spikequant.errors import DataError, Diverged, FormatError, SpikequantError
from spikequant.studies.failures import RULES, Interrupted, failure_of


def caused(error: SpikequantError, number: int) -> SpikequantError:
    error.__cause__ = OSError(number, "why")
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Diverged("training diverged at step 3 in epoch 1: the output of layer 'conv1' is not finite"), "diverged"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"), "out_of_memory"),
        (Interrupted(), "interrupted"),
        (caused(SpikequantError("cannot write x: No space left on device"), errno.ENOSPC), "unwritable"),
        (caused(DataError("cannot read x: Permission denied"), errno.EACCES), "failed"),
        (caused(FormatError("cannot read x: Input/output error"), errno.EIO), "failed"),
        (OSError(errno.EIO, "Input/output error"), "unwritable"),
        (FileNotFoundError(errno.ENOENT, "x"), "failed"),
        (ZeroDivisionError("x"), "failed"),
    ],
)
def test_an_exception_becomes_a_kind_that_has_a_rule(error: BaseException, kind: str) -> None:
    failure = failure_of(error)
    assert failure.kind == kind
    assert failure.kind in RULES
    assert failure.reason


def test_the_reason_names_step_and_layer() -> None:
    assert "step 3 in epoch 1" in failure_of(Diverged("diverged at step 3 in epoch 1: layer 'conv1'")).reason


def test_what_would_come_again_is_not_tried_again() -> None:
    assert RULES["diverged"] == (0, False)
    assert RULES["killed"].retries > 0
    assert RULES["interrupted"].next_command
