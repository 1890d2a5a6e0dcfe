"""What imports cannot hold: who opens transactions, who makes permits, who decrypts, where the code may wait.

Each rule is a function from parsed source to its violations. It is run over the tree, and over a few lines that break it: a rule
that finds nothing in those would find nothing anywhere.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LONGEST = 60  # lines of a function: a longer verb hides a rule

Rule = Callable[[str, ast.Module], list[str]]

# method -> (who may call it, why). `begin`, `commit` and `rollback` are the database's when called without arguments.
CALLERS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "transaction": (
        (
            "vault/operations/",
            "vault/audit/recorder.py",
            "vault/audit/sequencer.py",
            "vault/audit/signer.py",  # keeps its copy of a checkpoint
            "vault/fitting.py",  # hands the keys a way to reserve wraps before they are made
            "vault/database.py",
        ),
        "operations own their transactions, and the trail its own",
    ),
    "begin": (("vault/database.py",), "a transaction is a `with` block of vault.database"),
    "commit": ((), "a block commits at its end; nobody else does"),
    "rollback": ((), "a block rolls back when it raises; nobody else does"),
    "decrypt": (("vault/keys/", "vault/connectors/keyrings/"), "values are opened by vault.keys, against a permit"),
}
BARE = frozenset({"begin", "commit", "rollback"})

# file -> the functions that may be `async def`: the ASGI edge, dependencies that only compute, and the masked profile, which waits
# for its lane. Everything else is synchronous (docs/decisions/0002).
WAITING: Mapping[str, frozenset[str]] = {
    "api/authentication.py": frozenset({"authenticate"}),
    "api/routes/affected.py": frozenset({"stated_query"}),
    "api/context.py": frozenset({"access_context", "guarded", "running_vault"}),
    "api/express.py": frozenset({"__call__"}),
    "api/idempotency.py": frozenset({"once"}),
    "api/main.py": frozenset({"serving"}),
    "api/problems.py": frozenset(
        {"__call__", "_invalid", "_of_framework", "_of_vault", "_precondition", "_unauthenticated", "answered", "watched"}
    ),
    "api/receipts.py": frozenset({"add_receipt"}),
    "api/requests_log.py": frozenset({"__call__", "_serve", "answered", "limited", "received"}),
    "api/routes/helpdesk.py": frozenset({"read_profile"}),
    "api/routes/opendsr.py": frozenset({"octets"}),
    "api/routes/opendsr_requests.py": frozenset({"bounded"}),
    "api/routes/public.py": frozenset({"discover", "live"}),
    "api/waiting.py": frozenset({"ask_lane"}),
}


def sources(*folders: str) -> Iterator[tuple[str, ast.Module]]:
    for folder in folders:
        yield from parsed(folder)


@cache
def parsed(folder: str) -> list[tuple[str, ast.Module]]:
    """Each rule reads the whole tree, and changes nothing of it."""
    return [(path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())) for path in sorted((ROOT / folder).rglob("*.py"))]


def calls(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Attribute) and not (called.attr in BARE and (node.args or node.keywords)):
                yield f".{called.attr}", node.lineno
            elif isinstance(called, ast.Name):
                yield called.id, node.lineno


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def allowed(name: str, places: tuple[str, ...]) -> bool:
    return any(name.startswith(place) if place.endswith("/") else name == place for place in places)


def wrong_callers(name: str, tree: ast.Module) -> list[str]:
    return [
        f"{name}:{line}: {called}(): {CALLERS[called[1:]][1]}"
        for called, line in calls(tree)
        if called.startswith(".") and called[1:] in CALLERS and not allowed(name, CALLERS[called[1:]][0])
    ]


def permits_made(name: str, tree: ast.Module) -> list[str]:
    if name == "vault/audit/recorder.py":
        return []
    return [
        f"{name}:{line}: only a committed entry makes a permit"
        for called, line in calls(tree)
        if called in {"ReadPermit", ".ReadPermit"}
    ]


def long_functions(name: str, tree: ast.Module) -> list[str]:
    return [
        f"{name}:{function.lineno}: {function.name} has {length} lines"
        for function in functions(tree)
        if (length := (function.end_lineno or function.lineno) - function.lineno + 1) > LONGEST
    ]


def waiting_elsewhere(name: str, tree: ast.Module) -> list[str]:
    return [
        f"{name}:{function.lineno}: async def {function.name}"
        for function in functions(tree)
        if isinstance(function, ast.AsyncFunctionDef) and function.name not in WAITING.get(name, frozenset())
    ]


def unsafe_jose(name: str, tree: ast.Module) -> list[str]:
    """`jwt.decode`, `jws.verify` and everything of `jose.jwe` accept what the guard must refuse."""
    found = []
    for node in ast.walk(tree):
        modules = [one.name for one in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{one.name}" for one in node.names]
        found += [f"{name}:{node.lineno}: {one}" for one in modules if one in {"jose.jwt", "jose.jws", "jose.jwe"}]  # type: ignore[attr-defined]
    return found


def mocks(name: str, tree: ast.Module) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported = [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [f"{node.module}.{one.name}" for one in node.names]
        else:
            continue
        found += [f"{name}:{node.lineno}: {one}" for one in imported if one.startswith(("unittest.mock", "mock."))]
    return found


def routes_see_too_much(name: str, tree: ast.Module) -> list[str]:
    """A route parses, calls an operation and shapes: it needs no noun. The import contract names what exists; this, what may be."""
    if not name.startswith("api/routes/"):
        return []
    seen = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    seen |= {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
    may = ("vault.operations.", "vault.assembly", "vault.errors", "vault.policy.model")
    return [f"{name}: {module}" for module in sorted(seen) if module.split(".")[0] == "vault" and not module.startswith(may)]


PRODUCT_RULES: tuple[Rule, ...] = (
    wrong_callers,
    permits_made,
    long_functions,
    waiting_elsewhere,
    unsafe_jose,
    routes_see_too_much,
)


@pytest.mark.parametrize("rule", PRODUCT_RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps(rule: Rule) -> None:
    assert [violation for name, tree in sources("vault", "api") for violation in rule(name, tree)] == []


@pytest.mark.parametrize("rule", [long_functions, mocks], ids=lambda rule: rule.__name__)
def test_tests_and_benchmarks_keep(rule: Rule) -> None:
    """Migrations are left out: they spell every table in full, for history is not shortened."""
    assert [violation for name, tree in sources("tests", "benchmarks") for violation in rule(name, tree)] == []


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (wrong_callers, "api/routes/x.py", "def f(v):\n    with v.database.transaction('c'):\n        pass"),
        (wrong_callers, "vault/profiles/records.py", "def f(e):\n    with e.begin():\n        pass"),
        (wrong_callers, "vault/operations/find.py", "def f(c):\n    c.commit()"),
        (wrong_callers, "vault/database.py", "def f(c):\n    c.rollback()"),
        (wrong_callers, "vault/operations/disclose.py", "def f(cipher, n, c):\n    return cipher.decrypt(n, c, b'')"),
        (permits_made, "vault/operations/disclose.py", "p = ReadPermit('e', 'c', 's', {}, b'', 0.0)"),
        (permits_made, "api/main.py", "p = permit.ReadPermit('e', 'c', 's', {}, b'', 0.0)"),
        (long_functions, "vault/x.py", "def f():\n" + "    pass\n" * LONGEST),
        (waiting_elsewhere, "vault/operations/find.py", "async def f():\n    pass"),
        (unsafe_jose, "api/authentication.py", "from jose import jwt"),
        (unsafe_jose, "api/authentication.py", "import jose.jws"),
        (routes_see_too_much, "api/routes/x.py", "from vault.profiles import records"),
        (routes_see_too_much, "api/routes/x.py", "import vault.keys.tokens"),
        (routes_see_too_much, "api/routes/x.py", "from vault.policy import engine"),
        (mocks, "tests/x.py", "from unittest import mock"),
        (mocks, "tests/x.py", "from unittest.mock import patch"),
    ],
)
def test_each_rule_finds_what_breaks_it(rule: Rule, name: str, source: str) -> None:
    assert len(rule(name, ast.parse(source))) == 1


def contracts() -> dict[str, dict[str, list[str]]]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {contract["name"]: contract for contract in settings["tool"]["importlinter"]["contracts"]}


def test_every_pure_module_exists() -> None:
    """A renamed module must not slip out of the contract that keeps it pure."""
    named = contracts()["Rules are pure"]["source_modules"]
    assert [module for module in named if not (ROOT / (module.replace(".", "/") + ".py")).exists()] == []


def test_whoever_says_pure_is_held_to_it() -> None:
    """A docstring that promises purity puts its module under the contract."""
    promising = {
        name.removesuffix(".py").replace("/", ".")
        for name, tree in sources("vault")
        if re.search(r"\bPure\b(?! but)", ast.get_docstring(tree) or "")
    }
    assert promising - set(contracts()["Rules are pure"]["source_modules"]) == set()


def test_pure_modules_touch_neither_clock_nor_disk() -> None:
    """Reading the clock, a file or a socket needs no import that a contract could see."""
    forbidden = {
        ".now",
        ".utcnow",
        ".today",
        ".time",
        ".monotonic",
        ".urandom",
        ".open",
        "open",
        ".read_text",
        ".read_bytes",
        "print",
        "input",
    }
    found = []
    for module in contracts()["Rules are pure"]["source_modules"]:
        name = module.replace(".", "/") + ".py"
        found += [f"{name}:{line}: {called}" for called, line in calls(ast.parse((ROOT / name).read_text())) if called in forbidden]
    assert found == []


def test_places_that_may_wait_exist() -> None:
    gone = []
    for name, expected in WAITING.items():
        waiting = {f.name for f in functions(ast.parse((ROOT / name).read_text())) if isinstance(f, ast.AsyncFunctionDef)}
        gone += [f"{name}: {function}" for function in expected - waiting]
    assert gone == []
