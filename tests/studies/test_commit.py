import runpy
import subprocess
from pathlib import Path

import pytest

from spikequant.studies import commit


def git(tree: Path, *words: str) -> str:
    as_ada = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    return subprocess.run(["git", "-C", str(tree), *as_ada, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A tree with one commit, that of the file which tells of it."""
    tree = tmp_path / "tree"
    source = tree / "src" / "spikequant" / "studies" / "commit.py"
    source.parent.mkdir(parents=True)
    source.write_text(Path(commit.__file__).read_text())
    git(tree.parent, "init", "-q", str(tree))
    git(tree, "add", ".")
    git(tree, "commit", "-q", "-m", "first")
    return tree


def test_the_commit_is_that_of_the_tree_and_marked_where_files_were_edited(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert commit.of_tree(checkout) == head
    (checkout / "dist").mkdir()
    (checkout / "dist" / "made.whl").touch()
    assert commit.of_tree(checkout) == head
    next(checkout.rglob("commit.py")).write_text("edited")
    assert commit.of_tree(checkout) == f"{head}-dirty"
    assert commit.of_tree(checkout / "src") is None


@pytest.mark.skipif(not (commit.TREE / "hatch_build.py").is_file(), reason="the build lies beside the sources")
def test_the_build_puts_the_commit_of_its_tree_into_the_wheel(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = runpy.run_path(str(commit.TREE / "hatch_build.py"))["commit_file"]
    before = sorted(checkout.rglob("*"))
    (scratch := tmp_path / "scratch").mkdir()
    included = written(checkout, scratch)
    assert included == {str(scratch / "commit.txt"): "spikequant/studies/commit.txt"}
    monkeypatch.setattr(commit, "BUILT", scratch / commit.BUILT.name)
    assert commit.commit() == git(checkout, "rev-parse", "HEAD")
    assert [path for path in sorted(checkout.rglob("*")) if ".git" not in path.parts] == [
        path for path in before if ".git" not in path.parts
    ]


@pytest.mark.skipif(not (commit.TREE / "hatch_build.py").is_file(), reason="the build lies beside the sources")
def test_a_build_from_an_archive_writes_none(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".git").rename(tmp_path / "elsewhere")
    assert runpy.run_path(str(commit.TREE / "hatch_build.py"))["commit_file"](checkout, tmp_path) == {}
    assert not (tmp_path / "commit.txt").exists()
