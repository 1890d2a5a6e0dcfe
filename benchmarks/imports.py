"""The import against the limit of generating and sealing, and its memory against the length of the file.

The limit is what one process does in memory for each customer: ids, keys, wraps, sealed values, evidence, indexes and the entry,
without file or database. Against it stand the import of customers read before (`seal_ratio`) and the whole import, file to
commit (`with_parsing_ratio`), each in an empty controller, three times, medians of the ratios.

    python -m benchmarks.imports FILE MAPPING CONTROLLER CONTROLLER     (one measurement; settings from the environment)
"""

import csv
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from statistics import median
from typing import Any

from benchmarks.processes import end, family, peak_kib
from benchmarks.seed import World, new_controllers, vault_command
from samples import make_crm_it as crm
from vault.importing.lines import chunks, records
from vault.importing.mapping import load_mapping
from vault.importing.reading import Customer
from vault.opening import open_vault
from vault.operations.import_subjects import Importing, _reader, run_import
from vault.operations.imported import Run, numbered, sealed, templates_of
from vault.profiles.catalogue import names_card_secret
from vault.settings import read_settings

MAPPING = Path(crm.__file__).with_name("crm_it.mapping.yaml")
LINES = 5_000
LONGER = 4
REPEATED = 3
RUN_S = 120.0
LOOK_S = 0.02


@dataclass(frozen=True, slots=True)
class Rates:
    """Customers a second: sealed in memory, imported when read before, imported from the file."""

    sealed: float
    imported: float
    parsed: float


def write_export(path: Path, rows: int) -> None:
    """Write an export in the sample's layout, every line valid, however long."""
    with path.open("w", encoding=crm.ENCODING, newline="") as out:
        writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
        writer.writerow(crm.HEADER)
        writer.writerows(_cells(row) for row in range(1, rows + 1))


def _cells(row: int) -> Iterable[str]:
    # The sample's invented telephone numbers have four digits to count with; what must differ differs beyond that.
    person = crm.customer(1 + (row - 1) % 9_999)
    return {**person, "Codice Cliente": f"C{row:07}", "IBAN": crm.iban(row)}.values()


def measure_imports(made: World, until: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of the import; those time ran out for are absent."""
    short, long = made.home / "short.csv", made.home / "long.csv"
    write_export(short, LINES)
    write_export(long, LINES * LONGER)
    names = [f"bench-{token_hex(4)}" for _ in range(2 * REPEATED + 2)]
    new_controllers(made, names)
    empty, rates = iter(names), []
    for number in range(REPEATED):
        if time.monotonic() + RUN_S / 4 < until:
            rates.append(_in_a_process(made, short, empty))
            say(f"import {number + 1} of {REPEATED}: {rates[-1].parsed:.0f} customers a second")
    peaks = {}
    for name, file in (("x1", short), (f"x{LONGER}", long)):
        if time.monotonic() + RUN_S / 4 < until:
            peaks[name] = _peak_mb(made, file, next(empty))
            say(f"import of {name}: {peaks[name]:.0f} MB at most")
    return figures_of(rates, peaks)


def figures_of(rates: list[Rates], peaks: Mapping[str, float]) -> dict[str, Any]:
    """Return the import's part of the results."""
    found: dict[str, Any] = {"lines": LINES}
    if rates:
        found |= {
            "per_second": median(one.parsed for one in rates),
            "sealed_per_second": median(one.sealed for one in rates),
            "seal_ratio": median(one.imported / one.sealed for one in rates),
            "with_parsing_ratio": median(one.parsed / one.sealed for one in rates),
        }
    if peaks:
        found |= {"peak_mb": max(peaks.values()), "peak_mb_by_length": dict(peaks)}
    return found


def _in_a_process(made: World, file: Path, empty: Iterator[str]) -> Rates:
    command = [sys.executable, "-m", "benchmarks.imports", str(file), str(MAPPING), next(empty), next(empty)]
    ran = subprocess.run(command, env=dict(made.environment), stdout=subprocess.PIPE, timeout=RUN_S, check=True)
    return Rates(**json.loads(ran.stdout.splitlines()[-1]))


def _peak_mb(made: World, file: Path, controller_id: str) -> float:
    """Return the resident megabytes the command and the process it reads ahead with had at most, each at its own worst."""
    command = vault_command("import", str(file), "--mapping", str(MAPPING), "--controller", controller_id, "--json")
    process = subprocess.Popen(command, env=dict(made.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peaks: dict[int, int] = {}
    until = time.monotonic() + RUN_S
    try:
        while process.poll() is None:
            if time.monotonic() > until:
                raise TimeoutError("the import did not end")
            for pid in family([process.pid]):
                peaks[pid] = max(peaks.get(pid, 0), peak_kib(pid))
            time.sleep(LOOK_S)
    finally:
        end(process)
    if process.returncode != 0:
        raise ValueError("the import failed")
    return sum(peaks.values()) / 1024


def rates(file: Path, mapping: Path, read_before: str, whole: str) -> Rates:
    """Measure the three rates once. Both controllers must be empty."""
    with open_vault(read_settings()) as opened:
        vault = opened.vault
        layout = load_mapping(mapping.read_bytes(), vault.catalogue.fields, names_card_secret)
        templates = templates_of(vault, layout)
        controller, at = vault.controller(read_before), vault.now()
        run = Run(vault, controller, layout, templates, b"\0" * 32, at)
        with file.open("rb") as octets:
            found = records(octets, layout.file)
            reader = _reader(run, found)
            parts = [reader.read_all(chunk) for chunk in chunks(found)]
        customers = [one for part in parts for one in part if isinstance(one, Customer)]
        numbered(run, customers[0])  # keys are fetched
        sealing = _seconds(lambda: _exhaust(sealed(run, numbered(run, one)) for one in customers))
        importing = _seconds(lambda: _exhaust(Importing(run).carry_out(parts)))
        parsing = _seconds(lambda: run_import(vault, whole, file, mapping))
    return Rates(*(len(customers) / took for took in (sealing, importing, parsing)))


def _exhaust(made: Iterable[object]) -> None:
    """Make everything and keep nothing."""
    deque(made, maxlen=0)


def _seconds(act: Callable[[], object]) -> float:
    begun = time.monotonic()
    act()
    return time.monotonic() - begun


def main() -> None:
    """Measure once, print the rates as JSON."""
    file, mapping, read_before, whole = sys.argv[1:]
    measured = rates(Path(file), Path(mapping), read_before, whole)
    print(json.dumps({name: getattr(measured, name) for name in Rates.__slots__}))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
