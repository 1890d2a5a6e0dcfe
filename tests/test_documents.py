"""What the documents say exists: commands, files, tests, settings, operations, links."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from vault.policy.inputs import TICKET_REFUSALS
from vault.settings import Settings

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
OURS = ("vault/", "api/", "tests/", "docs/", "policies/", "migrations/", "benchmarks/", "requirements/", "samples/", ".ci/")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=named)


def make_targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, spelt as the usual renderers spell them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", document.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths_in(text: str) -> Iterator[str]:
    for code in CODE.findall(FENCE.sub("", text)):
        word = code.split("::")[0]
        if word.startswith(OURS) and not re.search(r"[*<{…\s]", word):
            yield word


@each_document
def test_every_make_command_exists(document: Path) -> None:
    said = set(re.findall(r"\bmake ([a-z][a-z-]*)\b", "\n".join(re.findall(r"`[^`]+`", document.read_text()))))
    said |= set(re.findall(r"^(?:\$ )?make ([a-z][a-z-]*)", document.read_text(), re.MULTILINE))
    assert said - make_targets() == set()


@each_document
def test_every_link_resolves(document: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", document.read_text())):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        there = (document.parent / place).resolve() if place else document
        if not there.exists() or (anchor and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@each_document
def test_every_path_named_exists(document: Path) -> None:
    made_by_a_run = {"benchmarks/results.json"}
    assert [path for path in paths_in(document.read_text()) if path not in made_by_a_run and not (ROOT / path).exists()] == []


def tests_named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", text)


@cache
def tests_defined(path: Path) -> set[str]:
    if not path.exists():
        return set()
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@each_document
def test_tests_named_in_documents_exist(document: Path) -> None:
    said = tests_named(document.read_text())
    assert [f"{path}::{test}" for path, test in said if test not in tests_defined(ROOT / path)] == []


def test_the_promises_of_policy_are_numbered_and_each_names_its_tests() -> None:
    section = (ROOT / "docs" / "policy.md").read_text().partition("## What is held, and by which test\n")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")][1:]
    assert [number for number, _, _ in rows if number] == [str(number) for number in range(1, 17)]
    assert [promise for _, promise, tests in rows if not tests_named(tests)] == []


def test_the_table_of_roles_is_told_as_it_is() -> None:
    """What the page says that each role sees is what the matrix expects."""
    section = (ROOT / "docs" / "policy.md").read_text().partition("## Who sees what\n")[2].partition("\n## ")[0]
    lines = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    table = yaml.safe_load((ROOT / "policies" / "tests" / "matrix" / "roles.yaml").read_text())
    head = [{"request officer": "dsr-officer"}.get(name, name) for name in lines[0][1:]]
    told = {row[0]: dict(zip(head, row[1:], strict=True)) for row in lines[1:] if row[0] in table["cells"]}
    spelt = {"-": "·", "card_last4": "last 4"}
    assert told == {
        name: {role: spelt.get(cell, cell) for role, cell in zip(table["columns"], row, strict=True) if role in head}
        for name, row in table["cells"].items()
    }


@pytest.mark.parametrize("decision", DECISIONS, ids=named)
def test_every_decision_has_its_form(decision: Path) -> None:
    text = decision.read_text()
    number = decision.name[:4]
    assert re.match(rf"# {number} .+ \((proposed|accepted|superseded by \d{{4}}) .*\d{{4}}-\d\d-\d\d\)\n", text)
    headings = re.findall(r"^## (\w+)", text, re.MULTILINE)
    assert [one for one in headings if one != "Form"] == ["Context", "Decision", "Consequences", "Check", "Considered"]


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(len(DECISIONS)))


def test_every_setting_is_in_the_operating_guide() -> None:
    said = set(re.findall(r"\bRISERBO_[A-Z_]+\b", (ROOT / "docs" / "operating.md").read_text()))
    known = {f"RISERBO_{name.upper()}" for name in Settings.model_fields if name != "credentials_directory"}
    assert known - said == set(), "settings without a row"
    assert said - known - {"RISERBO_TEST_REQUIRE"} == set(), "rows without a setting"


def test_every_operation_is_in_the_data_protection_guide() -> None:
    """One file is one verb: what it does with personal data is said, or the build fails."""
    text = (ROOT / "docs" / "data-protection.md").read_text()
    verbs = {path.stem for path in (ROOT / "vault" / "operations").glob("*.py")} - {"__init__"}
    assert {verb for verb in verbs if f"`{verb}`" not in text} == set()


def test_every_layer_is_in_the_architecture_guide() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    names = {path.stem for path in (ROOT / "vault").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {name for name in names - {"__init__"} if f"{name}" not in text} == set()


def test_every_reason_a_ticket_is_refused_with_is_in_the_policy_guide_and_in_cedar() -> None:
    guide, gates = ((ROOT / path).read_text() for path in ("docs/policy.md", "policies/gates/rendering.cedar"))
    for reason in TICKET_REFUSALS.values():
        assert f"`{reason}`" in guide
        assert f'@reason("{reason}")' in gates
