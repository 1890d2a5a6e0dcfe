"""What the figures were taken on: without it they mean nothing."""

import os
import platform
import re
import subprocess
import time
from contextlib import suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.processes import end
from benchmarks.seed import World

PACKAGES = ("asyncpg", "cedarpy", "cryptography", "fastapi", "orjson", "psycopg", "sqlalchemy", "uvicorn")
PROBE_S = 15.0


def described(made: World) -> dict[str, Any]:
    """Return processor, cores, memory, versions, file system, how fast it commits, and how busy it is."""
    database = {
        "postgres": _postgres(made),
        "file_system": _file_system(made.home),
        "fdatasync_per_second": _syncs_per_second(made),
    }
    return {**described_here(), **database}


def described_here() -> dict[str, Any]:
    """Return the same without a database."""
    return {
        "cpu": _first(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory": _first(Path("/proc/meminfo"), "MemTotal"),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES if find_spec(name) is not None},
        "load_average": list(os.getloadavg()),
    }


def _first(path: Path, name: str) -> str | None:
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return next((value.strip() for found, _, value in lines if found.strip() == name), None)


def _postgres(made: World) -> str:
    with psycopg.connect(made.admin_url, autocommit=True) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return str(row[0]) if row is not None else ""


def _file_system(path: Path) -> str | None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    over = [mount for mount in mounts if path.is_relative_to(mount[1])]
    return max(over, key=lambda mount: len(mount[1]))[2] if over else None


def _syncs_per_second(made: World) -> float | None:
    """Return what `pg_test_fsync` says of fdatasync, one second of it; None where the tool is not there."""
    tool = Path(f"/proc/{made.postgres_pid}/exe").resolve().with_name("pg_test_fsync")
    if not tool.exists():
        return None
    command = ["stdbuf", "-oL", str(tool), "-s", "1", "-f", str(made.home / "sync.probe")]
    with suppress(OSError), subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + PROBE_S
        try:
            for line in process.stdout or ():
                if found := re.search(rb"^\s*fdatasync\s+([0-9.]+)\s+ops/sec", line):
                    return float(found[1])
                if time.monotonic() > until:
                    break
        finally:
            end(process)
    return None
