"""What recording costs against the least there is: one bare INSERT with its commit; and whether the sequencer keeps up.

Rounds alternate, ratios are taken within a round. The recorder is the product's with nothing switched off; entries are of people
with a chain, sealed details and all. Nothing sequences meanwhile: that is measured after each round, on what it left.
"""

import hmac
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from statistics import median
from threading import Thread
from time import monotonic, perf_counter
from typing import Any

import psycopg

from benchmarks.figures import ENOUGH_ROUNDS
from benchmarks.row import PSYCOPG_INSERT, ROW, TABLE
from benchmarks.seed import World
from vault.audit.entry import Chain, Draft
from vault.audit.health import TrailHealth
from vault.audit.recorder import Recorder
from vault.audit.records import found_log
from vault.audit.sequencer import Sequencer
from vault.database import Database
from vault.keys.data_keys import seal_bytes
from vault.opening import new_id, now

CONTROLLER, HOST = "bench-record", "bench.example"
WINDOW_S = 1.0
BUSY = 8
Act = Callable[[], object]


def measure_recording(made: World, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the ratios of recording to a bare INSERT, and of sequencing to recording; medians over the rounds."""
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        connection.execute("INSERT INTO vault.controller VALUES (%s, 'UTC', '{it}', now())", (CONTROLLER,))
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
    say(f"recorded {median(one.recorded for one in seen):.0f} a second, sequenced {median(one.sequenced for one in seen):.0f}")
    assert len(seen) >= min(rounds, ENOUGH_ROUNDS)
    return {
        "c1_p50_ratio": median(one.alone for one in seen),
        f"c{BUSY}_rate_ratio": median(one.busy for one in seen),
        "sequencer_ratio": median(one.sequenced / one.recorded for one in seen),
        "recorded_per_second": median(one.recorded for one in seen),
        "sequenced_per_second": median(one.sequenced for one in seen),
        "rounds": len(seen),
    }


@dataclass(frozen=True, slots=True)
class _Round:
    """One round: record's p50 over INSERT's, its rate over INSERT's among many, and both rates of entries."""

    alone: float
    busy: float
    recorded: float
    sequenced: float


def _round(made: World, app: Database, sequencing: Database) -> _Round:
    recorder = _recorder(app)
    alone: dict[str, list[float]] = {}
    busy: dict[str, list[float]] = {}
    try:
        for threads, found in ((1, alone), (BUSY, busy)):
            connections = [psycopg.connect(made.reference_url, autocommit=True, prepare_threshold=0) for _ in range(threads)]
            connections[0].execute(TABLE)
            bare = [lambda one=one: one.execute(PSYCOPG_INSERT, ROW) for one in connections]
            found["bare"] = _window(bare)
            for one in connections:
                one.close()
            found["record"] = _window([lambda: recorder.record(CONTROLLER, _draft())] * threads)
    finally:
        recorder.close()
    sequencer = Sequencer(sequencing, mac=_mac, origin_host=HOST, health=TrailHealth(monotonic))
    begun = perf_counter()
    taken = sequencer.drain(CONTROLLER)
    took = perf_counter() - begun
    assert sequencer.found_break(CONTROLLER) is None
    rates = {name: len(times) / WINDOW_S for name, times in busy.items()}
    return _Round(
        median(alone["record"]) / median(alone["bare"]), rates["record"] / rates["bare"], rates["record"], taken / took
    )  # fmt: skip


def _window(acts: Sequence[Act]) -> list[float]:
    """Do each act over and over in a thread of its own for a second; return what each took, in seconds."""
    took: list[list[float]] = [[] for _ in acts]
    until = monotonic() + WINDOW_S

    def run(act: Act, mine: list[float]) -> None:
        while monotonic() < until:
            begun = perf_counter()
            act()
            mine.append(perf_counter() - begun)

    threads = [Thread(target=run, args=pair) for pair in zip(acts, took, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [one for mine in took for one in mine]


def _recorder(app: Database) -> Recorder:
    return Recorder(
        app,
        mac=_mac,
        unwrap_audit_key=lambda *place: sha256(place[1].encode()).digest(),
        audit_secret=lambda _controller: (1, bytes(32)),
        seal=seal_bytes,
        draw=os.urandom,
        now=now,
        monotonic=monotonic,
        new_id=new_id,
        origin_host=HOST,
        is_open=lambda _controller: True,
    )


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
