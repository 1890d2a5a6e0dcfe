"""The places where a value could stay behind, each with its search; and a leak planted in each, which that search must find."""

import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB

from tests.assurance.canaries import Canary, Hit, Search, family
from tests.assurance.driving import Answer
from tests.assurance.house import House
from vault.opening import now
from vault.tables import metadata

TABLES = [f"{one.schema}.{one.name}" for one in metadata.sorted_tables]
JOBS = ["jobs.procrastinate_jobs", "jobs.procrastinate_periodic_defers"]
_BREACH = re.compile("GET /v1/breaches/brc_[a-z2-7]{26}")
_REQUEST = re.compile("GET /v1/requests/req_[a-z2-7]{26}")
_TASK = re.compile("GET /v1/recipient-tasks/tsk_[a-z2-7]{26}")
_NAMING = re.compile("GET /v1/namings/nam_[a-z2-7]{26}")
_DOWNLOAD = re.compile("POST /v1/exports/exp_[a-z2-7]{26}:download")
_OWN_PLACES = ("data", "tmp", "out", "inbox", "keyring.credential", "state/imports")


def _answers(house: House, search: Search) -> list[Hit]:
    """Search every header, and every body but what a caller may see: of a profile, a breach, a request, a naming that waits."""
    found = []
    for one in house.outside.answers:
        shown = one.status == 200 and one.asked.endswith(("/profile", "/reveals"))
        body = json.dumps(_without_what_is_shown(json.loads(one.body))).encode() if shown else one.body
        if one.status == 200 and _DOWNLOAD.fullmatch(one.asked):
            body = b""  # the package, to whose passphrase it belongs
        if one.status == 202 and one.asked.endswith("/exports"):
            body = json.dumps({**json.loads(one.body), "passphrase": None}).encode()
        if one.status == 200 and _BREACH.fullmatch(one.asked):
            body = json.dumps(_without_words(json.loads(one.body))).encode()
        if one.status == 200 and _REQUEST.fullmatch(one.asked):
            steps = [{**step, "said": None, "ordered_by": None} for step in json.loads(one.body)["steps"]]
            body = json.dumps({**json.loads(one.body), "steps": steps}).encode()  # what was written to whoever reads it
        if one.status == 200 and one.asked.endswith("/proposal"):
            body = json.dumps({**json.loads(one.body), "values": None}).encode()
        if one.status == 200 and _TASK.fullmatch(one.asked):
            steps = [{**step, "said": None, "evidence": None} for step in json.loads(one.body)["steps"]]
            body = json.dumps({**json.loads(one.body), "steps": steps}).encode()
        if one.status == 200 and one.asked.startswith("GET /v1/holds"):
            body = json.dumps([{**hold, "why": None, "law": None} for hold in json.loads(one.body)["holds"]]).encode()
        if one.status == 200 and _NAMING.fullmatch(one.asked):
            body = json.dumps({**json.loads(one.body), "why": None}).encode()  # by which the approver decides
        found += search.octets(f"answer {one.status}", one.headers + b"\r\n\r\n" + body)
    return found


def _without_what_is_shown(profile: dict[str, Any]) -> dict[str, Any]:
    """Return a profile without its clear cells, and without the city, which the mask of an address leaves as it is."""
    cells = {name: cell for name, cell in profile["fields"].items() if cell["state"] != "clear"}
    cities = {name: {**cell["value"], "city": None} for name, cell in cells.items() if cell["mask"] == "address_city"}
    return {**profile, "fields": {name: {**cell, "value": cities.get(name, cell["value"])} for name, cell in cells.items()}}


def _without_words(breach: dict[str, Any]) -> dict[str, Any]:
    """Return a breach without what officers wrote of it, which the officer who reads it is shown."""
    return {**breach, "words": None, "phases": [{**one, "words": None} for one in breach["phases"]]}


