"""On what a benchmark ran: what its figures mean nothing without."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from spikequant.numerics import kernels_in_use

TIERS = {"AMX": "amx_bf16", "AVX512": "avx512f", "AVX2": "avx2", "NEON": "asimd"}
PACKAGES = ("spikequant", "torch", "numpy", "scipy", "snntorch", "spikingjelly", "norse", "brevitas")
HERE = Path(__file__).parent


def environment() -> dict[str, Any]:
    """Processor, tier, threads, versions and commit; ``load`` tells whether the machine was quiet."""
    kernels = kernels_in_use()
    return {
        "cpu": _cpuinfo("model name") or platform.processor(),
        "tier": tier(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "kernels": f"{kernels.form}, {kernels.origin.partition(': ')[0]}",
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
    }


def tier() -> str:
    """The widest instructions of this processor that matter here."""
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return next((name for name, flag in TIERS.items() if flag in flags), "baseline")


def _cpuinfo(field: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
