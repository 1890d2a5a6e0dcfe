"""Which tests coverage watches: those without which a line would seem not to be run.

Watched, a test takes half as long again, and three quarters of their time show once more what others cover.
`covered_elsewhere.txt` names these, each with all its cases, whole files and folders by their own name: `make check` runs them
apart, unwatched. A test that stands in no line is watched, so forgetting the list costs time and hides nothing.

`make measured` writes the list anew: the whole suite runs, coverage notes by which test each branch is run, and the dearest files
and tests are listed first, as long as what they alone run is little and in no exact file.
"""

import os
import re
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree as ET

from tests.gates import ASSURANCE, PYTEST, exact

LIST = Path(__file__).with_name("covered_elsewhere.txt")
Arc = tuple[str, int, int]  # a file, and from which line to which
_WORTH = 1.5  # so many branches, none of an exact file, may go uncovered for a second
_CHEAP_S = 0.25  # a test that takes less is watched: by itself it is not worth a line


def is_covered_elsewhere(node: str, listed: frozenset[str]) -> bool:
    """Say whether a test (pytest's id of it), its file or a folder above stands in the list."""
    function = _function(node)
    path = function.partition("::")[0]
    return function in listed or path in listed or any(f"{one}/" in listed for one in map(str, Path(path).parents))


def listed() -> frozenset[str]:
    """Return the lines of the list."""
    return frozenset(LIST.read_text().split())


def dispensable(run_by: Mapping[str, set[Arc]], seconds: Mapping[str, float]) -> list[str]:
    """Return the files, and of other files the tests, without which every branch of an exact file is still covered."""
    times: Counter[Arc] = Counter(arc for name in run_by for arc in run_by[name])
    files: defaultdict[str, set[str]] = defaultdict(set)
    for name in seconds:
        files[name.partition("::")[0]].add(name)
    spent = {path: sum(seconds[name] for name in files[path]) for path in files}
    found: list[str] = []

    def try_without(line: str, tests: set[str], took: float) -> None:
        run = Counter(arc for name in tests for arc in run_by.get(name, ()))
        alone = [arc for arc in run if times[arc] == run[arc]]
        if not any(exact(arc[0]) for arc in alone) and len(alone) <= took * _WORTH:
            found.append(line)
            times.subtract(run)

    for path in sorted(files, key=lambda one: (-spent[one], one)):
        try_without(path, files[path], spent[path])
    for name in sorted(seconds, key=lambda one: (-seconds[one], one)):
        if seconds[name] >= _CHEAP_S and name.partition("::")[0] not in found:
            try_without(name, {name}, seconds[name])
    return sorted(found)


def main() -> int:
    """Run the suite and write the list."""
    with TemporaryDirectory() as directory:
        data, report = Path(directory, "coverage"), Path(directory, "suite.xml")
        command = (*PYTEST, f"--ignore={ASSURANCE}", "--cov", "--cov-context=test", "--cov-report=", f"--junit-xml={report}")
        if subprocess.run(command, check=False, env={**os.environ, "COVERAGE_FILE": str(data)}).returncode:
            return 1
        seconds, run_by = _seconds(report), _run_by(data)
    LIST.write_text("\n".join([f"{ASSURANCE}/", *dispensable(run_by, seconds)]) + "\n")
    return 0


def _seconds(report: Path) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 - by our own run a moment ago
        path = case.get("classname", "").replace(".", "/") + ".py"
        found[_function(f"{path}::{case.get('name', '')}")] += float(case.get("time", "0"))
    return dict(found)


def _run_by(data: Path) -> dict[str, set[Arc]]:
    """Return what each test runs that is not run at import too. Tables: coverage's documentation, "SQLite schema"."""
    root = Path.cwd()
    found: defaultdict[str, set[Arc]] = defaultdict(set)
    with sqlite3.connect(data) as rows:
        files = {number: str(Path(path).relative_to(root)) for number, path in rows.execute("SELECT id, path FROM file")}
        names = {number: _function(name) for number, name in rows.execute("SELECT id, context FROM context")}
        for number, name, start, end in rows.execute("SELECT file_id, context_id, fromno, tono FROM arc"):
            found[names[name]].add((files[number], start, end))
    at_import = found.pop("", set())
    return {name: arcs - at_import for name, arcs in found.items()}


def _function(node: str) -> str:
    return re.sub(r"[\[|].*", "", node, flags=re.DOTALL)


if __name__ == "__main__":
    sys.exit(main())
