import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from spikequant.errors import MismatchError
from spikequant.training import parallel

SCRIPT = """
import json, os, sys
import torch
from torch import nn
from spikequant.data import Batches, load
from spikequant.neurons import LIF
from spikequant.training import Step, Training, parallel, train

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.lif, self.last = nn.Linear(64, 32), LIF(decay=0.5), nn.Linear(32, 10)

    def forward(self, x):
        return self.last(self.lif(self.first(x.flatten(1)).expand(4, -1, -1)))

with parallel.joined():
    data, model = load("digits"), Small()
    loader = Batches(data.train, 90, data.scale, seed=0)
    events = train(model, loader, Training(epochs=2, lr=1e-2), checkpoint=sys.argv[1] + "/checkpoint.safetensors")
    losses = [event.loss for event in events if isinstance(event, Step)]
    if parallel.writes():
        print(json.dumps([losses, model.last.weight.flatten().tolist(), parallel.size()]))
threads = [open(f"/proc/self/task/{thread}/comm").read() for thread in os.listdir("/proc/self/task")]
assert not any("gloo" in name for name in threads), threads  # one that outlives the group may abort the process as Python ends
"""


def losses(script: Path, processes: int) -> tuple[list[float], list[float]]:
    words = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run(
        [sys.executable, *words, script, script.parent / str(processes)], capture_output=True, text=True, check=False, env=environment
    )
    assert answer.returncode == 0, answer.stderr
    found, weights, size = json.loads(answer.stdout)
    assert size == processes
    return found, weights


@pytest.mark.slow
def test_two_processes_train_as_one_does_with_the_same_batches(tmp_path: Path) -> None:
    """1437 digits in batches of 90: 45 for each process, and 44 and 43 of the last; no batch norm, whose moments are each process's own."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    (one, weights), (two, others) = losses(script, 1), losses(script, 2)
    assert len(one) == 32
    assert one[-1] < 0.7 * one[0]
    assert two == pytest.approx(one, rel=1e-4)
    assert others == pytest.approx(weights, abs=1e-4)
    assert sorted(path.name for path in (tmp_path / "2").iterdir()) == ["checkpoint.safetensors"]


def test_one_process_takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = torch.zeros(3, 2), torch.zeros(3)
    assert parallel.share(nn.Identity(), x, y)[0] is x
    monkeypatch.setattr(parallel, "size", lambda: 4)
    with pytest.raises(MismatchError, match="a batch of 3 cannot be shared by 4 processes"):
        parallel.share(nn.Identity(), x, y)


def test_events_as_long_as_their_batch_are_shared_along_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "size", lambda: 2)
    monkeypatch.setattr(parallel.dist, "get_rank", lambda: 1)
    model, x = nn.Identity(), torch.arange(4).expand(4, 4)  # [time, batch], alike at every time
    assert parallel.share(model, x.T, torch.zeros(4))[0].tolist() == [[2] * 4, [3] * 4]
    model.takes_sequence = True
    assert parallel.share(model, x, torch.zeros(4))[0].tolist() == [[2, 3]] * 4
