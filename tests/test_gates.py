"""The gate that judges coverage is itself judged: it must find what is missing."""

from typing import Any

from tests.gates import EXACT, shortfalls


def report(percent: float = 99.0, **missed: dict[str, Any]) -> dict[str, Any]:
    whole = {"missing_lines": [], "missing_branches": [], "summary": {"percent_covered": 100.0}}
    names = [rule + "some.py" if rule.endswith("/") else rule for rule in EXACT] + ["vault/operations/find.py"]
    files = {name: whole | missed.get(name.replace("/", "_").removesuffix(".py"), {}) for name in names}
    return {"files": files, "totals": {"percent_covered": percent}}


def test_a_full_report_lacks_nothing() -> None:
    assert shortfalls(report()) == []


def test_one_missed_branch_of_an_exact_file_is_named() -> None:
    assert shortfalls(report(vault_permit={"missing_branches": [[50, 52]]})) == ["vault/permit.py: not covered: 50->52"]


def test_a_missed_line_elsewhere_only_counts_towards_the_floor() -> None:
    assert shortfalls(report(vault_operations_find={"missing_lines": [7]})) == []


def test_an_exact_file_that_was_not_measured_is_named() -> None:
    without = report()
    del without["files"]["api/authentication.py"]
    assert shortfalls(without) == ["api/authentication.py: no such file was measured"]


def test_the_floor_holds_over_all() -> None:
    assert shortfalls(report(percent=94.9))[0].startswith("over all: 94.9 %")
