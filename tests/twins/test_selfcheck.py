import ctypes
import shutil
from pathlib import Path

import pytest
import torch

from spikequant.numerics.kernels import compiling, native
from spikequant.numerics.kernels.compiling import compile_library
from spikequant.numerics.kernels.selfcheck import agrees

FAULTS = {
    "contraction in the plain loop": ("quick.c", "decay[i] * w + gain * x[i]", "fmaf(decay[i], w, gain * x[i])"),
    "contraction": ("rows.c", "decay[i] * v[i] + gain * x[i]", "fmaf(decay[i], v[i], gain * x[i])"),
    "rounding": ("quick.c", "rintf(u / step - shift)", "floorf(u / step - shift)"),
    "comparison": ("rows.c", "v[i] - threshold[i] >= 0", "v[i] - threshold[i] >= 0.2f"),
    "codes": ("quick.c", "(uint8_t)(int32_t)held_code", "(uint8_t)(1 + (int32_t)held_code)"),
    "normalizing": ("norm.c", "x[i] * c->a[i] + c->b[i]", "x[i] * c->a[i] - c->b[i]"),
    "pooling": ("norm.c", "return a > b ? a : b", "return a < b ? a : b"),
    "residual sum": ("norm.c", "read_row(q->half, plus, place, c->n, out)", "read_row(q->half, plus, 0, c->n, out)"),
    "counts": ("norm.c", "from + i * q->channels, to)", "from, to)"),
    "counts of a window": ("norm.c", "sum[i] += (a[i] + b[i])", "sum[i] += (a[i] + a[i])"),
    "counts of rows": ("norm.c", "from[2 * TILE + i] + from[3", "from[TILE + i] + from[3"),
    "gradient of a scale": ("norm.c", "to[i] += u[i] * w[i]", "to[i] += u[i]"),
    "bfloat16 read": ("half.c", "(uint32_t)from[i] << 16", "(uint32_t)from[i] << 15"),
    "bfloat16 written": ("half.c", "bits + 0x7FFF + (bits >> 16 & 1)", "bits + 0xFFFF"),
    "events": ("events.c", "first = left < 0 ? 0 : left", "first = left < 0 ? 1 : left"),
    "events of a channel": ("events.c", "q->padding - ky) * across(q) + k - 1 - kx", "q->padding - ky) * across(q) + k - 1"),
    "whole weights": ("whole.c", "step[32 * j + i] * (float)sums[j][i]", "step[i] * (float)sums[j][i]"),
    "whole numbers": ("events.c", "others ? -1 : top", "top"),
    "mixed values": ("freezing.c", "(straight_through | !f[i])", "!f[i]"),
    "bytes": ("compacting.c", "(uint8_t)whole;", "(uint8_t)(whole + 1);"),
    "chunks of level sums": ("quant.c", "level_sums(middles, size, n, x + first,", "level_sums(middles, size, n - 1, x + first,"),
    "extremes": ("norm.c", "high = v[i] > high", "high = v[i] < high"),
    "noise": ("quant.c", "from = place % r->period", "from = 0"),
    "moments": ("norm.c", "plain[c] += u[c]", "plain[c] += 2 * u[c]"),
    "rows of a grid each": ("quant.c", "mine.step = r->step[row]", "mine.step = r->step[0]"),
    "sums of levels": ("quant.c", "-totals[one]", "totals[one]"),
    "surrogate": ("rows.c", "d[i] = half / (1 + y * y)", "d[i] = half / (2 + y * y)"),
}


@pytest.fixture(autouse=True)
def _quickly_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "FLAGS", ("-O1", *compiling.FLAGS[1:]))


def altered(folder: Path, file: str, old: str, new: str) -> ctypes.CDLL:
    """The library with one operation of its source replaced."""
    for source in native.SOURCES:
        shutil.copy(native.HERE / source, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new))
    compiler = shutil.which("cc") or pytest.skip("no C compiler")
    compile_library(compiler, folder / native.SOURCES[0], folder / "altered.so", "native", threads=False)
    return ctypes.CDLL(str(folder / "altered.so"))


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_library_that_computes_something_else_is_seen(tmp_path: Path, fault: str) -> None:
    assert not agrees(altered(tmp_path, *FAULTS[fault]))


@pytest.mark.parametrize("mode", [torch.inference_mode(), torch.no_grad(), torch.device("meta")], ids=["inference", "no_grad", "meta"])
def test_a_sound_library_agrees_in_whatever_mode_it_is_asked_first(mode: torch.inference_mode) -> None:
    c = native.library()
    assert c is not None
    with mode:
        assert agrees(c)


def test_a_sound_library_agrees_under_another_default_type() -> None:
    c = native.library()
    assert c is not None
    torch.set_default_dtype(torch.float64)
    try:
        assert agrees(c)
    finally:
        torch.set_default_dtype(torch.float32)


def test_one_that_fails_is_not_used_and_this_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    altered(tmp_path, *FAULTS["rounding"])
    monkeypatch.setattr(native, "_shipped", lambda: tmp_path / "altered.so")
    native.kernels_in_use.cache_clear()
    request.addfinalizer(native.kernels_in_use.cache_clear)
    with pytest.warns(RuntimeWarning, match="does not compute what the reference computes"):
        assert native.library() is None
    assert native.library() is None
    found = native.kernels_in_use()
    assert found.form == "torch"
    assert str(tmp_path) in (found.problem or "")
