"""Random programs of every operation and every choice, and their C, compiled many at a time."""

import ctypes
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.emit import SMALL, sources
from spikequant.deploy.c.layout import Form
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.lateral import Delay, Inhibit, Winner
from spikequant.deploy.machine import Moment
from spikequant.deploy.operations import Add, Concat, Conv2d, Dense, Flatten, Leak, Lif, OrPool, SumPool, Synapse
from spikequant.deploy.program import Header, Source
from spikequant.errors import SpecError

GCC = shutil.which("gcc")
FLAGS = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-DSPIKEQUANT_CHECK", "-fPIC", "-shared"]


class Builder:
    """A random program, operation by operation."""

    def __init__(self, seed: int) -> None:
        self.draw = np.random.default_rng(seed)
        self.operations, self.tensors, self.shapes = [], {}, {}
        flat = self.draw.random() < 0.3
        shape = (int(self.draw.integers(1, 40)),) if flat else (int(self.draw.integers(1, 4)), *map(int, self.draw.integers(4, 8, 2)))
        self.shapes["input"] = shape
        table = self.draw.random() < 0.3
        still = table or self.draw.random() < 0.6
        low, high = self.pick([(0, 1), (-128, 127), (-5, 3), (0, 3)])
        self.source = Source(shape=shape, low=low, high=high, still=still, table=table)
        if table:
            self.tensors["input.table"] = self.draw.integers(low, high + 1, (shape[0], 256))

    def pick(self, choices):
        return choices[int(self.draw.integers(len(choices)))]

    def add(self, op) -> str:
        taken = [self.shapes[source] for source in op.inputs]
        self.shapes[op.name] = op.out_shape(taken)
        self.operations.append(op)
        return op.name

    def synapses(self, source: str, channels: int, same: bool = False) -> str:
        """A dense layer or a convolution; ``same`` keeps height and width."""
        shape, name = self.shapes[source], f"w{len(self.operations)}"
        bits, bias = int(self.draw.integers(1, 9)), bool(self.draw.random() < 0.8)
        fields = {
            "name": name, "inputs": (source,), "bits": bits, "bias": bias, "shift": self.pick([0, 0, 0, 2]),
            "coding": self.pick(["integer", "planes"]) if bits < 5 else "integer",
        }  # fmt: skip
        if len(shape) == 1:
            op = Dense(**fields, features=channels)
        else:
            groups = 2 if shape[0] % 2 == 0 and channels % 2 == 0 and self.draw.random() < 0.2 else 1
            side = self.pick([1, 3])
            window = {"kernel": (side, side), "padding": (side // 2, side // 2)}
            if not same:
                window = {"kernel": (self.pick([1, 2, 3]), self.pick([2, 3])), "padding": self.pick([(0, 0), (1, 0), (1, 2)])}
                window |= {"stride": self.pick([(1, 1), (2, 1), (2, 2)]), "dilation": self.pick([(1, 1), (1, 1), (2, 1)])}
            op = Conv2d(**fields, **window, channels=channels, groups=groups)
        for part, slot in op.slots([shape]).items():
            low, high = {"bias": (-20, 20), "basis": (-30, 30)}.get(part, (slot.low, slot.high))
            self.tensors[f"{name}.{part}"] = self.draw.integers(low, high + 1, slot.shape)
        return self.add(op)

    def neurons(self, source: str) -> str:
        name, channels = f"n{len(self.operations)}", self.shapes[source][0]
        if self.draw.random() < 0.2:
            return self.codebook(source, name, channels)
        bits = int(self.pick([4, 6, 8, 8, 8, 12]))
        fields = {
            "reset": self.pick(["subtract", "value", "none"]), "timing": self.pick(["now", "next"]), "compare": self.pick([">=", ">"]),
            "compare_at": self.pick(["stored", "full"]), "snapped": self.pick(["before_fire", "after_reset"]),
            "overflow": self.pick(["saturate", "wrap"]), "rounding": self.pick(["floor", "half_up", "half_even"]),
        }  # fmt: skip
        if fields["overflow"] == "wrap":
            fields["compare_at"] = "stored"
        if self.draw.random() < 0.15:
            fields |= {"reset": "subtract", "timing": "now", "snapped": "before_fire", "compare_at": "stored", "max_spikes": 3}
        synapse = Synapse(bits=10, leak=self.leak(), overflow=self.pick(["saturate", "wrap"])) if self.draw.random() < 0.2 else None
        signed = bool(self.draw.random() < 0.8)
        op = Lif(
            name=name, inputs=(source,), state_bits=bits, signed=signed, shift=self.pick([0, 0, 1, 3]), leak=self.leak(), synapse=synapse,
            reset_value=self.pick([0, 0, 2]), emits="membrane" if self.draw.random() < 0.05 else "spikes", **fields,
        )  # fmt: skip
        self.tensors[f"{name}.threshold"] = self.draw.integers(1, max(op.high // 2, 1) + 1, channels)
        return self.add(op)

    def codebook(self, source: str, name: str, channels: int) -> str:
        count, tables = int(self.pick([2, 4, 13, 16])), self.pick(["layer", "channel"])
        choices = {
            "reset": self.pick(["subtract", "value", "none"]),
            "timing": self.pick(["now", "next"]),
            "compare_at": self.pick(["stored", "full"]),
        }
        op = Lif(
            name=name, inputs=(source,), state_bits=4, levels=count, tables=tables, leak=Leak(kind="table"),
            snapped=self.pick(["before_fire", "after_reset"]), compare=self.pick([">=", ">"]), **choices,
        )  # fmt: skip
        rows = channels if tables == "channel" else 1
        levels = np.stack([np.sort(self.draw.choice(np.arange(-90, 91), count, replace=False)) for _ in range(rows)])
        self.tensors |= {
            f"{name}.threshold": self.draw.integers(1, 60, channels),
            f"{name}.levels": levels,
            f"{name}.leaked": levels - (levels >> 2),
        }
        return self.add(op)

    def leak(self) -> Leak:
        rounding = self.pick(["floor", "trunc", "half_up"])
        return self.pick(
            [
                Leak(),
                Leak(kind="shift", shift=2),
                Leak(kind="shift_min1", shift=3),
                Leak(kind="constant", amount=3),
                Leak(kind="multiply_shift", multiplier=230, shift=8, rounding=rounding),
                Leak(kind="multiply_shift", multiplier=3, shift=2, rounding=rounding),
            ]
        )

    def spiking(self, source: str, channels: int, same: bool = False) -> str:
        return self.neurons(self.synapses(source, channels, same))

    def program(self) -> Program:
        x, channels = "input", int(self.draw.integers(2, 9))
        for _ in range(int(self.draw.integers(1, 4))):
            kind = self.draw.random()
            if kind < 0.4:
                x = self.spiking(x, channels)
            elif kind < 0.6:  # residual
                first = self.spiking(x, channels, same=True)
                second = self.spiking(first, channels, same=True)
                x = self.add(Add(name=f"a{len(self.operations)}", inputs=(first, second)))
            elif kind < 0.75:
                first, second = self.spiking(x, channels, same=True), self.spiking(x, 3, same=True)
                x = self.add(Concat(name=f"c{len(self.operations)}", inputs=(first, second)))
            elif len(self.shapes[x]) == 3 and min(self.shapes[x][1:]) > 1:
                pool = self.pick([SumPool, OrPool])
                x = self.add(pool(name=f"p{len(self.operations)}", inputs=(x,), size=(2, 2), stride=self.pick([(1, 1), (2, 2)])))
        if len(self.shapes[x]) == 3:
            x = self.add(Flatten(name="flat", inputs=(x,)))
        x = self.synapses(x, int(self.draw.integers(1, 12)))
        if self.draw.random() < 0.7:
            self.neurons(x)
        header = Header(
            name="random", time=int(self.draw.integers(1, 6)), source=self.source, operations=tuple(self.operations),
            readout=self.pick(["sum", "last", "first_spike"]),
        )  # fmt: skip
        return Program(header, self.tensors)


class Competing(Builder):
    """A random program whose neurons pause after a spike, and inhibit those of their layer in the next step; of some one wins."""

    def neurons(self, source: str) -> str:
        at, shape = len(self.operations), self.shapes[source]
        delayed = f"d{at}"
        self.shapes[delayed] = shape
        inhibition = self.add(Inhibit(name=f"i{at}", inputs=(delayed,), strength=self.pick([1, 7, 40])))
        last = super().neurons(self.add(Add(name=f"s{at}", inputs=(source, inhibition))))
        most = self.operations[-1].max_spikes
        if self.draw.random() < 0.7:
            self.operations[-1] = self.operations[-1].model_copy(update={"refractory": self.pick([1, 2, 5])})
        if len(shape) == 1 and self.draw.random() < 0.8:
            count = self.pick([1, 3, 8])
            last = self.add(Winner(name=f"win{at}", inputs=(last,), draws=count))
            self.tensors[f"{last}.draws"] = self.draw.integers(0, 2**15, count)
        self.operations.insert(at, Delay(name=delayed, inputs=(last,), shape=shape, high=most))
        return last


def random_program(seed: int, builder: type[Builder] = Builder) -> Program:
    """A sound program; draws whose windows or bounds do not fit are drawn again."""
    for attempt in range(100):
        try:
            return builder(seed * 100 + attempt).program()
        except (SpecError, ValueError):
            continue
    raise AssertionError(f"seed {seed} gives no program")


class Compiled:
    """Many programs in one library, each under its own prefix: one file for all, as most of a small program's compiling is beginning."""

    def __init__(self, programs: list[Program], folder: Path, flags: list[str], form: Form) -> None:
        self.programs, self.sources = programs, []
        for index, program in enumerate(programs):
            # Half of the layers that may be in bit planes are.
            rates = {op.name: 0.9 if index % 2 else 0.0 for op in program.header.operations}
            self.sources.append(sources(program, rates, f"p{index}", form))
        (folder / "all.c").write_text("".join(made.header + own(made.source, f"p{at}") for at, made in enumerate(self.sources)))
        subprocess.run([str(GCC), *FLAGS, *flags, str(folder / "all.c"), "-o", str(folder / "all.so")], check=True, timeout=300)
        self.library = ctypes.CDLL(str(folder / "all.so"))

    def run(self, index: int, images: np.ndarray) -> tuple[list[int], list[int]]:
        """Class and hash of every image."""
        program, prefix = self.programs[index], f"p{index}"
        memory = ctypes.create_string_buffer(self.sources[index].memory_bytes + 4 * len(program.header.operations) + 64)
        classes, found = [], []
        for image in as_bytes(program, images):
            classes.append(getattr(self.library, f"{prefix}_run")(memory, image.ctypes.data_as(ctypes.c_void_p)))
            found.append(getattr(self.library, f"{prefix}_hash")(memory) & 0xFFFFFFFF)
        return classes, found


def own(source: str, prefix: str) -> str:
    """The source of a model with names for its constants and static functions that no other model in the file has."""
    functions = re.findall(r"^static (?:inline )?\w+ (\w+)\(", source, re.MULTILINE)
    named = re.sub(rf"\b(k(?=\.| = )|(?:{'|'.join(functions)})(?=\())", rf"{prefix}_\1", source)
    return named.replace('#include "model.h"\n', "")


@pytest.fixture(scope="session")
def random_programs() -> Callable[[range], list[Program]]:
    return lambda seeds: [random_program(seed) for seed in seeds]


@pytest.fixture(scope="session")
def competing_programs() -> Callable[[range], list[Program]]:
    return lambda seeds: [random_program(seed, Competing) for seed in seeds]


@pytest.fixture(scope="session")
def compared_in_onnxruntime() -> Callable[[Program, np.ndarray, list[Moment]], int]:
    """How many values of a program were compared with what the interpreter saw; all of them are equal."""
    onnxruntime = pytest.importorskip("onnxruntime")
    from spikequant.deploy.onnx.writing import model

    def compared(program: Program, images: np.ndarray, judge: list[Moment]) -> int:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = onnxruntime.InferenceSession(model(program, trace=True).SerializeToString(), options, providers=["CPUExecutionProvider"])
        codes = images.astype(np.uint8 if program.header.source.table else np.int8)
        found = dict(zip([output.name for output in session.get_outputs()], session.run(None, {"input": codes}), strict=True))
        scores = program.run(images)
        assert np.array_equal(found["scores"], scores)
        count = scores.size
        for t, moment in enumerate(judge):
            for op in program.header.operations:
                reach, value = program.reach(op.name), moment.values[op.name]
                assert reach.low <= value.min() <= value.max() <= reach.high, f"{op.name} leaves what is proven of it"
                if isinstance(op, Lif):
                    assert np.array_equal(found[f"{op.name}.value"][t], moment.values[op.name]), (op.name, t)
                    assert np.array_equal(found[f"{op.name}.v"][t], moment.membranes[op.name].v), (op.name, t)
                    count += 2 * moment.values[op.name].size
        return count

    return compared


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., Compiled]:
    if GCC is None:
        pytest.skip("no gcc")

    def build(programs: list[Program], flags: list[str], form: Form = SMALL) -> Compiled:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        return Compiled(programs, folder, flags, form)

    return build
