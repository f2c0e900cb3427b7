"""The file: a model around the Scan, its metadata, and the check that it passes before it is written."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from spikequant import files
from spikequant.deploy.c.vectors import drawn, first, inputs
from spikequant.deploy.lateral import DRAW_BITS, Delay, Winner
from spikequant.deploy.onnx import neurons
from spikequant.deploy.onnx.graph import Graph
from spikequant.deploy.onnx.synapses import STATELESS, synapses
from spikequant.deploy.operations import Conv2d, Dense, Lif, emitting
from spikequant.deploy.program import INPUT, Program, canonical, refuse_wide_scores
from spikequant.errors import FormatError, MismatchError

OPSET, IR, VECTORS, OURS = 21, 10, 4, "spikequant"
Integers = NDArray[np.int64]


class Written(NamedTuple):
    """What was written: bytes of the file, nodes outside and inside the Scan."""

    bytes: int
    nodes: int
    body_nodes: int


def write_onnx(program: Program, path: str | Path, images: Any = None, *, trace: bool = False) -> Written:
    """Write a program as ONNX (opset 21): pixels (uint8) or codes (int8) in, ``[batch, ...]`` or ``[time, batch, ...]``; int32 scores out.

    The model computes in whole numbers only (ConvInteger, MatMulInteger, int32), so it has no scales and no fusion can change it. Its
    metadata hold the program's hash, its header and test vectors: the first of ``images`` (as ``program.run`` takes them, but bytes where
    it has a table of pixels), or random ones. The scores of the vectors are compared in onnxruntime before anything is written. ``trace``
    adds outputs ``NAME.value`` and ``NAME.v`` ``[time, batch, ...]`` for every layer of neurons.

    Raises:
        SpecError: scores can leave 32 bits, or the program takes pixels and these are real numbers.
        MismatchError: the images do not fit, or this onnxruntime does not compute what the program computes.
        SpikequantError: the file cannot be written.
    """
    shown = inputs(program, drawn(program, VECTORS) if images is None else images)
    codes = _fed(program, first(program, shown, VECTORS))
    proto = model(program, trace)
    vectors = {"shape": codes.shape, "input": base64.b64encode(codes.tobytes()).decode(), "scores": _scores(program, codes)}
    about = {"hash": program.hash, "header": canonical(program.header.fields()), "vectors": json.dumps(vectors)}
    helper.set_model_props(proto, {f"{OURS}.{name}": text for name, text in about.items()})
    content = proto.SerializeToString()
    _refuse_unequal(content, str(path))
    files.write(Path(path), content)
    scan = next(node for node in proto.graph.node if node.op_type == "Scan")
    return Written(len(content), len(proto.graph.node), len(helper.get_node_attr_value(scan, "body").node))


def check_onnx(path: str | Path) -> str:
    """Run the test vectors that a file carries in this onnxruntime; the hash of its program.

    Raises:
        FormatError: the file is damaged, or none of ours.
        MismatchError: onnxruntime gives other scores.
    """
    return _refuse_unequal(files.read(Path(path), 2**30), str(path))


def model(program: Program, trace: bool = False) -> onnx.ModelProto:
    """The model, without metadata.

    Raises:
        SpecError: scores can leave 32 bits.
    """
    refuse_wide_scores(program)
    time, source = program.header.time, program.header.source
    outer = Graph()
    kind = TensorProto.UINT8 if source.table else TensorProto.INT8
    batch = outer("Slice", outer("Shape", INPUT), *(outer.constant([each], np.int64) for each in _batch_axis(source.still)))
    scan = _Scan(program, outer, batch, trace)
    scan.write(_codes(program, outer))
    lead: list[Any] = ["batch"] if source.still else [time, "batch"]
    taken = helper.make_tensor_value_info(INPUT, kind, [*lead, *source.shape])
    given = [helper.make_tensor_value_info("scores", TensorProto.INT32, ["batch", program.classes])]
    given += [helper.make_tensor_value_info(name, TensorProto.INT32, [time, "batch", *shape]) for name, shape in scan.traced.items()]
    graph = helper.make_graph(outer.nodes, "program", [taken], given, outer.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="spikequant")
    made.ir_version = IR
    onnx.checker.check_model(made, full_check=True)
    return made


class _Scan:
    """The loop over time: what is the same in every step lies outside of it."""

    def __init__(self, program: Program, outer: Graph, batch: str, trace: bool) -> None:
        self.program, self.outer, self.batch, self.trace = program, outer, batch, trace
        self.body = outer.inner()
        self.begins: list[str] = []
        self.carried: list[tuple[str, str, tuple[int, ...]]] = []  # taken, given, shape
        self.scanned: list[tuple[str, str, tuple[int, ...]]] = []  # value, output, shape
        self.traced: dict[str, tuple[int, ...]] = {}

    def write(self, codes: str) -> None:
        """Add the nodes of the program, and the Scan, to the outer graph."""
        header = self.program.header
        values, still = {INPUT: codes if header.source.still else "codes"}, {INPUT} if header.source.still else set()
        for op in header.operations:
            if isinstance(op, Lif):
                values[op.name] = self._neurons(op, values[op.inputs[0]])
                continue
            if isinstance(op, Delay):
                values[op.name] = self._carry(op.name, np.zeros((1,) * (len(op.shape) + 1), np.int64), op.shape)
                continue
            if isinstance(op, Winner):
                values[op.name] = self._winner(op, values[op.inputs[0]])
                continue
            fixed = all(name in still for name in op.inputs)
            still |= {op.name} if fixed else set()
            values[op.name] = self._plain(self.outer if fixed else self.body, op, [values[name] for name in op.inputs])
        for op in header.operations:
            if isinstance(op, Delay):
                self._give(op.name, values[op.inputs[0]])
        self._read(values[header.operations[-1].name])
        self._close(codes)

    def _plain(self, g: Graph, op: Any, inputs: list[str]) -> str:
        if isinstance(op, Dense | Conv2d):
            return synapses(g, op, inputs[0], self.program.reach(op.inputs[0]), self.program)
        return STATELESS[op.kind](g, op, inputs, self.program)

    def _neurons(self, op: Lif, acc: str) -> str:
        shape, tensors = self.program.shapes[op.name], self.program.tensors
        constants = neurons.held(self.outer, op, shape, tensors)
        state = neurons.State(self._carry(f"{op.name}.v", neurons.rest(op, shape, tensors), shape))
        zero = np.zeros((1,) * (len(shape) + 1), np.int64)
        for part, wanted in (("current", op.synapse), ("left", op.refractory)):
            if wanted is not None:
                state = state._replace(**{part: self._carry(f"{op.name}.{part}", zero, shape)})
        z, after = neurons.step(self.body, op, acc, state, constants)
        for part, name in after._asdict().items():
            if name is not None:
                self._give(f"{op.name}.{part}", name)
        value = neurons.value(self.body, op, z, after.v, constants)
        if self.trace:
            self._show(f"{op.name}.value", value, shape)
            self._show(f"{op.name}.v", after.v, shape)
        return value

    def _winner(self, op: Winner, x: str) -> str:
        """See ``machine.won``."""
        g, axis = self.body, self.outer.constant([1], np.int64)
        active = g("Greater", x, 0)
        ones = g.cast(active, TensorProto.INT32)
        draw = g("Gather", self.outer.constant(self.program.tensors[f"{op.name}.draws"]), g("Mod", "step", op.draws))
        chosen = g("Div", g("Mul", draw, g("ReduceSum", ones, axis, keepdims=1)), 1 << DRAW_BITS)
        place = g("Sub", g("CumSum", ones, self.outer.constant(1)), 1)
        value = g("Where", g("And", active, g("Equal", place, chosen)), x, 0)
        if self.trace:
            self._show(f"{op.name}.value", value, self.program.shapes[op.name])
        return value

    def _read(self, last: str) -> None:
        rule, time, shape = self.program.header.readout, self.program.header.time, (self.program.classes,)
        value = self.body("Flatten", last, axis=1)
        before = self._carry("scores", np.full((1, 1), time if rule == "first_spike" else 0), shape)
        after = value
        if rule == "sum":
            after = self.body("Add", before, value)
        elif rule == "first_spike":
            now = self.body("And", self.body("Equal", before, time), self.body("Greater", value, 0))
            after = self.body("Where", now, "step", before)
        self._give("scores", after)

    def _carry(self, name: str, begin: Integers, shape: tuple[int, ...]) -> str:
        size = self.outer("Concat", self.batch, self.outer.constant(shape, np.int64), axis=0)
        self.begins.append(self.outer("Expand", self.outer.constant(begin), size))
        self.carried.append((f"{name}.before", f"{name}.after", shape))
        return f"{name}.before"

    def _give(self, name: str, value: str) -> None:
        self.body.named(value, f"{name}.after")

    def _show(self, name: str, value: str, shape: tuple[int, ...]) -> None:
        self.body.named(value, f"{name}.shown")
        self.scanned.append((f"{name}.shown", name, shape))
        self.traced[name] = shape

    def _close(self, codes: str) -> None:
        def info(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", *shape])

        source = self.program.header.source
        taken = [info(before, shape) for before, _, shape in self.carried]
        taken.append(helper.make_tensor_value_info("step", TensorProto.INT32, []))
        over = [self.outer.constant(np.arange(self.program.header.time))]
        if not source.still:
            taken.append(info("codes", source.shape))
            over.append(codes)
        given = [info(after, shape) for _, after, shape in self.carried] + [info(value, shape) for value, _, shape in self.scanned]
        body = helper.make_graph(self.body.nodes, "step", taken, given)
        ends = [f"{after}.end" if after != "scores.after" else "scores" for _, after, _ in self.carried]
        outputs = [*ends, *(name for _, name, _ in self.scanned)]
        node = helper.make_node("Scan", [*self.begins, *over], outputs, num_scan_inputs=len(over), body=body)
        self.outer.nodes.append(node)


def _codes(program: Program, g: Graph) -> str:
    """The input as int32 codes: pixels by the table."""
    x, source = g.cast(INPUT, TensorProto.INT32), program.header.source
    if not source.table:
        return x
    places = np.arange(source.shape[0]).reshape(1, -1, *(1,) * (len(source.shape) - 1)) * 256
    return g("Gather", g.constant(program.tensors["input.table"].reshape(-1)), g("Add", x, g.constant(places)))


def _batch_axis(still: bool) -> tuple[int, int]:
    return (0, 1) if still else (1, 2)


def _fed(program: Program, images: Any) -> NDArray[Any]:
    """Images as the model takes them."""
    return inputs(program, images).astype(np.uint8 if program.header.source.table else np.int8)


def _scores(program: Program, codes: NDArray[Any]) -> list[list[int]]:
    return program.run(codes.astype(np.int64)).tolist()  # type: ignore[no-any-return]


def traced(program: Program, images: Any) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    """What every layer of neurons emits in onnxruntime, ``[time, batch, ...]``, and scores."""
    names = list(emitting(program.header.operations))
    session = _session(model(program, trace=True).SerializeToString())
    scores, *found = session.run(["scores", *(f"{name}.value" for name in names)], {INPUT: _fed(program, images)})
    return dict(zip(names, found, strict=True)), scores


def _session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _refuse_unequal(content: bytes, place: str) -> str:
    try:
        props = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
        vectors, known = json.loads(props[f"{OURS}.vectors"]), props[f"{OURS}.hash"]
        kind = np.uint8 if json.loads(props[f"{OURS}.header"])["source"]["table"] else np.int8
        codes = np.frombuffer(base64.b64decode(vectors["input"]), kind).reshape(vectors["shape"])
        scores = _session(content).run(["scores"], {INPUT: codes})[0].tolist()
    except Exception as error:  # protobuf and onnxruntime raise classes of their own for damaged files
        raise FormatError(f"{place} is no ONNX model of this project: {type(error).__name__}: {error}") from None
    if scores != vectors["scores"]:
        raise MismatchError(f"{place}: onnxruntime {onnxruntime.__version__} gives other scores than the program")
    return str(known)
