import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from spikequant.errors import FormatError, SpikequantError
from spikequant.studies.failures import Failure
from spikequant.studies.keys import RESULTS_VERSION, key_of
from spikequant.studies.records import Record
from spikequant.studies.store import Store, sqlite_url, told_plainly, without_password

KEY = key_of({}, {})
RECORD = Record(
    results_version=RESULTS_VERSION,
    study="s",
    key=KEY,
    name="a",
    tags=("t",),
    configuration={},
    data_sha256={},
    measures={"accuracy": 0.1 + 0.2, "emd": None},
    hashes={"m": "a" * 64},
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(sqlite_url(tmp_path), "s", "maximize")
    yield opened
    opened.close()


def test_a_trial_waits_runs_and_is_done(store: Store, tmp_path: Path) -> None:
    store.enqueue(KEY, "a", ("t",))
    row = store.rows()[KEY]
    assert row.state == TrialState.WAITING
    assert store.claim(row.id)
    assert not store.claim(row.id)
    store.beat(row.id)
    store.tell(row.id, RECORD, 0.3)
    store.close()
    again = Store(sqlite_url(tmp_path), "s", "maximize")
    done = again.rows()[KEY]
    assert done.state == TrialState.COMPLETE
    assert done.record is not None
    assert done.record.measures["accuracy"] == 0.1 + 0.2
    assert not again.claim(done.id)
    assert again.rows({done.id}) == {}
    again.close()


def test_a_trial_told_but_for_its_state_is_not_done(store: Store) -> None:
    """The order of tell: were the state first, a kill between the two would leave a done trial without hashes."""
    store.enqueue(KEY, "a", ())
    row = store.rows()[KEY]
    store.claim(row.id)
    told: list[str] = []
    storage = store.storage
    original = storage.set_trial_state_values
    storage.set_trial_state_values = lambda *given: told.append("record" if store.rows()[KEY].record else "none") or original(*given)
    store.tell(row.id, RECORD, 0.3)
    assert told == ["record"]


def test_a_failure_is_kept_and_a_later_try_speaks_for_the_key(store: Store) -> None:
    store.enqueue(KEY, "a", ())
    store.claim(store.rows()[KEY].id)
    store.fail(store.rows()[KEY].id, Failure("diverged", "step 3"))
    assert store.rows()[KEY].failure == Failure("diverged", "step 3")
    store.enqueue(KEY, "a", ())
    assert store.rows()[KEY].state == TrialState.WAITING


def test_what_runs_without_a_worker_is_failed(store: Store) -> None:
    store.enqueue(KEY, "a", ())
    store.claim(store.rows()[KEY].id)
    store.fail_orphans(store.rows())
    failure = store.rows()[KEY].failure
    assert failure is not None
    assert failure.kind == "interrupted"


def test_commits_are_synced_to_the_end(store: Store) -> None:
    with store.storage.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"


@pytest.mark.parametrize("name", ["plain", "a?b", "50%25", "a#b {c} d"])
def test_the_storage_lies_in_its_run_folder_whatever_that_is_called(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    Store(sqlite_url(tmp_path / name), "s", "maximize").close()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()] == [Path(name) / "study.db"]
    assert sqlite_url(Path("runs/plain")) == "sqlite:///runs/plain/study.db"


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database" * 100)
    with pytest.raises(FormatError, match=r"/study\.db is damaged: file is not a database; move it away, .* \(--out\)$"):
        Store(sqlite_url(tmp_path), "s", "maximize")
    with pytest.raises(SpikequantError, match=r"^cannot open the storage sqlite:///.*/absent/study\.db: .*unable to open"):
        Store(sqlite_url(tmp_path / "absent"), "s", "maximize")


def test_damage_that_is_found_at_work_is_told_with_the_way_out_and_other_failures_with_theirs(tmp_path: Path) -> None:
    def fail(cause: Exception) -> None:
        with told_plainly(sqlite_url(tmp_path)):
            raise StorageInternalError("An exception is raised during the commit.") from cause

    with pytest.raises(FormatError, match=r"/study\.db is damaged: database disk image is malformed; move it away, "):
        fail(sqlite3.DatabaseError("database disk image is malformed"))
    with pytest.raises(SpikequantError, match="failed: database or disk is full; the same command goes on"):
        fail(sqlite3.OperationalError("database or disk is full"))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://a:b@c/d", "postgresql://a:***@c/d"),
        ("postgresql://a:b?c@d:5432/e", "postgresql://a:***@d:5432/e"),
        ("postgresql://c/d?user=a&password=b:b@b&sslmode=require", "postgresql://c/d?user=a&password=***&sslmode=require"),
        ("postgresql://c:5432/d?sslPassword=b@b", "postgresql://c:5432/d?sslPassword=***"),
        ("--storage=postgresql://a:b@c/d", "--storage=postgresql://a:***@c/d"),
        ("postgresql://a@c:5432/d", "postgresql://a@c:5432/d"),
        ("sqlite:///x", "sqlite:///x"),
        ("table1 cifar10 s0", "table1 cifar10 s0"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.services
def test_many_may_open_an_empty_database_at_once(postgres: str) -> None:
    url = postgres.replace("postgresql", "postgresql+psycopg", 1).replace("/postgres", "/template1")
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: Store(url, "together", "maximize"), range(8)))
    assert len({store.study._study_id for store in stores}) == 1
    for store in stores:
        store.close()


@pytest.mark.services
def test_optuna_dashboard_shows_the_storage(store: Store, tmp_path: Path) -> None:
    dashboard = pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed: pip install optuna-dashboard")
    store.enqueue(KEY, "a", ("t",))
    row = store.rows()[KEY].id
    assert store.claim(row)
    store.tell(row, RECORD, 0.3)
    environment: dict[str, object] = {}
    setup_testing_defaults(environment)
    answered: list[str] = []
    asked = {"PATH_INFO": "/api/studies/1", "QUERY_STRING": "after=0"}
    body = dashboard.wsgi(RDBStorage(sqlite_url(tmp_path)))(environment | asked, lambda status, *rest: answered.append(status))
    assert answered == ["200 OK"]
    told = json.loads(b"".join(body))
    assert (told["name"], [trial["state"] for trial in told["trials"]]) == ("s", ["Complete"])
