import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spikequant.errors import FormatError
from spikequant.studies import lock
from spikequant.studies.failures import Interrupted
from spikequant.studies.job import Job, carry_out, hashes, intact
from spikequant.training import Step

SETUP = {"data": "digits", "seed": 0, "model": {"name": "digits", "args": {"width": 2, "time": 1}}, "batch_size": 512}
SETUP |= {"training": {"epochs": 1}, "measures": ["accuracy"]}


def job(folder: Path, **changed: object) -> Job:
    return Job("ab" * 32, "t", "supervised", SETUP | changed, 1, str(folder), None, (), None)


def ignore(step: Step) -> None:
    pass


def test_a_trial_leaves_measures_files_and_their_hashes(tmp_path: Path) -> None:
    steps: list[int] = []
    outcome = carry_out(job(tmp_path), lambda step: steps.append(step.step))
    assert outcome.failure is None
    assert 0 <= (outcome.measures["accuracy"] or 0) <= 1
    assert outcome.hashes.keys() == {"model.json", "model.safetensors"}  # the log is no result
    assert outcome.hashes == hashes(tmp_path)
    assert "epoch 1: loss" in (tmp_path / "log.txt").read_text()
    assert steps == [1, 2, 3]


def test_the_same_trial_gives_the_same_bits_wherever_it_runs(tmp_path: Path) -> None:
    first, second = (carry_out(job(tmp_path / name), ignore) for name in ("a", "b"))
    assert first == second


def test_a_trial_that_is_asked_to_stop_is_interrupted(tmp_path: Path) -> None:
    def stop(step: Step) -> None:
        raise Interrupted

    outcome = carry_out(job(tmp_path), stop)
    assert outcome.failure is not None
    assert outcome.failure.kind == "interrupted"


def test_a_divergence_names_step_and_layer(tmp_path: Path) -> None:
    outcome = carry_out(job(tmp_path, training={"epochs": 50, "lr": 1000.0, "optimizer": "sgd", "weight_decay": 1e30}), ignore)
    assert outcome.failure is not None
    assert outcome.failure.kind == "diverged"
    assert "step" in outcome.failure.reason
    assert "layer" in outcome.failure.reason


def test_a_fault_leaves_its_log(tmp_path: Path) -> None:
    outcome = carry_out(job(tmp_path, model="json:absent"), ignore)
    assert outcome.failure is not None
    assert outcome.failure.kind == "failed"
    assert "Traceback" in (tmp_path / "log.txt").read_text()


def test_files_that_changed_are_not_intact(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / ".tmp-1-x-b").write_bytes(b"half")
    wanted = hashes(tmp_path)
    assert list(wanted) == ["a"]
    assert intact(tmp_path, wanted)
    (tmp_path / "a").write_bytes(b"2")
    assert not intact(tmp_path, wanted)
    assert not intact(tmp_path / "absent", wanted)
    assert not intact(tmp_path, {})


def test_only_plain_files_count(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("elsewhere")
    with pytest.raises(FormatError, match="no plain file"):
        hashes(tmp_path)


def test_the_strict_form_refuses_what_torch_has_no_deterministic_form_of(tmp_path: Path) -> None:
    def draw(step: Step) -> None:
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))  # of two values for one place either may win

    try:
        assert carry_out(job(tmp_path / "loose"), draw).failure is None
        strict = carry_out(replace(job(tmp_path / "strict"), deterministic=True), draw)
    finally:
        torch.use_deterministic_algorithms(False)
    assert strict.failure is not None
    assert strict.failure.kind == "failed"
    assert "deterministic" in strict.failure.reason


def test_a_trial_waits_for_another_process_in_its_folder(tmp_path: Path) -> None:
    steps: list[int] = []
    with lock.alone(tmp_path):
        working = threading.Thread(target=carry_out, args=(job(tmp_path), lambda step: steps.append(step.step)))
        working.start()
        working.join(0.2)
        assert working.is_alive()
        assert steps == [] == list(tmp_path.iterdir())
    working.join()
    assert steps == [1, 2, 3]
