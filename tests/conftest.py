import importlib.util
import os
import signal
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

if "PYTEST_XDIST_WORKER" in os.environ:  # read by torch when a test imports it, and by the processes that tests start
    os.environ["OMP_NUM_THREADS"] = "1"

# A shell starts what it runs behind it with SIGINT ignored; a test's own processes are to be interrupted.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def official_root() -> Path:
    """The folder of the real data sets, as SPIKEQUANT_TEST_DATA names it; without it the test is skipped."""
    root = os.environ.get("SPIKEQUANT_TEST_DATA")
    if not root:
        pytest.skip("real data: set SPIKEQUANT_TEST_DATA to the folder of the official files")
    return Path(root)


@pytest.fixture(scope="session")
def foreign() -> ModuleType:
    """Doubles of foreign neurons; see ``tests/foreign.py``."""
    spec = importlib.util.spec_from_file_location("foreign", Path(__file__).with_name("foreign.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
