"""What the wheel carries beside the sources: the C library, so that nobody who installs needs a compiler; the commit that it comes from."""

import os
import platform
import re
import runpy
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNELS = "spikequant/numerics/kernels"
COMMIT = "spikequant/studies/commit"


class Made(BuildHookInterface[Any]):
    """Adds the commit, the libraries and the wheel's tag; where they cannot be compiled, the wheel stays pure and says so."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write before the files are collected. An editable installation compiles on first use, and asks its tree for the commit."""
        if version == "editable":
            return
        self.scratch = Path(tempfile.mkdtemp())
        build_data["force_include"] |= commit_file(Path(self.root), self.scratch)
        try:
            made = libraries(Path(self.root, "src", KERNELS), self.scratch)
        except OSError as error:
            self.app.display_warning(f"this wheel is pure, without the C library: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag(made)}"
        build_data["force_include"] |= {str(path): f"{KERNELS}/{path.name}" for path in made}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what lay outside the wheel."""
        if version != "editable":
            shutil.rmtree(self.scratch, ignore_errors=True)


def commit_file(tree: Path, folder: Path) -> dict[str, str]:
    """The file that names the commit of the tree, by its place in the wheel; none where the tree is unpacked from an archive."""
    found = runpy.run_path(str(tree / "src" / f"{COMMIT}.py"))["of_tree"](tree)
    if found is None:
        return {}
    path = folder / "commit.txt"
    path.write_text(f"{found}\n")
    return {str(path): f"{COMMIT}.txt"}


def libraries(kernels: Path, folder: Path) -> list[Path]:
    """The libraries for this kind of machine: for each instruction set one with threads and one without, for a torch without OpenMP."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        raise OSError("libraries are shipped for Linux with glibc only; elsewhere they are compiled on first use")
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise OSError(f"there is no C compiler {os.environ.get('CC', 'cc')}")
    compiling = runpy.run_path(str(kernels / "compiling.py"))
    made = []
    for instruction_set in compiling["instruction_sets"](platform.machine()):
        for threads in (True, False):
            made.append(folder / compiling["file_name"](instruction_set, threads))
            compiling["compile_library"](compiler, kernels / "kernels.c", made[-1], instruction_set, threads)
    return made


def platform_tag(made: list[Path]) -> str:
    """The oldest glibc that has every symbol asked for."""
    versions = [tuple(map(int, found)) for path in made for found in re.findall(rb"\0GLIBC_(\d+)\.(\d+)", path.read_bytes())]
    major, minor = max([(2, 17), *versions])
    return f"manylinux_{major}_{minor}_{platform.machine()}"
