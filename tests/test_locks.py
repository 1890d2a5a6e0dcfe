"""What is installed is what was reviewed: every lock pins versions and hashes, names no address, and covers what is declared."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
LOCKS = sorted((ROOT / "requirements").glob("*.lock"))
PIN = re.compile(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==(\S+)")

each_lock = pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)


def pins(lock: Path) -> dict[str, str]:
    return {found[1]: found[2] for line in lock.read_text().splitlines() if (found := PIN.match(line))}


def requirements(text: str) -> list[str]:
    """Return each requirement of a lock with its hashes, as one line."""
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def declared(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


def test_there_are_three_locks() -> None:
    assert [path.name for path in LOCKS] == ["bench.lock", "run.lock", "test.lock"]


@each_lock
def test_every_requirement_is_pinned_with_a_hash(lock: Path) -> None:
    lines = requirements(lock.read_text())
    assert lines
    assert [line for line in lines if not (PIN.match(line) and re.search(r"--hash=sha256:[0-9a-f]{64}", line))] == []


@each_lock
def test_no_lock_names_an_address(lock: Path) -> None:
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links", lock.read_text()) == []


@pytest.mark.parametrize(("name", "extras"), [("run", ("build",)), ("test", ("build", "test")), ("bench", ("build", "bench"))])
def test_a_lock_covers_what_is_declared(name: str, extras: tuple[str, ...]) -> None:
    locked = pins(ROOT / "requirements" / f"{name}.lock")
    lacking = [
        str(wanted)
        for wanted in declared(*extras)
        if locked.get(canonicalize_name(wanted.name)) is None
        or not wanted.specifier.contains(locked[canonicalize_name(wanted.name)])
    ]
    assert lacking == []


def test_locks_agree_on_every_version() -> None:
    test = pins(ROOT / "requirements" / "test.lock")
    assert {
        name: (version, test[name])
        for lock in LOCKS
        for name, version in pins(lock).items()
        if name in test and test[name] != version
    } == {}


def test_a_tampered_wheel_is_refused(tmp_path: Path) -> None:
    """The very option the Makefile relies on, tried offline on a wheel whose bytes are not those of its hash."""
    wheel = tmp_path / "canary-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("canary.py", "")
        archive.writestr("canary-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: canary\nVersion: 1.0\n")
        archive.writestr(
            "canary-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("canary-1.0.dist-info/RECORD", "")
    lock = tmp_path / "canary.lock"
    lock.write_text(f"canary==1.0 --hash=sha256:{'0' * 64}\n")
    command = [sys.executable, "-m", "pip", "install", "--require-hashes", "--no-index", "--find-links", str(tmp_path)]
    command += ["--target", str(tmp_path / "there"), "-r", str(lock)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
