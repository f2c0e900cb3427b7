"""The demo's network, trained in whole numbers: one accuracy on the whole test set, in torch, as a program, and in C."""

import ctypes
import json
import shutil
import subprocess

import numpy as np
import pytest

from spikequant.data import Batches, load
from spikequant.deploy import Executor, Pixels, lower
from spikequant.deploy.c.writing import as_bytes
from spikequant.deploy.machine import encode, run
from spikequant.models import build
from spikequant.recipes import Recipe, quantize
from spikequant.training import Training, evaluate, fit


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_one_number(tmp_path) -> None:
    data = load("digits")
    train, test = Batches(data.train, 64, data.scale, seed=0), Batches(data.test, 64, data.scale)
    network = build("digits")
    fit(network, train, Training(epochs=4, lr=3e-3))
    small = quantize(network, Recipe.integer(weight_bits=4, state_bits=8), train)
    fit(small, train, Training(epochs=1, lr=1e-3))
    program, images, classes = lower(small, pixels=Pixels(scale=data.scale)), data.test.x.numpy(), data.test.y.numpy()

    found = program.check(small, test)
    assert found.exact, found.first
    assert evaluate(small, test) == found.program_accuracy == np.mean(program.chosen(run(program, images)) == classes)
    assert found.program_accuracy > 0.9

    program.write_c(tmp_path, data.train.x[:16].numpy())
    subprocess.run(["make", "-s", "-C", str(tmp_path), "test"], check=True, capture_output=True, timeout=60)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, str(tmp_path / "model.c"), "-o", str(tmp_path / "model.so")], check=True, timeout=60)
    library = ctypes.CDLL(str(tmp_path / "model.so"))
    memory = ctypes.create_string_buffer(json.loads((tmp_path / "report.json").read_text())["memory_bytes"])
    predicted = [library.net_run(memory, image.ctypes.data_as(ctypes.c_void_p)) for image in as_bytes(program, images)]
    assert np.mean(np.array(predicted) == classes) == found.program_accuracy
    assert predicted == program.predict(images).tolist()
    assert np.array_equal(Executor(program).run(encode(program, images)), run(program, images))
