"""After a final erasure: what lies in data files, write-ahead log, dump and key export of who was erased, and what of it opens.

Each wrap the erased ever had is looked for, byte by byte, in every file of a server of its own, in a whole dump and in a key export
from before. It is there, for PostgreSQL keeps what was deleted; and it opens, until the root of its epoch is destroyed.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.drills.restoring import BIN, CONTROLLER, DATABASE, MEMORY, Drill, enrolled
from tests.makers import register
from tests.operations.test_destroy_epochs import Installation
from vault.connectors.embedded_postgres import ensure_database, start_embedded
from vault.connectors.key_exports import pieces_of
from vault.errors import Unreadable
from vault.keys.key_exports import open_export
from vault.keys.keyring import root_name
from vault.opening import Opened
from vault.operations.migrate import migrate

pytestmark = pytest.mark.drill

PEOPLE = 20
Wraps = dict[str, list[tuple[str, int, str, str, bytes]]]


@pytest.fixture(scope="module")
def drill() -> Iterator[Drill]:
    root = Path(tempfile.mkdtemp(prefix="rsbf"))
    root.chmod(0o755)
    server = start_embedded(root / "data", MEMORY)
    made = Drill(server, root)
    ensure_database(server, DATABASE)
    migrate(made.url, made.url)
    yield made
    server.cleanup()
    shutil.rmtree(root, ignore_errors=True)


def lying(drill: Drill, *others: Path) -> list[bytes]:
    """Return the bytes of every file of the server, checkpointed, and of these."""
    with psycopg.connect(drill.server.get_uri("postgres"), autocommit=True) as owner:
        owner.execute("CHECKPOINT")
    return [one.read_bytes() for one in (*(drill.root / "data").rglob("*"), *others) if one.is_file()]


def found(files: list[bytes], wraps: Wraps) -> Wraps:
    """Return those of these wraps that lie in one of the files."""
    return {name: [one for one in of if any(one[4] in octets for octets in files)] for name, of in wraps.items()}


def opened_of(at: Installation, wraps: Wraps) -> int:
    at.opened.vault.keys.forget()
    return sum(at.open_any(name, of) for name, of in wraps.items())


def test_nothing_that_lies_anywhere_opens_once_an_erasure_is_final(drill: Drill) -> None:
    whole = drill.root / "whole.sql"
    with drill.opened() as opened:
        opened.add_controller(CONTROLLER)
        register(opened.vault, CONTROLLER, "dpo", "system")
        at = _at(opened, drill)
        people = [enrolled(opened.vault.governed(CONTROLLER), number, "gone") for number in range(PEOPLE)]
        stays = at.home.person()
        wraps = {one: at.wraps(one) for one in people}
        subprocess.run([BIN / "pg_dump", f"--file={whole}", f"--dbname={drill.url}"], check=True, capture_output=True)
        at.then.export_keys()
        (export,) = opened.key_exports.kept()
        kept = export.read_bytes()
        for number, one in enumerate(people):
            at.erasing.erased(one, f"req_{number}")
        assert all(len(of) == len(wraps[name]) > 0 for name, of in found(lying(drill), wraps).items())
        assert opened_of(at, wraps) == sum(len(of) for of in wraps.values())  # deleted, and it opens
        at.close_epoch(2)
        at.then.export_keys()
        at.forward(days=15)
        at.then.tend_keys()
        assert opened.keyring.state(root_name(1)) == "destroyed"
        there = found(lying(drill), wraps)
        print(f"\n{sum(len(of) for of in there.values())} wraps of {PEOPLE} people lie in {drill.root / 'data'}; 0 open")
        assert any(there.values())
        assert opened_of(at, wraps) == 0
        assert at.home.email(stays) == "giulia@example.it"
        assert len(at.home.ledger.rows("vault.certificate", "stage = 'final'")) == PEOPLE
        with pytest.raises(Unreadable):
            list(open_export(opened.keyring, "riserbo", [kept]))
        (newest,) = opened.key_exports.kept()[-1:]
        rows = open_export(opened.keyring, "riserbo", pieces_of(newest))
        assert {row["subject_id"] for _, table, row in rows if table == "data_key_wrap"} == {stays}
    _nothing_opens_in_the_old_dump(drill, whole, people[0], wraps)


def _at(opened: Opened, drill: Drill) -> Installation:
    vault = replace(opened.vault, settings=opened.vault.settings.model_copy(update={"physical_backup_days": 10}))
    return Installation(replace(opened, vault=vault), drill.url, controller_id=CONTROLLER)


def _nothing_opens_in_the_old_dump(drill: Drill, whole: Path, one: str, wraps: Wraps) -> None:
    """Put the whole dump from before the erasure back: its controller key is of a root that is gone."""
    with psycopg.connect(drill.server.get_uri("postgres"), autocommit=True) as owner:
        owner.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)".encode())
    ensure_database(drill.server, DATABASE)
    subprocess.run([BIN / "psql", "--quiet", f"--file={whole}", drill.url], check=True, capture_output=True)
    with psycopg.connect(drill.url) as owner:
        (there,) = owner.execute("SELECT count(*) FROM keys.data_key_wrap WHERE subject_id = %s", (one,)).fetchall()
        assert there == (len(wraps[one]),)
    with drill.opened() as opened, pytest.raises(Unreadable):
        opened.vault.keys.current(CONTROLLER)
