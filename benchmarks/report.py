"""What is kept of a run and what is shown: `benchmarks/results.json`, a copy by date, and a table with the gates."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import people
from benchmarks.figures import Comparison, Round, Spread, Verdict, compare
from benchmarks.measure import CONNECTIONS, REFERENCE

HERE = Path(__file__).parent
SECTIONS = {
    "Import": "import",
    "Decisions": "policy",
    "Loading a trail": "load",
    "Pages of the trail": "pages",
    "The trail": "trail",
    "Verification": "verification",
    "Recording": "record",
}
_FIGURES = ("rps_ratio", "cpu_ratio", "p50_ratio", "p99_ratio", "rps", "cpu_us")
_COLOURS = {"pass": "green", "fail": "red", "void": "red", "not run": "dim"}


def compared(rounds: Sequence[Round], name: str) -> dict[str, Any]:
    """Return one load's figures against the reference, by connections: `c1`, `c8`, `c64`."""
    return {f"c{connections}": _written(compare(rounds, name, REFERENCE, connections)) for connections in CONNECTIONS}


def _written(one: Comparison) -> dict[str, Any]:
    spreads: dict[str, Spread | None] = {name: getattr(one, name) for name in _FIGURES}
    medians = {name: _short(found.median) if found else None for name, found in spreads.items()}
    quartiles = {name: [_short(found.low), _short(found.high)] for name, found in spreads.items() if found}
    return {**medians, "quartiles": quartiles, "rounds": one.rps.count if one.rps else 0}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def workload(subjects: int) -> str:
    """Return in words what the masked read was."""
    one = people.MASKED_READ
    named = len(one.fields or ())
    withheld = named - len(one.masked | one.clear)
    return (
        f"{subjects} subjects, uniform at random, one {people.TEMPLATE} agreement each with its companions; role {one.role}, "
        f"purpose {one.purpose}, channel {one.channel}, accepted request; {named} named fields in three classes: "
        f"{len(one.masked)} masked, {len(one.clear)} clear, {withheld} withheld; {people.TOKENS} ES256 tokens"
    )


def kept(results: Mapping[str, Any], at: datetime, directory: Path = HERE, *, latest: bool = True) -> Path:
    """Write the results, unless they are of one part alone, and their copy by date; return the copy's path."""
    text = json.dumps(results, indent=1) + "\n"
    copy = directory / "results" / f"{at:%Y-%m-%dT%H%M%SZ}.json"
    copy.parent.mkdir(exist_ok=True)
    for path in (directory / "results.json", copy) if latest else (copy,):
        path.write_text(text)
    return copy


def verdicts_written(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Return the gates as they are kept."""
    return [{**asdict(one.gate), "path": ".".join(one.gate.path), "value": one.value, "outcome": one.outcome} for one in verdicts]


def show(console: Console, results: Mapping[str, Any], verdicts: Sequence[Verdict]) -> None:
    """Print every figure of the results, then the gates."""
    if "masked_read" in results or "slow_commit" in results:
        console.print(_loads(results))
    for title, name in SECTIONS.items():
        if name in results:
            console.print(_section(title, results[name]))
    console.print(_gates(verdicts))
    machine = results.get("machine", {})
    busy = machine.get("load_average", [0])[0]
    console.print(
        f"{machine.get('cores')} cores, {machine.get('cpu')}; load average {busy:.1f} at the start. {results.get('workload')}"
    )


def _loads(results: Mapping[str, Any]) -> Table:
    table = Table(title=f"Medians over rounds, as ratios to {REFERENCE}")
    for name in ("load", "c", "requests/s", "rps", "CPU", "p50", "p99", "µs CPU a request", "rounds"):
        table.add_column(name, justify="left" if name == "load" else "right")
    sections = {"masked_read": results.get("masked_read"), **results.get("beside", {}), "slow commit": results.get("slow_commit")}
    for name, section in sections.items():
        for connections, one in (section or {}).items():
            figures = [_cell(one[figure]) for figure in ("rps", "rps_ratio", "cpu_ratio", "p50_ratio", "p99_ratio", "cpu_us")]
            table.add_row(name, connections, *figures, str(one["rounds"]))
    return table


def _section(title: str, section: Mapping[str, Any]) -> Table:
    table = Table(title=title)
    for name in ("figure", "value"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    for name, value in section.items():
        table.add_row(name, _cell(value))
    return table


def _gates(verdicts: Sequence[Verdict]) -> Table:
    table = Table(title="Gates")
    for name in ("gate", "bound", "goal", "measured", "outcome"):
        table.add_column(name, justify="left" if name == "gate" else "right")
    for one in verdicts:
        sign = "≤" if one.gate.at_most else "≥"
        goal = one.value is not None and one.outcome == "pass" and one.gate.reaches_goal(one.value)
        outcome = f"[{_COLOURS[one.outcome]}]{one.outcome}{', goal reached' if goal else ''}[/]"
        table.add_row(".".join(one.gate.path), f"{sign} {one.gate.bound:g}", f"{sign} {one.gate.goal:g}", _cell(one.value), outcome)
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(one)}" for name, one in value.items())
    return (
        f"{value:.4g}"
        if isinstance(value, int | float) and value < 10_000
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )
