"""One real PostgreSQL server for the whole run, migrated once; each test makes its own controller, or clones a whole database."""

import gc
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg import sql

from tests.measuring import is_covered_elsewhere, listed
from vault.assembly import Vault
from vault.connectors.embedded_postgres import PostgresServer, admin_url, ensure_database, start_embedded
from vault.database import Database
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.migrate import migrate
from vault.settings import Settings

Controllers = Callable[[], str]

SLOWEST = Path(__file__).with_name("slowest_first.txt")  # files, by the time their tests take
MEMORY = 1 << 29  # what each of several servers reckons with: to map a gigabyte for each connection is a tenth of the suite

hypothesis.settings.register_profile("house", deadline=None)  # two shared cores: a slow example is no fault
hypothesis.settings.load_profile("house")


def pytest_collection_finish() -> None:
    """Leave what is there for good out of every later collection: six thousand tests are a large heap to walk through."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make check` runs the tests coverage must watch by themselves, and all others without it."""
    parser.addoption("--watched", choices=("only", "none"), help="only the tests coverage must watch, or none of them")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not read files none of whose tests were asked for: four processes would each read all, twice in `make check`."""
    asked = config.getoption("--watched")
    if asked is None or collection_path.suffix != ".py":
        return None
    path, names = collection_path.relative_to(config.rootpath).as_posix(), listed()
    whole = is_covered_elsewhere(path, names)
    unasked = whole if asked == "only" else not (whole or any(one.startswith(f"{path}::") for one in names))
    return unasked or None


@pytest.hookimpl(trylast=True)  # after whoever shuffles: what is in nobody's order stays shuffled
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out those that were not asked for; begin with the slowest files, so that nobody waits for one that began last."""
    asked = config.getoption("--watched")
    if asked is not None:
        names = listed()
        left = [one for one in items if is_covered_elsewhere(one.nodeid, names) is (asked == "only")]
        config.hook.pytest_deselected(items=left)
        items[:] = [one for one in items if is_covered_elsewhere(one.nodeid, names) is not (asked == "only")]
    turn = {path: number for number, path in enumerate(SLOWEST.read_text().split())}
    items.sort(key=lambda one: turn.get(one.nodeid.partition("::")[0], len(turn)))


_names = (f"clone_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The server, in a directory of its own that goes with the run."""
    root = Path(tempfile.mkdtemp(prefix="rsb"))
    root.chmod(0o755)
    server = start_embedded(root / "data", MEMORY)
    ensure_database(server)
    migrate(admin_url(server), admin_url(server))
    yield server
    server.cleanup()
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def database_url(postgres: PostgresServer) -> str:
    """The shared, migrated database: isolation is by controller."""
    return admin_url(postgres)


@pytest.fixture
def clone(postgres: PostgresServer) -> Iterator[Callable[[], str]]:
    """Make an empty migrated database for tests that need a log of their own; returns its superuser's address."""
    made: list[str] = []

    def make() -> str:
        name = next(_names)
        if not made and name == "clone_0":
            ensure_database(postgres, "clone_source")
            migrate(admin_url(postgres, "clone_source"), admin_url(postgres, "clone_source"))
        ensure_database(postgres, name, template="clone_source")
        made.append(name)
        return admin_url(postgres, name)

    yield make
    with psycopg.connect(postgres.get_uri("postgres"), autocommit=True) as connection:
        for name in made:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def app(database_url: str) -> Iterator[Database]:
    """The application's pools on the shared database."""
    database = Database(database_url, "riserbo_app")
    yield database
    database.close()


@pytest.fixture(scope="session")
def keyring_home() -> Iterator[Path]:
    """A home for the keyring and the signer's state, outside the data directory."""
    home = Path(tempfile.mkdtemp(prefix="rsbk"))
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def opened(database_url: str, keyring_home: Path) -> Iterator[Opened]:
    """A running vault with its trail, shared: every test brings its own controller."""
    settings = Settings(
        home=keyring_home, token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks", unbound_systems=True
    )
    with assembled(settings, Addresses(database_url, None), open_keyring(settings)) as opened:
        yield opened


@pytest.fixture
def vault(opened: Opened) -> Vault:
    """The shared vault."""
    return opened.vault


@contextmanager
def making_controllers(opened: Opened) -> Iterator[Controllers]:
    """Yield what makes a controller; those it made are let go of at the end."""
    made: list[str] = []

    def make() -> str:
        made.append(opened.vault.new_id("ctl"))
        opened.add_controller(made[-1])
        return made[-1]

    yield make
    for controller_id in made:
        _let_go(opened, controller_id)


@pytest.fixture
def controllers(opened: Opened) -> Iterator[Controllers]:
    """Make controllers of this test's own."""
    with making_controllers(opened) as make:
        yield make


@pytest.fixture(scope="module")
def shared_controllers(opened: Opened) -> Iterator[Controllers]:
    """Make controllers that the tests of one file share."""
    with making_controllers(opened) as make:
        yield make


@pytest.fixture
def controller_id(controllers: Controllers) -> str:
    """A controller of this test's own."""
    return controllers()


def _let_go(opened: Opened, controller_id: str) -> None:
    """Take a controller out of the register, so that nobody looks after a log that nobody writes any more."""
    group = opened.vault.audit._groups.pop(controller_id, None)
    if group is not None:
        group.close()
    opened.trail._woken.discard(controller_id)
    with psycopg.connect(opened.addresses.url, autocommit=True) as connection:
        connection.execute("DELETE FROM vault.controller WHERE controller_id = %s", (controller_id,))
    opened.trail._known = [one for one in opened.trail._known if one != controller_id]
