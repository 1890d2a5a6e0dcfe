"""What recording costs against the least there is, one bare INSERT with its commit, and against a log with one head to lock.

Rounds alternate, ratios are taken within a round. The recorder is the product's with nothing switched off; entries are of people
with a chain, sealed details and all; making a draft is not counted, as making the row of the bare INSERT is not. The locked head
is what a log without lanes would do: add one to a number everybody adds to, write the row, commit. Nothing sequences meanwhile:
that is measured after each round, on what it left.
"""

import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from statistics import median
from threading import Thread
from time import monotonic, perf_counter
from typing import Any

import psycopg

from benchmarks.figures import ENOUGH_ROUNDS
from benchmarks.row import PSYCOPG_INSERT, ROW, TABLE
from benchmarks.seed import World, slow_commit
from vault.audit.entry import Chain, Draft
from vault.audit.health import TrailHealth
from vault.audit.recorder import Recorder
from vault.audit.records import found_log
from vault.audit.sequencer import Sequencer
from vault.database import Database
from vault.keys.controller_keys import Secret
from vault.keys.data_keys import seal_bytes
from vault.keys.draws import draw
from vault.opening import new_id, now

CONTROLLER, HOST = "bench-record", "bench.example"
WINDOW_S = 1.0
BUSY, CROWD = 8, 40
LANES = (2, 4, 8)  # tried under slow commits: how many are best depends on the disk
DRAFTS_A_WINDOW = 12_000  # more than any window has been seen to use
_HEAD = "CREATE TABLE IF NOT EXISTS audit_head (id integer PRIMARY KEY, number bigint NOT NULL)"
Act = Callable[[Any], object]
_SECRET = Secret(1, bytes(32))


