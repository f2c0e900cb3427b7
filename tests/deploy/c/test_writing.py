import json
import shutil
import subprocess
from collections.abc import Callable

import numpy as np
import pytest

from spikequant.deploy import Program
from spikequant.deploy.c.vectors import drawn
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.operations import Leak, Lif
from spikequant.deploy.program import Header, Source
from spikequant.errors import SpecError

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("make") is None, reason="no gcc or make")


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def sections(text: str) -> dict[str, int]:
    """What ``size -A`` prints."""
    return {words[0]: int(words[1]) for words in map(str.split, text.splitlines()) if len(words) == 3 and words[0].startswith(".")}


@needs_gcc
@pytest.mark.parametrize("flags", ["-Os", "-O3", "-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all"])
def test_make_test_passes(residual: Program, tmp_path, flags: str) -> None:
    residual.write_c(tmp_path, prefix="mine")
    assert run("make", "-s", "-C", str(tmp_path), f"CFLAGS={flags}", "test").count("as the program") == 4


@needs_gcc
def test_neurons_may_be_called_as_the_prefix(residual: Program, tmp_path) -> None:
    residual.write_c(tmp_path, prefix="lif1")
    assert run("make", "-s", "-C", str(tmp_path), "test").count("as the program") == 4


@needs_gcc
def test_channels_of_one_side_lie_last_too(tmp_path) -> None:
    op = Lif(name="lif", inputs=("input",), state_bits=8, leak=Leak(kind="shift", shift=2))
    source = Source(shape=(2, 5), low=0, high=9)
    header = Header(name="lines", time=3, source=source, operations=(op,))
    Program(header, {"lif.threshold": np.array([3, 20])}).write_c(tmp_path)
    assert run("make", "-s", "-C", str(tmp_path), "test").count("as the program") == 4


@needs_gcc
def test_the_first_layer_may_be_computed_once(residual: Program, tmp_path) -> None:
    often, once = residual.write_c(tmp_path / "often"), residual.write_c(tmp_path / "once", once=True)
    assert once["memory_bytes"] == often["memory_bytes"] + 256  # 128 sums of 16 bits
    assert run("make", "-s", "-C", str(tmp_path / "once"), "test").count("as the program") == 4


@needs_gcc
def test_a_wrong_model_fails(residual: Program, tmp_path) -> None:
    residual.write_c(tmp_path)
    raised = residual.tensors["lif1.threshold"] + [1, 0]
    Program(residual.header, residual.tensors | {"lif1.threshold": raised}).write_c(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "model.c", tmp_path / "model.c")
    found = subprocess.run(["make", "-s", "-C", str(tmp_path), "test"], capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode != 0
    assert "WRONG" in found.stdout


@needs_gcc
def test_the_report_equals_size(residual: Program, tmp_path) -> None:
    report = residual.write_c(tmp_path)
    found = sections(run("make", "-s", "-C", str(tmp_path), "size"))
    assert (found[".rodata"], found[".data"], found[".bss"]) == (report["constant_bytes"], 0, 0)
    (tmp_path / "held.c").write_text('#include "model.h"\nnet_memory held;\n')
    run("gcc", "-c", str(tmp_path / "held.c"), "-o", str(tmp_path / "held.o"))
    assert sections(run("size", "-A", str(tmp_path / "held.o")))[".bss"] == report["memory_bytes"]
    assert report == json.loads((tmp_path / "report.json").read_text())


def test_images_as_the_c_takes_them(residual: Program) -> None:
    images = drawn(residual, 3)
    assert as_bytes(residual, images).tolist() == images.reshape(3, -1).tolist()
    assert as_bytes(residual, (images / 127).astype(np.float32)).tolist() == images.reshape(3, -1).clip(-127, 127).tolist()


@needs_gcc
def test_images_whose_spikes_are_drawn_give_vectors(competing: Program, tmp_path) -> None:
    competing.write_c(tmp_path, np.random.default_rng(0).random((7, 1, 3, 3)))
    assert run("make", "-s", "-C", str(tmp_path), "test").count("as the program") == 4


def test_scores_beyond_32_bits_are_refused(summing: Callable[..., Program], tmp_path) -> None:
    with pytest.raises(SpecError, match="dense: scores over 40 steps can reach 2663383080, beyond 32 bits; take at most 32 steps"):
        summing(16, 40).write_c(tmp_path / "c")
    assert not (tmp_path / "c").exists()
    summing(16, 32).write_c(tmp_path / "c")


def test_nothing_is_written_before_all_of_it_is_there(residual: Program, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("spikequant.deploy.c.writing.hashes", lambda program, images: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        residual.write_c(tmp_path)
    assert not list(tmp_path.iterdir())


def test_real_numbers_are_no_pixels(residual: Program, tmp_path) -> None:
    table = np.arange(256).reshape(1, 256) // 2
    source = residual.header.source.model_copy(update={"table": True})
    program = Program(residual.header.model_copy(update={"source": source}), residual.tensors | {"input.table": table})
    with pytest.raises(SpecError, match="takes pixels of 0 to 255, got real numbers; pass bytes"):
        program.write_c(tmp_path / "c", np.zeros((1, 1, 8, 8)))
    assert not (tmp_path / "c").exists()


def test_prefixes_are_names(residual: Program, tmp_path) -> None:
    with pytest.raises(SpecError, match="C name"):
        residual.write_c(tmp_path / "c", prefix="a b")
    assert not (tmp_path / "c").exists()
