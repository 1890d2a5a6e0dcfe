"""How fast a log is verified against the least there is: to parse and hash the same leaves in memory; and what memory that takes.

Ratios are of on-CPU time of the one thread that verifies: what PostgreSQL takes to read the rows comes on top, and shows in the
rate alone. Every check but that of sealed details is made: positions, hashes, chains, tree, tiles, checkpoint; and once more with
MACs. Memory is looked at while it runs: a verification may not grow with the log.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from threading import Event, Thread
from time import perf_counter, thread_time
from typing import Any

import orjson
import psycopg

from benchmarks.seed import CONTROLLER, World
from vault.audit.checkpoint import origin
from vault.audit.scan import GivenNote, Report
from vault.audit.verify import Mac, verify_log
from vault.connectors.keyrings.file import FileKeyring
from vault.database import Database
from vault.fitting import CHECKPOINT_KEY
from vault.notes import VerifierKey
from vault.opening import open_vault

SAMPLED, TRIES, LOOK_S = 100_000, 5, 0.1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def measure_verification(made: World, keyring: FileKeyring, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the rates, their ratios to parsing and hashing alone, and how the process's memory grew over the log.

    `ratio` is of what anybody can check with a checkpoint and the public key; `with_macs_ratio` of every chain's MACs as well.
    """
    note = _signed(made)
    reference_us = _in_memory_us(_leaves(made))
    bare = _run(made, keyring, note, None)
    whole = _run(made, keyring, note, lambda name, message: keyring.mac(name, [message])[0])
    say(f"verified {bare.per_second:.0f} entries a second, {whole.per_second:.0f} with MACs")
    return {
        "per_second": bare.per_second,
        "with_macs_per_second": whole.per_second,
        "cpu_us": bare.cpu_us,
        "with_macs_cpu_us": whole.cpu_us,
        "in_memory_cpu_us": reference_us,
        "ratio": reference_us / bare.cpu_us,
        "with_macs_ratio": reference_us / whole.cpu_us,
        "memory_growth": max(_growth(bare.seen), _growth(whole.seen)),
        "memory_mb": max(whole.seen) / 1e6,
    }


@dataclass(frozen=True, slots=True)
class _Run:
    """One verification: entries a second, on-CPU µs of each, and the resident bytes of this process every tenth of a second."""

    per_second: float
    cpu_us: float
    seen: Sequence[int]


def _run(made: World, keyring: FileKeyring, note: str, mac: Mac | None) -> _Run:
    seen: list[int] = []
    done = Event()
    watching = Thread(target=_watch, args=(done, seen))
    watching.start()
    begun, spent = perf_counter(), thread_time()
    try:
        report = _verified(made, keyring, note, mac)
    finally:
        took, spent = perf_counter() - begun, thread_time() - spent
        done.set()
        watching.join()
    assert report.ok, report.findings
    return _Run(report.size / took, spent * 1e6 / report.size, seen)


def _verified(made: World, keyring: FileKeyring, note: str, mac: Mac | None) -> Report:
    sequencing = Database(made.admin_url, "riserbo_sequencer")
    try:
        with sequencing.transaction(CONTROLLER) as rows:
            return verify_log(
                rows,
                CONTROLLER,
                origin_host=made.settings.host,
                notes=[GivenNote("signed", note)],
                vkey=lambda name: VerifierKey(name, keyring.public_key(CHECKPOINT_KEY)),
                mac=mac,
                alone=True,
            )
    finally:
        sequencing.close()


def _signed(made: World) -> str:
    """Have the whole log signed, as a starting vault does, and return the note."""
    with open_vault(made.settings) as opened:
        opened.trail.settle(CONTROLLER)
        note = opened.state.last(origin(made.settings.host, CONTROLLER, 1))
    assert note is not None
    return note


def _leaves(made: World) -> Sequence[bytes]:
    with psycopg.connect(made.admin_url) as connection:
        rows = connection.execute(
            "SELECT leaf FROM vault.audit_entry WHERE controller_id = %s ORDER BY position LIMIT %s", (CONTROLLER, SAMPLED)
        ).fetchall()
    return [bytes(leaf) for (leaf,) in rows]


def _in_memory_us(leaves: Sequence[bytes]) -> float:
    def run() -> float:
        begun = thread_time()
        for leaf in leaves:
            orjson.loads(leaf)
            sha256(b"\0" + leaf).digest()
        return (thread_time() - begun) * 1e6 / len(leaves)

    return median(run() for _ in range(TRIES))


def _watch(done: Event, seen: list[int]) -> None:
    while not done.wait(LOOK_S):
        seen.append(int(Path("/proc/self/statm").read_text().split()[1]) * PAGE_BYTES)


def _growth(seen: Sequence[int]) -> float:
    """Return the most that was held in the last half over the most in the second tenth: by then every buffer has been filled."""
    tenth = max(1, len(seen) // 10)
    return max(seen[len(seen) // 2 :]) / max(seen[tenth : 2 * tenth] or seen)
