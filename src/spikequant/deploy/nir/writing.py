"""The file: a NIR graph whose nodes bear the integers that they stand for, and the program read back from them."""

import io
import json
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import nir
import numpy as np
from numpy.typing import NDArray

from spikequant import files
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.nir.measuring import differing
from spikequant.deploy.nir.view import READERS, Neurons, Parts, Reader, Synapses, viewed
from spikequant.deploy.operations import Add, Conv2d, Flatten, Lif, OrPool, SumPool
from spikequant.deploy.program import INPUT, Header, Program, canonical
from spikequant.errors import FormatError, SpecError, unknown

OURS, IMAGES, LIMIT = "spikequant", 16, 2**30


class Written(NamedTuple):
    """What was written: bytes, the spikes that were compared, and how many the reader gets wrong."""

    bytes: int
    spikes: int
    different: int


def write_nir(program: Program, path: str | Path, images: Any = None, reader: str = "spikingjelly") -> Written:
    """Write a program as NIR for one reader, and count the spikes that this reader gets wrong.

    NIR has no bits, no rounding, no overflow and no other reset than to a value: the graph holds floats and is a view. ``images``, as
    ``program.run`` takes them, or random ones, are shown to program and view. Input of the graph are codes, as floats. The metadata
    hold the program, whole: ``read_nir`` gives it back.

    Raises:
        SpecError: the reader is unknown, or NIR has nothing for an operation.
        MismatchError: the images do not fit the program.
        SpikequantError: the file cannot be written.
    """
    if reader not in READERS:
        raise SpecError(unknown("reader", reader, READERS))
    parts = viewed(program, READERS[reader])
    spikes, different = differing(program, parts, READERS[reader], drawn(program, IMAGES) if images is None else images)
    content = _bytes(graph(program, parts, reader))
    _borne(content, str(path))
    files.write(Path(path), content)
    return Written(len(content), spikes, different)


def read_nir(path: str | Path) -> Program:
    """The program that a NIR file bears, its hash verified.

    Raises:
        FormatError: the file is absent, damaged, or none of ours.
    """
    return _borne(files.read(Path(path), LIMIT), str(path))


def _borne(content: bytes, place: str) -> Program:
    try:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "net.nir").write_bytes(content)
            found = nir.read(Path(folder) / "net.nir")
        held = json.loads(_text(found.metadata[OURS]))
        tensors = {name.removeprefix("tensor:"): value for name, value in found.metadata.items() if name.startswith("tensor:")}
        for node in found.nodes.values():
            tensors |= {name.removeprefix("tensor:"): value for name, value in node.metadata.items() if name.startswith("tensor:")}
        program = Program(Header.model_validate_json(canonical(held["header"])), tensors)
    except Exception as error:  # h5py, nir and pydantic raise classes of their own for damaged files
        raise FormatError(f"{place} bears no sound program: {type(error).__name__}: {error}") from None
    if program.hash != held["hash"]:
        raise FormatError(f"{place} does not fit its hash: it is damaged, or was changed by hand")
    return program


def graph(program: Program, parts: Parts, reader: str) -> nir.NIRGraph:
    """The graph; several edges into a node are their sum.

    Raises:
        SpecError: a value is added to itself.
    """
    how, shapes, taken = READERS[reader], program.shapes, {"output", *program.shapes}
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(input_type={"input": np.array(shapes[INPUT])})}
    edges: list[tuple[str, str]] = []
    given = {INPUT: ["input"]}
    for op in program.header.operations:
        sources = [name for each in op.inputs for name in given[each]]
        if len(set(sources)) < len(sources):
            raise SpecError(f"{op.name}: NIR has one edge between two nodes, so nothing is added to itself; use C or ONNX")
        if isinstance(op, Add):
            given[op.name] = sources
            continue
        made = _nodes(program, op, parts.get(op.name), how)
        made[-1].metadata = _about(program, op.name)
        own = _free("output", taken) if op.name == "output" else op.name
        for name, node in zip([_free(f"{op.name}_pool", taken), own][-len(made) :], made, strict=True):
            nodes[name] = node
            edges += [(source, name) for source in sources]
            sources = [name]
        given[op.name] = sources
    last = program.header.operations[-1].name
    nodes["output"] = nir.Output(output_type={"output": np.array(shapes[last])})
    edges += [(source, "output") for source in given[last]]
    about = {"hash": program.hash, "header": program.header.fields(), "reader": reader, "dt": how.dt, "input": "codes"}
    meta: dict[str, Any] = {OURS: json.dumps(about, sort_keys=True)}
    if program.header.source.table:
        meta["tensor:input.table"] = program.tensors["input.table"]
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata=meta, type_check=False)


