"""Hand-made hostile files: every one is refused by a documented error, and none reaches the canary, a process or a socket."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("h5py")

from chaos.hostile import CANARY, files

from spikequant import archives, tensorfile
from spikequant.data import read_hdf5, read_npy, read_npz
from spikequant.errors import DataError, FormatError, SpecError, SpikequantError
from spikequant.models import read_weights
from spikequant.studies.planning import plan

READERS: dict[str, tuple[Callable[[Any, Path], object], type[SpikequantError]]] = {
    "weights": (lambda content, folder: read_weights(_kept(folder / "w.pt", content), 2**24), FormatError),
    "npy": (lambda content, folder: read_npy(content), DataError),
    "npz": (lambda content, folder: read_npz(content), DataError),
    "tensors": (lambda content, folder: tensorfile.read(content, "net"), FormatError),
    "archive": (lambda content, folder: list(archives.members(content, 2**20)), FormatError),
    "hdf5": (lambda content, folder: read_hdf5(content, ["x"]), DataError),
    "study": (lambda text, folder: plan(str(_kept(folder / "study.toml", text.encode()))), SpikequantError),
}
CASES = [(reader, name, content) for reader, cases in files().items() for name, content in cases]
SUSPECT = ("os.system", "os.exec", "os.posix_spawn", "os.startfile", "socket.connect", "shutil.", "ctypes.dlopen", "webbrowser.")

watching, seen = False, []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not watching:
        return
    own_worker = event == "subprocess.Popen" and arguments[0] == sys.executable
    if event.startswith(SUSPECT) or (event == "subprocess.Popen" and not own_worker) or (event == "open" and CANARY in str(arguments[0])):
        seen.append((event, arguments))


sys.addaudithook(_audit)


@pytest.fixture
def watched() -> Iterator[None]:
    global watching
    seen.clear()
    watching = True
    yield
    watching = False


def _kept(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(("reader", "name", "content"), CASES, ids=[f"{reader}: {name}" for reader, name, _ in CASES])
def test_it_is_refused_and_touches_nothing(reader: str, name: str, content: Any, tmp_path: Path) -> None:
    read, refusal = READERS[reader]
    with pytest.raises(refusal):
        read(content, tmp_path)
    assert seen == []
    assert not Path(CANARY).exists()


def test_there_are_at_least_a_hundred() -> None:
    assert len(CASES) >= 100


@pytest.mark.usefixtures("watched")
def test_the_watch_sees_what_it_is_there_to_see(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="canary"):
        Path(CANARY).read_bytes()
    assert [event for event, _ in seen] == ["open"]


def test_the_error_of_a_study_is_the_documented_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a study names no code"):
        READERS["study"][0](dict(files()["study"])['model = "os:abort"'], tmp_path)
