"""A small trained network, batches to judge candidates by, and a study of two small trials."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spikequant.data import Batches, hold_out, load
from spikequant.models import Network, build
from spikequant.studies import Loaders
from spikequant.training import Training, fit

TINY = """
version = 1
name = "tiny"
objective = "accuracy"

[defaults]
procedure = "supervised"
data = "digits"
model = { name = "digits", args = { width = 2, time = 1 } }
batch_size = 512
training = { epochs = 1 }
measures = ["accuracy", "memory"]
measure_batches = 1

[[trials]]
name = "float"

[[trials]]
name = "ptq"
procedure = "post_training"
reference = "float"
measures = ["accuracy", "emd"]
recipe.weights = { kind = "lqnet", bits = 2 }
"""


@pytest.fixture(scope="session")
def digits_loaders() -> Loaders:
    data = load("digits")
    kept, held = hold_out(data.train, 0.2, seed=0)
    return Loaders(Batches(kept, 64, data.scale, seed=0), Batches(held, 64, data.scale, seed=0))


@pytest.fixture(scope="session")
def digits_network(digits_loaders: Loaders) -> Network:
    network = build("digits", seed=0, width=8)
    fit(network, digits_loaders.train, Training(epochs=3, lr=1e-2))
    return network


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., str]:
    """Writes a study file, ``tiny`` with replacements if no text is given, and names it."""

    def write(text: str = TINY, **replaced: str) -> str:
        for old, new in replaced.items():
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_text(textwrap.dedent(text))
        return str(path)

    return write


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a real PostgreSQL server; it refuses root, so root hands it to another user."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        pytest.skip("no PostgreSQL server is installed: apt install postgresql")
    place = Path(tempfile.mkdtemp(prefix="spikequant-postgres-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        owner = pwd.getpwnam("postgres")
        os.chown(place, owner.pw_uid, owner.pw_gid)
        as_user = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def call(name: str, *words: str) -> None:
        subprocess.run([binaries[-1] / name, "-D", place / "data", *words], check=True, cwd="/", stdout=subprocess.DEVNULL, **as_user)

    try:
        call("initdb", "--auth=trust", "--username=ada", "--no-sync")
        call("pg_ctl", "start", "--wait", "-l", str(place / "server.log"), "-o", f"-p {port} -k {place} -c listen_addresses=127.0.0.1 -F")
        try:
            yield f"postgresql://ada@127.0.0.1:{port}/postgres"
        finally:
            call("pg_ctl", "stop", "--mode=immediate", "--wait")
    finally:
        shutil.rmtree(place)