def measure_recording(made: World, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the ratios of recording to a bare INSERT and a locked head, and of sequencing to recording; medians of the rounds."""
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        connection.execute("INSERT INTO vault.controller VALUES (%s, 'UTC', '{it}', now())", (CONTROLLER,))
    with psycopg.connect(made.reference_url, autocommit=True) as connection:
        connection.execute(TABLE)
        connection.execute(_HEAD)
        connection.execute("INSERT INTO audit_head VALUES (1, 0) ON CONFLICT DO NOTHING")
    app, sequencing = Database(made.admin_url, "riserbo_app", pool_size=BUSY), Database(made.admin_url, "riserbo_sequencer")
    try:
        with app.transaction(CONTROLLER) as rows:
            found_log(rows, CONTROLLER)
        seen = [_round(made, app, sequencing) for _ in range(rounds + 1)][1:]
    finally:
        app.close()
        sequencing.close()
        with psycopg.connect(made.admin_url, autocommit=True) as connection:  # nobody looks after this log
            connection.execute("DELETE FROM vault.controller WHERE controller_id = %s", (CONTROLLER,))
    found = {name: median(one[name] for one in seen) for name in seen[0]}
    say(f"recorded {found['recorded_per_second']:.0f} a second, sequenced {found['sequenced_per_second']:.0f}")
    assert len(seen) >= min(rounds, ENOUGH_ROUNDS)
    return {**found, "slow_c8_rate_ratio": max(found[f"slow_c8_{lanes}_lanes"] for lanes in LANES), "rounds": len(seen)}


def _round(made: World, app: Database, sequencing: Database) -> dict[str, float]:
    found: dict[str, float] = {}
    with _recorder(app) as recorder:
        found["c1_p50_ratio"] = median(_recording(recorder, 1)) / median(_inserting(made, 1))
        busy = _rate(_recording(recorder, BUSY))
        found[f"c{BUSY}_rate_ratio"] = busy / _rate(_inserting(made, BUSY))
        found[f"c{BUSY}_over_locked_head"] = busy / _rate(_locking(made, BUSY))
        found[f"c{CROWD}_over_locked_head"] = _rate(_recording(recorder, CROWD)) / _rate(_locking(made, CROWD))
    found |= _under_slow_commits(made, app)
    found["recorded_per_second"] = busy
    sequencer = Sequencer(sequencing, mac=_mac, origin_host=HOST, health=TrailHealth(monotonic))
    begun = perf_counter()
    taken = sequencer.drain(CONTROLLER)
    found["sequenced_per_second"] = taken / (perf_counter() - begun)
    assert sequencer.found_break(CONTROLLER) is None
    return {**found, "sequencer_ratio": found["sequenced_per_second"] / busy}


def _under_slow_commits(made: World, app: Database) -> dict[str, float]:
    """Return the same where a commit takes 2 ms: the median alone, and the rate of eight for each number of lanes."""
    slow_commit(made, on=True)
    try:
        with _recorder(app) as recorder:
            found = {"slow_c1_p50_ratio": median(_recording(recorder, 1)) / median(_inserting(made, 1))}
        theirs = _rate(_inserting(made, BUSY))
        for lanes in LANES:
            with _recorder(app, lanes) as recorder:
                found[f"slow_c{BUSY}_{lanes}_lanes"] = _rate(_recording(recorder, BUSY)) / theirs
        return found
    finally:
        slow_commit(made, on=False)


def _recording(recorder: Recorder, threads: int) -> list[float]:
    return _window([lambda draft: recorder.record(CONTROLLER, draft)] * threads, _Drafts(threads).next)


class _Drafts:
    """Drafts for a window. One caller's are each made just before it is recorded, as a request's is, and not counted.

    Many callers share the interpreter, where making one would hold up the others: theirs are made before the window.
    """

    def __init__(self, threads: int) -> None:
        self._ready = [_draft() for _ in range(DRAFTS_A_WINDOW)] if threads > 1 else []

    def next(self) -> Draft:
        """Return one nobody has had. Taking from the list is one step, whoever else does."""
        return self._ready.pop() if self._ready else _draft()


def _inserting(made: World, threads: int) -> list[float]:
    with _connections(made, threads) as connections:
        return _window([partial(one.execute, PSYCOPG_INSERT) for one in connections], lambda: ROW)


def _locking(made: World, threads: int) -> list[float]:
    with _connections(made, threads) as connections:
        return _window([partial(_behind_the_head, one) for one in connections], lambda: ROW)


def _behind_the_head(connection: "psycopg.Connection[Any]", row: tuple[str, ...]) -> None:
    with connection.transaction():
        connection.execute("UPDATE audit_head SET number = number + 1 WHERE id = 1 RETURNING number").fetchone()
        connection.execute(PSYCOPG_INSERT, row)


@contextmanager
def _connections(made: World, count: int) -> "Iterator[list[psycopg.Connection[Any]]]":
    with ExitStack() as opened:
        yield [
            opened.enter_context(psycopg.connect(made.reference_url, autocommit=True, prepare_threshold=0)) for _ in range(count)
        ]


def _rate(times: Sequence[float]) -> float:
    return len(times) / WINDOW_S


def _window(acts: Sequence[Act], material: Callable[[], Any]) -> list[float]:
    """Do each act over and over on new material, in a thread of its own for a second; return what each took, in seconds."""
    took: list[list[float]] = [[] for _ in acts]
    until = monotonic() + WINDOW_S

    def run(act: Act, mine: list[float]) -> None:
        while monotonic() < until:
            given = material()
            begun = perf_counter()
            act(given)
            mine.append(perf_counter() - begun)

    threads = [Thread(target=run, args=pair) for pair in zip(acts, took, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for mine in took for one in mine]


@contextmanager
def _recorder(app: Database, lanes: int = 2) -> Iterator[Recorder]:
    recorder = Recorder(
        app,
        mac=_mac,
        unwrap_audit_key=lambda *place: sha256(place[1].encode()).digest(),
        audit_secret=lambda _controller: _SECRET,
        seal=seal_bytes,
        draw=draw,
        now=now,
        monotonic=monotonic,
        new_id=new_id,
        origin_host=HOST,
        is_open=lambda _controller: True,
        lanes=lanes,
    )
    try:
        yield recorder
    finally:
        recorder.close()


def _mac(key: str, message: bytes) -> bytes:
    return hmac.digest(key.encode(), message, "sha256")


def _draft() -> Draft:
    """Return a disclosure of somebody's first entry."""
    subject_id = new_id("sub")
    return Draft(
        entry_id=new_id("ent"), operation="disclose", outcome="partial", kind="agent", caller_id="agent-1", roles=("t1",),
        recipient="helpdesk", purpose="customer-care", channel="phone", count=2, terms=("retail@1",), bundle=bytes(32),
        fields={"given_name": "clear", "family_name": "clear", "email": "masked:email", "iban": "withheld"},
        details={"decision_id": new_id("dec"), "agreements": {"email": "agr_1"}},
        internal={"caller_id": "agent-1", "station": "PDL-1"},
        chain=Chain(subject_id, 1, b""), subject_id=subject_id, team="desk", ticket_id="TCK-1", ticket_state="verified",
        classes=("identity", "contact"), clear_classes=("identity",),
    )  # fmt: skip