def _free(name: str, taken: set[str]) -> str:
    """The name, apart from those that are NIR's or the program's own."""
    return name if name not in taken else _free(f"{name}_", taken)


def _nodes(program: Program, op: Any, part: Synapses | Neurons | None, reader: Reader) -> list[Any]:
    """The nodes of an operation in order: at most a pool, and what bears its name."""
    shape, before = program.shapes[op.name], program.shapes[op.inputs[0]]
    if isinstance(op, SumPool | OrPool):
        sizes = {"kernel_size": np.array(op.size), "stride": np.array(op.stride), "padding": np.zeros(2, np.int64)}
        pool = getattr(nir, reader.pool)(**sizes)
        if not isinstance(part, Neurons):
            return [pool]
        return [pool, _lif(part, shape, reader)]
    if isinstance(op, Flatten):
        return [nir.Flatten(input_type={"input": np.array(before)}, start_dim=0, end_dim=-1)]
    if isinstance(op, Lif):
        assert isinstance(part, Neurons), "the view has one for every layer of neurons"
        return [_lif(part, shape, reader)]
    assert isinstance(part, Synapses), "the view has them for every layer of synapses"
    if not isinstance(op, Conv2d):
        return [nir.Affine(weight=part.weight, bias=part.bias)]
    window = {"stride": op.stride, "padding": op.padding, "dilation": op.dilation, "groups": 1}
    return [nir.Conv2d(input_shape=before[1:], weight=_of_one_group(part.weight, op.groups), bias=part.bias, **window)]


def _of_one_group(weight: NDArray[np.float32], groups: int) -> NDArray[np.float32]:
    """The same convolution over all channels, zero where a group does not look: nir checks the weight's channels against the input's."""
    rows, channels = len(weight) // groups, weight.shape[1]
    whole = np.zeros((len(weight), channels * groups, *weight.shape[2:]), dtype=weight.dtype)
    for group in range(groups):
        mine = slice(group * rows, (group + 1) * rows)
        whole[mine, group * channels : (group + 1) * channels] = weight[mine]
    return whole


def _lif(part: Neurons, shape: tuple[int, ...], reader: Reader) -> Any:
    def full(value: float | NDArray[np.float32]) -> NDArray[np.float32]:
        column = np.asarray(value, dtype=np.float32).reshape(-1, *(1,) * (len(shape) - 1))
        return np.ascontiguousarray(np.broadcast_to(column, shape))

    steps = 1 / (1 - part.decay)
    fires = {"v_leak": full(0.0), "v_threshold": full(part.threshold), "v_reset": full(part.reset)}
    if part.current is None:
        return nir.LIF(tau=np.full(shape, steps * reader.dt), r=np.full(shape, steps if reader.heeds_r else 1.0), **fires)
    syn = 1 / (1 - part.current)
    taus = {"tau_syn": np.full(shape, syn * reader.dt), "tau_mem": np.full(shape, steps * reader.dt)}
    return nir.CubaLIF(**taus, w_in=np.full(shape, syn), r=np.full(shape, steps), **fires)


def _about(program: Program, name: str) -> dict[str, Any]:
    """The integers and the semantics of an operation."""
    op = next(op for op in program.header.operations if op.name == name)
    held = {f"tensor:{key}": value for key, value in program.tensors.items() if key.startswith(f"{name}.")}
    return {OURS: canonical(op.fields()), **held}


def _bytes(made: nir.NIRGraph) -> bytes:
    buffer = io.BytesIO()
    nir.write(buffer, made)
    return buffer.getvalue()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
