"""Run the comparisons: `python -m benchmarks`, which `make bench` does.

Exit status 0 when every gate holds, 1 when one fails in two runs, 2 when nothing could be measured. Ten minutes at most.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import report
from benchmarks.decisions import measure_decisions
from benchmarks.figures import ENOUGH_ROUNDS, Verdict, failed_in_both, judge
from benchmarks.imports import measure_imports
from benchmarks.load import Load, wrk
from benchmarks.machine import described, described_here
from benchmarks.measure import REFERENCE, SYNCHRONOUS, Plan, contenders, measure, verified
from benchmarks.people import FLOOR, MASKED_READ, T2_DEFAULT
from benchmarks.sample import WrongAnswer
from benchmarks.seed import Seeded, World, seed, slow_commit, world

MINUTES = 10.0
ENDING_S = 30.0  # kept back to stop servers and write results
WARM_UP = 2
WIDTH = 130

people = Console(stderr=True, highlight=False)


def main() -> int:
    """Measure, print, keep; return the exit status."""
    asked = _arguments(sys.argv[1:])
    if asked.only == "policy":
        return _policy_alone()
    try:
        wrk()
    except FileNotFoundError as missing:
        people.print(str(missing))
        return 2
    until = time.monotonic() + asked.minutes * 60 - ENDING_S
    signal.signal(signal.SIGALRM, _time_is_up)
    signal.setitimer(signal.ITIMER_REAL, asked.minutes * 60)
    with _home(asked.home) as home:
        try:
            results, first, second = _run(asked, home, until)
        except (WrongAnswer, TimeoutError, OSError, subprocess.SubprocessError) as wrong:
            people.print(f"[red]Nothing to show:[/red] {type(wrong).__name__} {wrong}", markup=True)
            return 2
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return _told(results, first, second)


def _told(results: dict[str, Any], first: list[Verdict], second: list[Verdict], *, latest: bool = True) -> int:
    """Keep the results, show them, and return the exit status."""
    copy = report.kept(results, datetime.now(UTC), latest=latest)
    report.show(Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH), results, first)
    people.print(f"Kept in {copy}{' and benchmarks/results.json' if latest else ''}.")
    failed = failed_in_both(first, second)
    for gate in failed:
        people.print(f"[red]failed twice:[/red] {'.'.join(gate.path)}")
    return 1 if failed else 0


def _policy_alone() -> int:
    """Measure decisions: no server, no database, no load generator."""
    results: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": described_here()}
    results |= {"workload": "decisions alone", "policy": measure_decisions(people.print)}
    first = judge(results)
    second = [] if all(one.outcome in ("pass", "not run") for one in first) else judge({"policy": measure_decisions(people.print)})
    results["gates"] = report.verdicts_written(first)
    return _told(results, first, second, latest=False)


def _run(asked: argparse.Namespace, home: Path, until: float) -> tuple[dict[str, Any], list[Verdict], list[Verdict]]:
    """Return the results, their verdicts, and those of a second run of what did not pass."""
    with world(home) as made:
        results: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": described(made)}
        people.print(f"enrolling {asked.subjects} subjects")
        seeded = seed(made, asked.subjects)
        results["workload"] = report.workload(asked.subjects)
        wanted = {asked.only} if asked.only else {"masked_read", "import", "policy"}
        results |= _measured(made, seeded, asked, wanted | ({"slow_commit"} if asked.slow_commit else set()), until)
        first = judge(results)
        again = {one.gate.path[0] for one in first if one.outcome in ("fail", "void")}
        second: list[Verdict] = []
        if again:
            people.print(f"not every gate was passed: a second run of {', '.join(sorted(again))}")
            repeated = _measured(made, seeded, asked, again, until)
            second = judge(repeated)
            results["second_run"] = repeated | {"gates": report.verdicts_written(second)}
        results["gates"] = report.verdicts_written(first)
    return results, first, second


def _measured(made: World, seeded: Seeded, asked: argparse.Namespace, what: Collection[str], until: float) -> dict[str, Any]:
    """Return the sections of the results that `what` names."""
    found: dict[str, Any] = {}
    plan = Plan(asked.rounds, WARM_UP, asked.seconds, until)
    if {"masked_read", "slow_commit"} & set(what):
        with contenders(made, seeded) as loads:
            verified(made, seeded, loads)
            if "masked_read" in what:
                found |= _read(made, loads, plan)
            if "slow_commit" in what:
                found |= _read_slowly(made, loads, plan)
    if "import" in what:
        found["import"] = measure_imports(made, until, people.print)
    if "policy" in what:
        found["policy"] = measure_decisions(people.print)
    return found


def _read(made: World, loads: Sequence[Load], plan: Plan) -> dict[str, Any]:
    rounds = measure(made, loads, plan, people.print)
    if len(rounds) < ENOUGH_ROUNDS:
        return {}  # time was up: not run is not failed
    beside = {name: report.compared(rounds, name) for name in (T2_DEFAULT.name, FLOOR, SYNCHRONOUS)}
    return {"masked_read": report.compared(rounds, MASKED_READ.name), "beside": beside}


def _read_slowly(made: World, loads: Sequence[Load], plan: Plan) -> dict[str, Any]:
    two = [load for load in loads if load.name in (MASKED_READ.name, REFERENCE)]
    slow_commit(made, on=True)
    try:
        rounds = measure(made, two, plan, people.print)
    finally:
        slow_commit(made, on=False)
    return {"slow_commit": report.compared(rounds, MASKED_READ.name)} if len(rounds) >= ENOUGH_ROUNDS else {}


def _time_is_up(_number: int, _frame: object) -> None:
    raise TimeoutError("time is up")


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
    asked = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else None)
    asked.add_argument("--rounds", type=int, default=9, help="rounds that count (9); fewer than 7 give no figure")
    asked.add_argument("--seconds", type=int, default=1, help="of each window (1)")
    asked.add_argument("--subjects", type=int, default=20_000, help="customers enrolled (20000)")
    asked.add_argument("--slow-commit", action="store_true", help="measure under commits of 2 ms too")
    asked.add_argument("--only", choices=("masked_read", "import", "policy"), help="measure this alone; policy needs no wrk")
    asked.add_argument("--minutes", type=float, default=MINUTES, help="when to stop (10)")
    asked.add_argument("--home", type=Path, help="directory on the disk to be measured (the system's for temporary files)")
    return asked.parse_args(given)


if __name__ == "__main__":
    sys.exit(main())
