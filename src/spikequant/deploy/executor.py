"""The fast form on CPU: a program's C, written for speed, compiled here and run in this process."""

import ctypes
import math
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spikequant.deploy.c.emit import sources
from spikequant.deploy.c.layout import Form
from spikequant.deploy.c.loading import loaded
from spikequant.deploy.machine import encode, encode_narrow, interpret, refuse_beyond, refuse_shape
from spikequant.deploy.operations import Conv2d, Dense
from spikequant.deploy.program import Program
from spikequant.errors import MismatchError, SpecError

Integers = NDArray[np.int64]
PAYS = 10**9  # multiplications: for them the interpreter takes about as long as a compiler for its work
LARGEST = 2**23  # weights: more of them make source text that compilers take minutes for
LOOP = """
void net_scores(net_memory *m, const int8_t *images, int32_t count, int32_t *scores) {
    for (int32_t n = 0; n < count; n++) {
        net_run(m, images + (int64_t)n * SIZE);
        memcpy(scores + (int64_t)n * net_CLASSES, m->scores, sizeof m->scores);
    }
}
"""


class Executor:
    """A compiled program: codes in, scores out, on as many threads as torch has.

    Raises:
        SpecError: there is no C compiler (``CC``, else ``cc``), it fails, the program is too large for it, or its scores can leave 32 bits.
    """

    def __init__(self, program: Program) -> None:
        self.program = _fed_with_codes(program)
        weights = sum(value.size for name, value in program.tensors.items() if name.endswith(".weight"))
        if weights > LARGEST:
            raise SpecError(f"{program.header.name} has {weights} weights; the executor compiles at most {LARGEST}: use Simulation")
        made = sources(self.program, {}, form=Form(once=True, scattered=True))
        source = self.program.header.source
        self.size = math.prod(source.shape) * (1 if source.still else program.header.time)
        self.memory_bytes = made.memory_bytes
        self.scores = loaded(made.header, made.source + LOOP.replace("SIZE", str(self.size))).net_scores
        self.scores.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p]
        self.scores.restype = None

    def run(self, codes: Integers | NDArray[np.int8]) -> Integers:
        """Scores ``[batch, class]`` of codes as ``machine.encode`` or ``machine.encode_narrow`` gives them.

        Raises:
            MismatchError: codes of another shape than the program's, out of range, or no whole numbers.
        """
        source = self.program.header.source
        if codes.dtype.kind not in "iub":
            raise MismatchError(f"an executor takes the codes that machine.encode gives, got {codes.dtype}; program.run takes real images")
        refuse_shape(self.program, codes.shape)
        refuse_beyond(self.program, codes, source.low, source.high)
        narrow = codes.astype(np.int8, copy=False)  # before they are laid out anew: an eighth of the memory
        images = np.ascontiguousarray(narrow if source.still else np.moveaxis(narrow, 1, 0)).reshape(-1, self.size)
        scores = np.empty((len(images), self.program.classes), np.int32)
        parts = np.array_split(np.arange(len(images)), min(torch.get_num_threads(), len(images)))
        bounds = [(int(part[0]), len(part)) for part in parts]
        if len(bounds) == 1:
            self._part(images, scores, bounds[0])
        else:
            with ThreadPoolExecutor(len(bounds)) as pool:
                list(pool.map(lambda bound: self._part(images, scores, bound), bounds))
        return scores.astype(np.int64)

    def _part(self, images: NDArray[Any], scores: NDArray[Any], bound: tuple[int, int]) -> None:
        memory = np.empty(-(-self.memory_bytes // 8), np.int64)  # of its own: calls may come from many threads
        at, count = bound
        self.scores(memory.ctypes.data, images[at:].ctypes.data, count, scores[at:].ctypes.data)


class Engine:
    """What runs a program: the interpreter until it has worked as long as compiling takes, then the executor, where there can be one.

    Scores are the same. ``SPIKEQUANT_KERNELS=torch`` asks for the interpreter alone.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.asked = program, 0
        self.executor: Executor | None = None
        self.hopeless = os.environ.get("SPIKEQUANT_KERNELS") == "torch"

    def run(self, images: Any) -> Integers:
        """Scores ``[batch, class]``; see ``Program.run``."""
        if self.executor is not None:
            return self.executor.run(encode_narrow(self.program, images))
        codes = encode(self.program, images)
        self.asked += multiplications(self.program) * codes.shape[0 if self.program.header.source.still else 1]
        if self.executor is None and not self.hopeless and self.asked > PAYS:
            self._compile(codes)
        return interpret(self.program, codes) if self.executor is None else self.executor.run(codes)

    def _compile(self, codes: Integers) -> None:
        """Admit an executor that agrees with the interpreter on the first image."""
        self.hopeless = True
        try:
            executor = Executor(self.program)
        except SpecError:
            return
        one = codes[:1] if self.program.header.source.still else codes[:, :1]
        if np.array_equal(executor.run(one), interpret(self.program, one)):
            self.executor = executor
        else:
            problem = f"the compiled form of {self.program.header.name} differs from the interpreter and is not used; please report it"
            warnings.warn(problem, RuntimeWarning, stacklevel=2)


def multiplications(program: Program) -> int:
    """Synapses over all steps of one image, active or not.

    >>> from spikequant.deploy.operations import Dense
    >>> from spikequant.deploy.program import Header, Source
    >>> op = Dense(name="a", inputs=("input",), bits=2, features=3, bias=False)
    >>> multiplications(Program(Header(name="a", time=5, source=Source(shape=(2,)), operations=(op,)), {"a.weight": np.ones((3, 2))}))
    30
    """
    each = 0
    for op in program.header.operations:
        if isinstance(op, Dense | Conv2d):
            weight = program.tensors[f"{op.name}.weight"]
            each += weight.size * math.prod(program.shapes[op.name][1:])
    return each * program.header.time


def _fed_with_codes(program: Program) -> Program:
    """The same program without its table of pixels."""
    source = program.header.source.model_copy(update={"table": False})
    tensors = {name: value for name, value in program.tensors.items() if name != "input.table"}
    return Program(program.header.model_copy(update={"source": source}), tensors)