PLACES: Mapping[str, Callable[[House, Search], list[Hit]]] = {
    "answers": _answers,
    "open files": lambda house, search: [hit for pid in house.watched for one in family(pid) for hit in search.open_files(one)],
    "temporary files of the database": lambda house, search: search.tree(house.data / "base" / "pgsql_tmp"),
    "heap": lambda house, search: search.tree(
        house.data, without=[house.data / one for one in ("pg_wal", "log", "base/pgsql_tmp")]
    ),
    "write-ahead log": lambda house, search: search.tree(house.data / "pg_wal"),
    "server log": lambda house, search: search.file(house.data / "log"),
    "temporary files": lambda house, search: search.tree(house.home / "tmp"),
    "logs and command output": lambda house, search: search.tree(house.home / "out"),
    "import reports": lambda house, search: search.tree(house.home / "state" / "imports"),
    "the rest of the home": lambda house, search: search.tree(house.home, without=[house.home / one for one in _OWN_PLACES]),
}
WHILE_RUNNING = ("answers", "open files", "temporary files of the database")  # the others once the database was killed


def search_table(connection: "psycopg.Connection[Any]", table: str, search: Search) -> list[Hit]:
    """Search every cell of a table, bytes as they are: in a file they might be compressed."""
    found = []
    for row in connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(*table.split(".")))):
        cells = (cell if isinstance(cell, bytes) else json.dumps(cell, ensure_ascii=False, default=str).encode() for cell in row)
        found += search.octets(table, b"\n".join(cells))
    return found


class Plants:
    """A canary for each place, each planted in another spelling."""

    def __init__(self) -> None:
        self.canaries = {name: Canary.of(name, f"piantato-{at:03}-qzx") for at, name in enumerate([*PLACES, *TABLES, *JOBS])}

    def octets(self, place: str) -> bytes:
        """Return what is planted: each of the spellings in turn."""
        needles = list(self.canaries[place].needles())
        return b"\0" + needles[list(self.canaries).index(place) % len(needles)][1] + b"\0"

    def text(self, place: str) -> str:
        """Return what is planted where only text goes."""
        return self.canaries[place].spellings[0].decode()[::-1]

    def search(self, place: str) -> Search:
        """Return a search for the canary of this place alone."""
        return Search([self.canaries[place]])


def planted(house: House) -> dict[str, list[Hit]]:
    """Plant a leak in each place, search it, take the leak away, and return what was found where."""
    plants = Plants()
    found = _planted_in_tables(house, plants)
    for place, planting in _PLANTINGS.items():
        with planting(house, plants):
            found[place] = PLACES[place](house, plants.search(place))
    return found


@contextmanager
def _in_answers(house: House, plants: Plants) -> Iterator[None]:
    house.outside.answers.append(Answer("GET /v1/subjects/x/profile", 404, b"", plants.octets("answers")))
    yield
    house.outside.answers.clear()


@contextmanager
def _in_an_open_file(house: House, plants: Plants) -> Iterator[None]:
    """A file without a name in any directory, held open by some process."""
    script = "import sys, tempfile, time; file = tempfile.TemporaryFile(); file.write(sys.stdin.buffer.read()); file.flush()"
    line = [sys.executable, "-c", f"{script}; print(flush=True); time.sleep(600)"]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdin.write(plants.octets("open files"))
        holder.stdin.close()
        holder.stdout.readline()
        house.watched.append(holder.pid)
        yield
        house.watched.remove(holder.pid)
        holder.kill()


@contextmanager
def _in_a_spilt_sort(house: House, plants: Plants) -> Iterator[None]:
    text = plants.text("temporary files of the database")
    with psycopg.connect(house.alone.url) as owner:
        owner.execute("SET work_mem = '64kB'")
        owner.execute(
            f"DECLARE leak CURSOR FOR SELECT n, '{text}' || n FROM generate_series(1, 40000) n ORDER BY n DESC, 2".encode()
        )
        owner.execute("FETCH leak")
        yield


