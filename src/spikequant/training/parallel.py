"""One training on several processes, as ``torchrun`` starts them: each takes its share of every batch, and all take the same step."""

import contextlib
import importlib
import os
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist

from spikequant.errors import MismatchError
from spikequant.training.outputs import batch_axis


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Join the processes that ``torchrun`` started with this one, if it did: gloo on CPUs, NCCL where each has a GPU."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield
        return
    # Loaded while there is a group, this module's default arguments would hold it, and its threads could abort Python as it ends.
    importlib.import_module("torch.distributed.nn.functional")
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes train together; 1 where none was joined."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def writes() -> bool:
    """Whether this process writes files: the first one does.

    >>> writes()
    True
    """
    return size() == 1 or dist.get_rank() == 0


def wait() -> None:
    """Go on when all processes are here."""
    if size() > 1:
        dist.barrier()


def share(model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, float]:
    """This process's part of a batch, and what part of the batch that is. Events ``[time, batch, ...]`` are split along their batch.

    Raises:
        MismatchError: the batch has fewer samples than there are processes.

    >>> share(nn.Identity(), torch.zeros(4, 1), torch.zeros(4))[2]
    1.0
    """
    if size() == 1:
        return x, y, 1.0
    if len(y) < size():
        raise MismatchError(f"a batch of {len(y)} cannot be shared by {size()} processes; choose another batch size, or fewer processes")
    parts = [tensor.tensor_split(size(), along)[dist.get_rank()] for tensor, along in ((x, batch_axis(model, x, y)), (y, 0))]
    return parts[0], parts[1], len(parts[1]) / len(y)


def combine(gradients: Sequence[Tensor], loss: Tensor, part: float) -> Tensor:
    """Replace the gradients of every process's mean loss by those of the whole batch's, which is returned.

    Equation: ``sum_k part[k] g[k]``, the parts adding up to 1. Batch norm takes the moments of its own process's part.

    >>> float(combine([], torch.tensor(0.5), 1.0))
    0.5
    """
    if size() == 1:
        return loss.detach()
    flat = torch.cat([loss.detach().reshape(1), *(gradient.reshape(-1) for gradient in gradients)]) * part
    dist.all_reduce(flat)
    begin = 1
    for gradient in gradients:
        gradient.copy_(flat[begin : begin + gradient.numel()].view_as(gradient))
        begin += gradient.numel()
    return flat[0]


def align(model: nn.Module) -> None:
    """Give every process the buffers of the first one: running moments, which each has gathered on its own part."""
    if size() > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)
