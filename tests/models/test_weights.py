import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from spikequant.errors import FormatError
from spikequant.models import read_weights


def saved(folder: Path, value: Any, **options: Any) -> Path:
    path = folder / "weights.pt"
    torch.save(value, path, **options)
    return path


def test_state_dicts_come_back_bare_and_under_their_usual_keys(tmp_path: Path) -> None:
    state = {"fc.weight": torch.arange(6.0).reshape(2, 3), "fc.bias": torch.nn.Parameter(torch.zeros(2))}
    for value in (state, {"state_dict": state, "epoch": 3}, {"model": state}):
        found = read_weights(saved(tmp_path, value))
        assert found.keys() == state.keys()
        assert torch.equal(found["fc.weight"], state["fc.weight"])
        assert not found["fc.bias"].requires_grad


def test_code_in_a_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"

    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (canary,)

    for value in (Payload(), {"weight": torch.zeros(2), "more": Payload()}):
        with pytest.raises(FormatError, match="holds more than tensors and plain values; save its state_dict"):
            read_weights(saved(tmp_path, value))
    with pytest.raises(FormatError, match="is no file as torch"):
        read_weights(saved(tmp_path, Payload(), _use_new_zipfile_serialization=False))
    assert not canary.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="holds more than tensors"):
        read_weights(saved(tmp_path, torch.nn.Linear(2, 2)))


def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    plain = saved(tmp_path, {"w": torch.zeros(2**22)}).read_bytes()
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(plain)) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    path = tmp_path / "bomb.pt"
    path.write_bytes(made.getvalue())
    assert path.stat().st_size < 2**16
    with pytest.raises(FormatError, match=r"unpacks to .* must be at most 1048576"):
        read_weights(path, limit=2**20)


def test_views_that_claim_more_than_is_stored_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="'w' is larger than what is stored of it"):
        read_weights(saved(tmp_path, {"w": torch.zeros(1).expand(2**40)}))
    shared = torch.zeros(2**10)
    with pytest.raises(FormatError, match="or than 16384 bytes in all"):
        read_weights(saved(tmp_path, {str(index): shared.view(-1) for index in range(10)}), limit=2**14)


@pytest.mark.parametrize("value", [[torch.zeros(2)], {"a": 1}, {1: torch.zeros(2)}, torch.zeros(2)])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(FormatError, match="must hold tensors by name"):
        read_weights(saved(tmp_path, value))


def test_sparse_and_meta_tensors_are_refused(tmp_path: Path) -> None:
    for tensor in (torch.eye(3).to_sparse(), torch.zeros(3, device="meta")):
        with pytest.raises(FormatError, match=r"must be dense, with values|is damaged"):
            read_weights(saved(tmp_path, {"w": tensor}))


def test_cut_and_absent_files_are_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, {"w": torch.zeros(3)})
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(FormatError, match="is no file as torch"):
            read_weights(path)
    with pytest.raises(FormatError, match="is absent"):
        read_weights(tmp_path / "absent.pt")