@contextmanager
def _in_a_row(house: House, plants: Plants, place: str) -> Iterator[None]:
    with psycopg.connect(house.alone.url, autocommit=True) as owner:
        owner.execute("CREATE TABLE vault.leak (octets bytea)")
        owner.execute("INSERT INTO vault.leak VALUES (%s)", (plants.octets(place),))
        owner.execute("CHECKPOINT")
        yield
        owner.execute("DROP TABLE vault.leak")


@contextmanager
def _in_the_server_log(house: House, plants: Plants) -> Iterator[None]:
    with psycopg.connect(house.alone.url, autocommit=True) as owner:
        owner.execute(f"DO $$ BEGIN RAISE WARNING '{plants.text('server log')}'; END $$".encode())
    yield


@contextmanager
def _in_a_file(house: House, plants: Plants, place: str, directory: str) -> Iterator[None]:
    file = house.home / directory / "leak"
    file.parent.mkdir(parents=True, exist_ok=True)
    octets = plants.octets(place)
    file.write_bytes(b"before" + zlib.compress(octets) + b"behind" if place == "temporary files" else octets)
    yield
    file.unlink()


_PLANTINGS: Mapping[str, Callable[[House, Plants], Any]] = {
    "answers": _in_answers,
    "open files": _in_an_open_file,
    "temporary files of the database": _in_a_spilt_sort,
    "heap": lambda house, plants: _in_a_row(house, plants, "heap"),
    "write-ahead log": lambda house, plants: _in_a_row(house, plants, "write-ahead log"),
    "server log": _in_the_server_log,
    "temporary files": lambda house, plants: _in_a_file(house, plants, "temporary files", "tmp"),
    "logs and command output": lambda house, plants: _in_a_file(house, plants, "logs and command output", "out"),
    "import reports": lambda house, plants: _in_a_file(house, plants, "import reports", "state/imports"),
    "the rest of the home": lambda house, plants: _in_a_file(house, plants, "the rest of the home", "state"),
}


def _planted_in_tables(house: House, plants: Plants) -> dict[str, list[Hit]]:
    """Insert a leaking row into every table, search them all, and roll it back."""
    engine = sa.create_engine(sa.make_url(house.alone.url).set(drivername="postgresql+psycopg"))
    with engine.connect() as owner, owner.begin() as going:
        owner.exec_driver_sql("SET LOCAL session_replication_role = replica")
        for table, name in zip(metadata.sorted_tables, TABLES, strict=True):
            row = {column.name: _leaking(column, plants.octets(name), plants.text(name)) for column in table.c}
            owner.execute(sa.insert(table), row)
        jobs, defers = (plants.text(name) for name in JOBS)
        columns = f"{JOBS[0]} (queue_name, task_name, args) VALUES ('q', 't'"
        owner.exec_driver_sql(f"INSERT INTO {columns}, jsonb_build_object('a', '{jobs}'))")
        owner.exec_driver_sql(f"INSERT INTO {JOBS[1]} (task_name, defer_timestamp) VALUES ('{defers}', 1)")
        driver: Any = owner.connection.driver_connection
        found = {name: search_table(driver, name, plants.search(name)) for name in [*TABLES, *JOBS]}
        going.rollback()
    engine.dispose()
    return found


def _leaking(column: "sa.Column[Any]", octets: bytes, text: str) -> Any:
    # Who must be somebody else: one text cannot stand in all.
    if column.name in ("approver", "approved_by", "reviewer", "released_by"):
        return None
    if isinstance(column.type, sa.ARRAY) and isinstance(column.type.item_type, sa.DateTime):
        return [now()]
    if isinstance(column.type, sa.ARRAY) and isinstance(column.type.item_type, sa.BigInteger):
        return [0]
    kinds: list[tuple[Any, Any]] = [
        (sa.LargeBinary, octets), (sa.ARRAY, [text]), (JSONB, {"a": [text]}), (sa.Boolean, False), (sa.Integer, 0),
        (sa.DateTime, now()), (sa.Date, now().date()),
    ]  # fmt: skip
    return next((value for kind, value in kinds if isinstance(column.type, kind)), text)
