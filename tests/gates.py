"""What `make check` runs, one share after the other: form, layers, types, the suite in two halves, the coverage gate.

The tests that alone cover a line are watched; the others, named in `covered_elsewhere.txt`, run without coverage, which doubles
their time. `make measured` finds anew which those are.

Every share runs even when an earlier one failed, so that one run shows all there is to mend. `python -m tests.gates coverage`
judges the last report again. Exit status 1 when anything failed or the whole took longer than it may.
"""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any
from xml.etree import ElementTree as ET

BUDGET_S = 12 * 60  # of a whole check on two cores; the suite alone may take 8 minutes
FLOOR_PERCENT = 95.0  # of lines and branches together, over everything

# Covered to the last branch: rules that decide, seal or prove. A folder ends with a slash.
EXACT = (
    "vault/errors.py",
    "vault/marks.py",
    "vault/notes.py",
    "vault/octets.py",
    "vault/permit.py",
    "vault/erasure/",
    "vault/rights/",
    "vault/processing/",
    "vault/recipients/delivery.py",
    "vault/recipients/disclosures.py",
    "vault/recipients/inbound.py",
    "vault/recipients/opendsr.py",
    "vault/recipients/register.py",
    "vault/recipients/tasks.py",
    "vault/policy/",
    "vault/agreements/retention.py",
    "vault/agreements/terms.py",
    "vault/profiles/catalogue.py",
    "vault/profiles/normalise.py",
    "vault/profiles/blind_index.py",
    "vault/keys/",
    "vault/audit/",
    "vault/exports/",
    "api/authentication.py",
)

# Three processes on two cores, each with a server of its own: half of a test's time is waiting for one. What the tests of a file
# share is made once: a file is one process's.
PYTEST = (sys.executable, "-m", "pytest", "--numprocesses", "3", "--dist", "loadfile", "--no-loadscope-reorder")

# What attacks a whole running vault shows promises, not lines: coverage never watches it, and each line of an exact file is to be
# covered by the tests of its own folder.
ASSURANCE = "tests/assurance"

BUILD = Path("build")
REPORT = BUILD / "coverage.json"
WATCHED, OTHERS = BUILD / "watched.xml", BUILD / "others.xml"
HERE = Path(sys.executable).parent

# Beside the types the tests are read once: the bytecode that leaves, three processes would else make each for itself.
SHARES: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (  # the commands of a share run side by side
    ("format", ((str(HERE / "ruff"), "format", "--check", "."),)),
    ("lint", ((str(HERE / "ruff"), "check", "."),)),
    ("layers", ((str(HERE / "lint-imports"),),)),
    ("types", ((str(HERE / "mypy"),), (sys.executable, "-m", "pytest", "--collect-only", "-qqq"))),
    (
        "watched",
        ((*PYTEST, "--watched=only", "--cov", "--cov-report=", f"--cov-report=json:{REPORT}", f"--junit-xml={WATCHED}"),),
    ),
    ("others", ((*PYTEST, "--watched=none", f"--junit-xml={OTHERS}"),)),
)


def main(arguments: Sequence[str]) -> int:
    """Run every share, or judge the last report when asked for `coverage` alone."""
    if arguments == ["coverage"]:
        return _say(shortfalls(json.loads(REPORT.read_text())))
    BUILD.mkdir(exist_ok=True)
    for old in (REPORT, WATCHED, OTHERS):
        old.unlink(missing_ok=True)
    failed, times = [], {}
    for name, commands in SHARES:
        print(f"\n=== {name}", flush=True)
        started = monotonic()
        running = [subprocess.Popen(command) for command in commands]
        if max(abs(one.wait()) for one in running):
            failed.append(name)
        times[name] = monotonic() - started
    print("\n=== coverage", flush=True)
    if not REPORT.exists() or _say(shortfalls(json.loads(REPORT.read_text()))):
        failed.append("coverage")
    if sum(times.values()) > BUDGET_S:
        failed.append(f"time: over {BUDGET_S} s")
    _print_times(times)
    print("failed: " + ", ".join(failed) if failed else "all gates hold")
    return 1 if failed else 0


def shortfalls(report: Mapping[str, Any]) -> list[str]:
    """Return what the coverage report lacks: each exact file that misses a line or branch, and the floor over all."""
    files: Mapping[str, Any] = report["files"]
    lacking = [f"{rule}: no such file was measured" for rule in EXACT if not any(_under(name, rule) for name in files)]
    for name, measured in sorted(files.items()):
        missed = [*measured["missing_lines"], *(f"{a}->{b}" for a, b in measured["missing_branches"])]
        if missed and exact(name):
            lacking.append(f"{name}: not covered: {', '.join(map(str, missed))}")
    whole = float(report["totals"]["percent_covered"])
    if whole < FLOOR_PERCENT:
        lacking.append(f"over all: {whole:.1f} %, the floor is {FLOOR_PERCENT:.0f} %")
        lacking += [f"  {share:5.1f} %  {name}" for share, name in _weakest(files)]
    return lacking


def _weakest(files: Mapping[str, Any]) -> list[tuple[float, str]]:
    return sorted((float(one["summary"]["percent_covered"]), name) for name, one in files.items())[:10]


def exact(name: str) -> bool:
    """Say whether a file (its path below the root) is to be covered to the last branch."""
    return any(_under(name, rule) for rule in EXACT)


def _under(name: str, rule: str) -> bool:
    return name.startswith(rule) if rule.endswith("/") else name == rule


def _say(lacking: Sequence[str]) -> int:
    print("\n".join(lacking) or f"every exact file to the last branch, {FLOOR_PERCENT:.0f} % or more over all")
    return 1 if lacking else 0


def _print_times(times: Mapping[str, float]) -> None:
    print("\n=== time, in seconds")
    for name, seconds in times.items():
        print(f"{seconds:7.1f}  {name}")
    written = [one for one in (WATCHED, OTHERS) if one.exists()]
    cases = [case for one in written for case in ET.parse(one).iter("testcase")]  # noqa: S314 - by our own run a moment ago
    shares: defaultdict[str, float] = defaultdict(float)
    for case in cases:
        shares[case.get("classname", "").removeprefix("tests.").split(".")[0]] += float(case.get("time", "0"))
    for name, seconds in sorted(shares.items(), key=lambda share: -share[1]):
        print(f"{seconds:7.1f}    suite: {name}")
    skipped = sum(case.find("skipped") is not None for case in cases)
    bad = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    print(f"tests: {len(cases) - bad - skipped} passed, {bad} failed, {skipped} skipped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
