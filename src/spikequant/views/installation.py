"""The verbs that say what is here: doctor, ls."""

import importlib
import os
import platform
import re
import shutil
import warnings
from collections.abc import Iterator
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from spikequant import __version__
from spikequant.errors import SpecError
from spikequant.views.progress import say
from spikequant.views.verbs import BROKEN, GOOD, Answer, Debug, Json
from spikequant.views.wording import plain, size

Subject = Literal["models", "datasets", "methods", "studies"]
NEEDED = ("torch", "numpy", "safetensors", "pydantic", "typer", "rich", "jinja2", "altair", "vl-convert-python")
PEERS = ("scipy", "snntorch", "spikingjelly", "norse", "nir", "brevitas", "neurobench", "optuna", "h5py", "tonic", "torchvision")
TORCH_FLOOR = (2, 10)
DISK_FLOOR = 2**30


class Check(NamedTuple):
    """One thing that was looked at; ``fail`` is something needed."""

    state: Literal["ok", "warn", "fail"]
    what: str


def ls(
    what: Annotated[Subject | None, typer.Argument(help="Print this list only.")] = None, as_json: Json = False, debug: Debug = False
) -> Answer:
    """Print the models, data sets, quantization methods and studies that are known by name."""
    from spikequant.studies.catalog import catalog

    lists = {kind: names for kind, names in catalog().items() if what in (None, kind)}
    width = max(map(len, lists))
    return Answer(lists, "\n".join(f"{kind.ljust(width)}  {' '.join(names)}" for kind, names in lists.items()))


def doctor(
    model: Annotated[
        str | None, typer.Argument(help="Examine the state of this network instead: a name, a folder, or module:factory.")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Data set by name: how its training samples use the state of MODEL.")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> Answer:
    """Check this installation: versions, kernels, memory, disk, optional peers, data sets. Exits with 1 if something needed is wrong.

    With MODEL, examine its state instead: whether zero and the threshold are levels, where the leak stalls, what is clipped or never
    used, and what to change.
    """
    if model is not None:
        return _examined(model, data)
    if data is not None:
        raise SpecError(
            f"--data {data} says how a network uses its state: name the network, as in 'spikequant doctor digits --data {data}'"
        )
    return _installation()


def _examined(model: str, data: str | None) -> Answer:
    from spikequant.studies import examine
    from spikequant.views.examination import findings

    record = examine(model, data)
    return Answer(record, findings(record))


def _installation() -> Answer:
    form, checks = None, [*_needed(), _disk()]
    if not any(check.state == "fail" for check in checks):  # the rest imports what is broken
        from spikequant.studies.catalog import kernels

        form = kernels()
        checks += [_kernels(form), *_peers(), *_data()]
    memory, cores = free_memory(), os.cpu_count()
    document = {
        "spikequant": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": cores,
        "free_memory_bytes": memory,
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "kernels": form,
        "checks": [check._asdict() for check in checks],
    }
    room = "" if memory is None else f"   {size(8 * memory)} memory free"
    head = f"spikequant {__version__}   python {platform.python_version()}   {cores} cores{room}"
    failed = any(check.state == "fail" for check in checks)
    return Answer(document, "\n".join([head, *(f"{state.ljust(4)}  {what}" for state, what in checks)]), BROKEN if failed else GOOD)


def free_memory() -> int | None:
    """Bytes that programs may still take; None where the system does not say."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    except OSError:
        return None


def _needed() -> Iterator[Check]:
    present: list[str] = []
    for name in NEEDED:
        try:
            present.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            yield Check("fail", f"{name} is not installed; install spikequant again with pip")
    yield Check("ok", ", ".join(present))
    yield _torch()


def _torch() -> Check:
    try:
        import torch
    except Exception as error:  # a broken build raises whatever its loader meets
        return Check("fail", f"torch cannot be imported ({plain(str(error))}); install it as PyTorch's page says for this system")
    floor = ".".join(map(str, TORCH_FLOOR))
    if tuple(map(int, torch.__version__.split(".")[:2])) < TORCH_FLOOR:
        return Check("fail", f"torch {torch.__version__} is older than {floor}; install {floor} or newer")
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA"
    return Check("ok", f"torch {torch.__version__} runs ({where}, {torch.get_num_threads()} threads)")


def _kernels(form: dict[str, str | None]) -> Check:
    if form["form"] == "none":
        return Check("fail", f"kernels: {form['problem']}")
    if form["problem"]:
        return Check("warn", f"kernels: {form['form']}, which is slower: {form['problem']}")
    return Check("ok", f"kernels: {form['form']} ({form['origin']})")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    return Check("ok" if free >= DISK_FLOOR else "warn", f"{size(8 * free)} disk free in this folder")


def _peers() -> Iterator[Check]:
    found = [name for name in PEERS if find_spec(name) is not None]
    present: list[str] = []
    for name in found:
        say(f"importing {name}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                importlib.import_module(name)
            present.append(f"{name} {_version(name)}")
        except Exception as error:  # another project's import may raise anything
            yield Check("warn", f"{name} is installed but cannot be imported ({plain(str(error))}); optional")
    yield Check("ok", "optional, installed: " + (", ".join(present) or "none"))
    absent = [name for name in PEERS if name not in found]
    yield Check("ok", "optional, not installed: " + (", ".join(absent) or "none"))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _data() -> Iterator[Check]:
    from spikequant.studies.catalog import data_sets

    for name, problem in data_sets(say).items():
        yield (
            Check("warn", f"data set {name}: {problem.partition(';')[0]}")
            if problem
            else Check("ok", f"data set {name}: found, hashes right")
        )
