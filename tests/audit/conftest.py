from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.audit.makers import Log, draft, log_on
from tests.audit.tampering import SIZES, TABLES
from vault.connectors.embedded_postgres import PostgresServer, admin_url, ensure_database
from vault.operations.migrate import migrate


@pytest.fixture(scope="session")
def database_url(postgres: PostgresServer) -> str:
    """A database of these tests' own: on the shared one a running vault would look after their logs too."""
    ensure_database(postgres, "logs")
    migrate(admin_url(postgres, "logs"), admin_url(postgres, "logs"))
    return admin_url(postgres, "logs")


@pytest.fixture
def log(database_url: str, tmp_path: Path) -> Iterator[Log]:
    """A log of its own on the shared database, and a signer's state of its own."""
    with log_on(database_url, tmp_path / "state") as made:
        yield made


@pytest.fixture(scope="session")
def whole(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    """A log of 560 entries by two writers, signed at 60, 150, 400 and 560."""
    with log_on(database_url, tmp_path_factory.mktemp("state")) as log:
        recorder = log.recorder()
        lanes = [recorder.open_lane(log.controller_id) for _ in range(2)]
        done = 0
        for size in SIZES:
            while done < size:
                number = min(15 - (done < 30), size - done)  # the first of each writer opens it
                lanes[(done // 15) % 2].record_all([draft(f"sub-{(done + n) % 7}" if n % 5 else "") for n in range(number)])
                done += number + (done < 30)
            assert log.settle().checkpoint.size == size
        log.closing.extend(lane.close for lane in lanes)
        log.ask("DELETE FROM vault.controller WHERE controller_id = %s", log.controller_id)  # nobody else shall look after this one
        for table in TABLES:
            log.ask(
                f"CREATE TABLE public.kept_{table} AS SELECT * FROM vault.audit_{table} WHERE controller_id = %s", log.controller_id
            )
        yield log
        for table in TABLES:
            log.ask(f"DROP TABLE public.kept_{table}")


@pytest.fixture
def signed(whole: Log) -> Iterator[Log]:
    """The log, whole again after each attack."""
    yield whole
    own = f"controller_id = '{whole.controller_id}'"
    whole.attack(
        *(f"DELETE FROM vault.audit_{table} WHERE {own}" for table in TABLES),
        *(f"INSERT INTO vault.audit_{table} SELECT * FROM public.kept_{table}" for table in TABLES),
    )
