"""Environment variables of processes that are ours alone: commands, and workers of a study."""

import contextlib
import os
import sys
from collections.abc import Iterator

KEEP_PAGES = "SPIKEQUANT_KEEP_PAGES"


def pages() -> dict[str, str]:
    """Freed memory is kept where the user says nothing else: such a process ends with its work, so it need not shrink.

    >>> pages().get(KEEP_PAGES, "1") in ("0", "1")
    True
    """
    return {KEEP_PAGES: os.environ.get(KEEP_PAGES, "1")} if sys.platform == "linux" else {}


def for_trials(threads: int) -> dict[str, str]:
    """What a process for trials is given."""
    return {"OMP_NUM_THREADS": str(threads), **pages()}


@contextlib.contextmanager
def surroundings(variables: dict[str, str]) -> Iterator[None]:
    """Processes that are started in the block have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
