import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from spikequant.recipes import load, memory
from spikequant.training.spec import LossName, Training
from spikequant.views import making

QUICK = ("--data", "digits", "--epochs", "1", "--batch-size", "256", "--json")


@pytest.fixture
def trained(run: Callable[..., Any], tmp_path: Path) -> Path:
    assert run("train", "--model", "digits", *QUICK, "--out", tmp_path / "float").code == 0
    return tmp_path / "float"


def test_train_saves_a_network_and_answers_with_its_record(run: Callable[..., Any], tmp_path: Path) -> None:
    code, out, err = run("train", "--model", "digits", *QUICK, "--seed", "3", "--lr", "0.003", "--out", tmp_path / "net")
    record = json.loads(out)
    assert code == 0
    assert 0 <= record["test_accuracy"] <= 1
    assert record["session"]["training"]["seed"] == 3
    assert record["session"]["training"]["lr"] == 0.003
    assert re.search(r"epoch 1/1  loss \d\.\d+  \d+ images/s  step 1/6", err)
    assert load(record["out"]).wiring.name == "digits"


def test_the_help_of_train_says_defaults_and_losses() -> None:
    options = get_type_hints(making.train, include_extras=True)
    for name in ("lr", "loss", "optimizer", "schedule", "precision"):
        said = options[name].__metadata__[0].help
        assert any(f"{Training.model_fields[name].default}{end}" in said for end in (" if not given", " (if not given)"))
    assert re.findall(r"\b[a-z_]*(?:mse|entropy|squat)[a-z_]*", making.LOSSES) == list(get_args(LossName))


def test_train_on_from_a_float_network_with_quantizers_in_place(run: Callable[..., Any], trained: Path, tmp_path: Path) -> None:
    code, out, _ = run("train", "--init", trained, "--recipe", "W(Q1.2)-N(FP32)", *QUICK, "--out", tmp_path / "qat")
    record = json.loads(out)
    assert code == 0
    assert record["session"]["training"]["start"] == "float"
    assert memory(load(tmp_path / "qat")).weight_bits * 8 == memory(load(trained)).weight_bits


def test_quantize_takes_notation_or_toml_and_says_what_it_saved(run: Callable[..., Any], trained: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('weights = {kind = "lqnet", bits = 2}\n')
    notation = run("quantize", trained, "--recipe", "W(Q1.6)-N(FP32)", "--out", tmp_path / "a", "--json")
    toml = run("quantize", trained, "--recipe", tmp_path / "recipe.toml", "--out", tmp_path / "b", "--json")
    bits = [json.loads(answer.out)["total_bits"] for answer in (notation, toml)]
    assert [notation.code, toml.code] == [0, 0]
    assert bits == [memory(load(tmp_path / name)).total_bits for name in "ab"]
    assert run("quantize", trained, "--recipe", "W(Q1.6)-N(FP32)", "--out", tmp_path / "c").out.startswith(f"{tmp_path / 'c'}: ")


def test_quantize_says_when_a_clip_touches_no_weight(run: Callable[..., Any], trained: Path, tmp_path: Path) -> None:
    for clip, said in ((100.0, True), (0.01, False)):
        (tmp_path / "recipe.toml").write_text(f'weights = {{kind = "lqnet", bits = 2, clip = {clip}}}\n')
        answer = run("quantize", trained, "--recipe", tmp_path / "recipe.toml", "--out", tmp_path / f"clip{clip}")
        assert ("Note: the clip at 100 touches no weight" in answer.out) == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--data", "digits"], "give --model, or --init"),
        (["train", "--model", "digit", "--data", "digits"], "did you mean 'digits'"),
        (["train", "--model", "digits", "--data", "digitz"], "did you mean 'digits'"),
        (["train", "--model", "digits", "--data", "digits", "--epochs", "0"], "epochs: must be greater than or equal to 1, got 0"),
        (["train", "--model", "digits", "--data", "digits", "--loss", "cross_entropy_men"], "did you mean 'cross_entropy_mean'"),
        (["train", "--model", "digits", "--data", "digits", "--recipe", "W(Q1.6)"], "must look like W(Q1.6)-N(Q11.6)"),
        (["train", "--model", "digits", "--data", "digits", "--recipe", "none.toml"], "recipe 'none.toml' is neither"),
        (["train", "--model", "digits", "--data", "digits", "--start", "float"], "name its folder (init)"),
        (["quantize", "no-folder", "--recipe", "W(Q1.6)-N(FP32)"], "model 'no-folder' is neither a name"),
        (["quantize", "os:getcwd", "--recipe", "W(Q1.6)-N(FP32)"], "the factory returned str"),
    ],
)
def test_a_wrong_option_is_one_clear_line_and_nothing_is_written(
    run: Callable[..., Any], tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, out, err = run(*arguments, "--out", tmp_path / "net")
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("error: ") == 1
    assert "Traceback" not in err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_cannot_be_made_is_named_before_any_work(run: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, out, err = run("train", "--model", "digits", *QUICK, "--out", tmp_path / "file" / "net")
    assert (code, out) == (2, "")
    assert err.startswith(f"error: cannot make folder {tmp_path / 'file' / 'net'}: {tmp_path / 'file'} is a file")


def test_threads_are_those_asked_for(run: Callable[..., Any], tmp_path: Path) -> None:
    import torch

    before = torch.get_num_threads()
    try:
        record = json.loads(run("train", "--model", "digits", *QUICK, "--threads", "1", "--out", tmp_path / "net").out)
    finally:
        torch.set_num_threads(before)
    assert record["threads"] == 1


def test_ctrl_c_ends_with_130_and_leaves_whole_files_to_go_on_from(tmp_path: Path) -> None:
    out = tmp_path / "net"
    command = [sys.executable, "-m", "spikequant", "train", "--model", "digits", "--data", "digits", "--epochs", "10000", "--out", str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    ) as child:
        assert child.stderr is not None
        assert child.stdout is not None
        said = ""
        while "epoch 1/10000: " not in said:
            line = child.stderr.readline()
            assert line, said
            said += line
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
        assert (child.wait(timeout=60), child.stdout.read()) == (130, "")
    assert "the same command goes on after the last whole epoch" in rest
    assert "Traceback" not in rest
    assert [path.name for path in out.iterdir()] == ["checkpoint.safetensors"]
