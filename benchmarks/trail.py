"""Run the comparisons of a long trail: `python -m benchmarks.trail`, which `make bench-audit` does.

Loads a log of two years (ten million entries unless told otherwise, about 2 kB each), measures what officers ask of it, proofs,
verification and its memory, counts, and what recording costs. Exit status 0 when every gate holds, 1 when one fails in two runs, 2
when the disk has no room for it.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import psycopg
from rich.console import Console

from benchmarks import report
from benchmarks.affected import keep_audit_keys, measure_affected
from benchmarks.figures import Gate, Verdict, failed_in_both, judge
from benchmarks.machine import described
from benchmarks.seed import CONTROLLER, World, world
from benchmarks.trail_log import SNOOP, Keys, Made, load, snooped, spread_over_months
from benchmarks.trail_pages import FEW_TRIES, PAGES, TRIES, Asker
from benchmarks.trail_record import measure_recording
from benchmarks.trail_verify import measure_verification
from vault.audit import entry
from vault.audit.checkpoint import origin
from vault.database import Database
from vault.opening import open_keyring, open_vault

ENTRIES = 10_000_000
EARLY = 10_000  # what growth is measured from
BYTES_EACH = 2_600  # with the write-ahead log that is kept meanwhile
ROUNDS = 7
TABLES = ("audit_entry", "audit_detail", "audit_lookup", "audit_tile", "audit_daily")
GATES = (
    *(Gate(("pages", f"{name}_ms"), 10.0, 5.0, at_most=True) for name in ("subject", "caller", "ticket", "flag")),
    Gate(("pages", "day_ms"), 20.0, 10.0, at_most=True),
    Gate(("pages", "rare_ms"), 250.0, 150.0, at_most=True),
    Gate(("pages", "sequential_scans"), 0.0, 0.0, at_most=True),
    Gate(("trail", "proof_ms"), 5.0, 2.0, at_most=True),
    Gate(("affected", "affected_s"), 5.0, 1.0, at_most=True),
    Gate(("affected", "affected_unattributed"), 0.0, 0.0, at_most=True),
    Gate(("affected", "confirm_us_per_leaf"), 18.0, 10.0, at_most=True),  # ten million leaves in three minutes
    Gate(("trail", "counts_ratio"), 50.0, 100.0),
    Gate(("trail", "subject_growth"), 5.0, 3.0, at_most=True),
    Gate(("trail", "proof_growth"), 5.0, 3.0, at_most=True),
    Gate(("verification", "ratio"), 0.2, 0.3),
    Gate(("verification", "memory_growth"), 1.1, 1.05, at_most=True),
    Gate(("record", "c1_p50_ratio"), 1.5, 1.2, at_most=True),
    Gate(("record", "c8_rate_ratio"), 0.5, 0.7),
    Gate(("record", "slow_c8_rate_ratio"), 0.5, 0.8),
    Gate(("record", "c8_over_locked_head"), 2.5, 4.0),
    Gate(("record", "c40_over_locked_head"), 3.0, 5.0),
    Gate(("record", "sequencer_ratio"), 2.0, 5.0),
)
Say = Callable[[str], None]

people = Console(stderr=True, highlight=False)


def main() -> int:
    """Load, measure, print, keep; return the exit status."""
    asked = _arguments(sys.argv[1:])
    with _home(asked.home) as home:
        if shutil.disk_usage(home).free < asked.entries * BYTES_EACH:
            people.print(f"{asked.entries} entries need {asked.entries * BYTES_EACH / 1e9:.0f} GB of disk.")
            return 2
        results, first, second = _run(asked, home)
    copy = report.kept(results, datetime.now(UTC), latest=False)
    report.show(Console(highlight=False, width=None if sys.stdout.isatty() else 130), results, first)
    people.print(f"Kept in {copy}.")
    failed = failed_in_both(first, second)
    for gate in failed:
        people.print(f"[red]failed twice:[/red] {'.'.join(gate.path)}")
    return 1 if failed else 0


def _run(asked: argparse.Namespace, home: Path) -> tuple[dict[str, Any], list[Verdict], list[Verdict]]:
    with world(home) as made:
        results: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": described(made)}
        results["workload"] = f"{asked.entries} entries of two years, 24 months; a page is 50 entries"
        asker, early, loaded = _loaded(made, asked.entries, people.print)
        try:
            results |= {"load": loaded, **_measured(made, asker, early, asked.rounds)}
            first = judge(results, GATES)
            second: list[Verdict] = []
            if any(one.outcome == "fail" for one in first):
                people.print("not every gate was passed: a second run")
                repeated = _measured(made, asker, early, asked.rounds)
                second = judge(repeated, GATES)
                results["second_run"] = repeated | {"gates": report.verdicts_written(second)}
        finally:
            asker.database.close()
        results["gates"] = report.verdicts_written(first)
    return results, first, second


def _loaded(made: World, entries: int, say: Say) -> tuple[Asker, dict[str, float], dict[str, float]]:
    """Load the log; return who asks of it, what a page and a proof cost when it was short, and how long loading took."""
    keys, until = _keys(made), datetime.now(UTC) - timedelta(days=1)  # of today the vault has counts of its own
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        for setting in ("synchronous_commit = off", "max_wal_size = '4GB'"):
            connection.execute(f"ALTER SYSTEM SET {setting}".encode())
        connection.execute("SELECT pg_reload_conf()")
        spread_over_months(connection, until, entries)
        known = connection.execute(
            "SELECT leaf_hash FROM vault.audit_entry WHERE controller_id = %s ORDER BY position", (CONTROLLER,)
        ).fetchall()
        log = Made(keys, entries, [bytes(one) for (one,) in known], until)
        asker = _asker(made, keys, until)
        begun = perf_counter()
        load(connection, log, min(EARLY, entries), say)
        _settled(connection)
        early = {"subject_ms": asker.page_ms("subject", TRIES), "proof_ms": asker.proof_ms(TRIES)}
        load(connection, log, log.total, say)
        took = perf_counter() - begun
        _settled(connection)
        connection.execute("ALTER SYSTEM RESET synchronous_commit")
        connection.execute("SELECT pg_reload_conf()")
        size = connection.execute(
            "SELECT sum(pg_total_relation_size(relid)) FROM unnest(%s::text[]) AS t(name),"
            " pg_partition_tree(('vault.' || t.name)::regclass)",
            (list(TABLES),),
        ).fetchone()
    say(f"{log.size} entries loaded in {took:.0f} s")
    return (
        asker,
        early,
        {"seconds": took, "entries_per_second": entries / took, "bytes_an_entry": float((size or [0])[0]) / log.size},
    )


def _settled(connection: "psycopg.Connection[Any]") -> None:
    for table in TABLES:
        connection.execute(f"VACUUM (ANALYZE) vault.{table}".encode())
    connection.execute("CHECKPOINT")


def _keys(made: World) -> Keys:
    """Return the keys of the log; what it has written so far is sequenced and signed, people who will be named have their keys."""
    with open_vault(made.settings) as opened:
        opened.trail.settle(CONTROLLER)
        secret = opened.vault.keys.secret(CONTROLLER, "audit")
        keep_audit_keys(opened.vault, CONTROLLER, snooped())
        keyring = opened.keyring
        held = secret.key, secret.version
    return Keys(
        CONTROLLER,
        origin(made.settings.host, CONTROLLER, 1),
        lambda writer_id: keyring.mac("audit-mac/1", [entry.first_mac_message(CONTROLLER, writer_id)])[0],
        *held,
    )


def _asker(made: World, keys: Keys, until: datetime) -> Asker:
    database = Database(made.admin_url, "riserbo_app")
    last_ms = int(until.timestamp() * 1000)
    return Asker(database, CONTROLLER, last_ms, entry.lookup_key(keys.secret), Random(7))  # noqa: S311  # which page is no secret


def _measured(made: World, asker: Asker, early: dict[str, float], rounds: int) -> dict[str, Any]:
    pages: dict[str, Any] = {}
    for name in PAGES:
        pages[f"{name}_ms"] = asker.page_ms(name, FEW_TRIES if name == "rare" else TRIES)
        people.print(f"page by {name}: {pages[f'{name}_ms']:.2f} ms")
    scans = [line for name in PAGES for line in asker.sequential_scans(name)]
    for line in scans:
        people.print(f"sequential: {line.strip()}")
    pages["sequential_scans"] = len(scans)
    proof_ms = asker.proof_ms(TRIES)
    trail = {
        "proof_ms": proof_ms,
        "counts_ratio": asker.counts_ratio(FEW_TRIES),
        "subject_growth": pages["subject_ms"] / early["subject_ms"],
        "proof_growth": proof_ms / early["proof_ms"],
    }
    people.print(f"proof: {proof_ms:.2f} ms; counting over adding up days: {trail['counts_ratio']:.1f}")
    affected = _affected(made)
    verification = measure_verification(made, open_keyring(made.settings), people.print)
    recording = measure_recording(made, rounds, people.print)
    return {"pages": pages, "trail": trail, "affected": affected, "verification": verification, "record": recording}


def _affected(made: World) -> dict[str, float]:
    """Return what the list of whom the one agent touched costs, and the pass that confirms it."""
    with open_vault(made.settings) as opened:
        opened.trail.settle(CONTROLLER)
        found = measure_affected(opened.vault, CONTROLLER, SNOOP)
    people.print(
        f"{found['affected_subjects']} people in {found['affected_s']:.3f} s; confirmed by {found['confirm_leaves']} leaves"
        f" in {found['confirm_s']:.1f} s"
    )
    return found


@contextmanager
def _home(given: Path | None) -> Iterator[Path]:
    """Yield a new directory that goes at the end. PostgreSQL refuses root, so its own user must be able to walk there."""
    home = Path(tempfile.mkdtemp(prefix="riserbo-bench-", dir=given))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    asked = argparse.ArgumentParser(prog="python -m benchmarks.trail", description=__doc__.splitlines()[0] if __doc__ else None)
    asked.add_argument("--entries", type=int, default=ENTRIES, help=f"entries loaded ({ENTRIES})")
    asked.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of recording ({ROUNDS})")
    asked.add_argument("--home", type=Path, help="directory on the disk to be measured (the system's for temporary files)")
    return asked.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
