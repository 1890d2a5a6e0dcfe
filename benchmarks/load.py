"""The load generator: wrk with one thread, on loopback, one window at a time."""

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Window
from benchmarks.processes import family, on_cpu, spent_between

SCRIPT = Path(__file__).with_name("load.lua")
MISSING = "make bench needs wrk, the load generator (Debian: apt-get install wrk)"
TIMEOUT_S = 5
GRACE_S = 20.0


@dataclass(frozen=True, slots=True)
class Load:
    """One kind of request: `requests` is a file of whole requests, `pid` the server's, `postgres` the postmaster's."""

    name: str
    port: int
    requests: Path
    pid: int
    postgres: int


def wrk() -> str:
    """Return where wrk is. Raises FileNotFoundError with what to install."""
    found = shutil.which("wrk")
    if found is None:
        raise FileNotFoundError(MISSING)
    return found


def write_requests(path: Path, requests: list[bytes]) -> None:
    """Write whole requests, each ended by a NUL byte."""
    path.write_bytes(b"".join(one + b"\0" for one in requests))


def window(load: Load, connections: int, seconds: int, seed: int) -> Window:
    """Run one window and return what it saw. A generator that hangs or dies makes a void window."""
    processes = [load.pid, load.postgres]
    command = [
        wrk(), "-t1", f"-c{connections}", f"-d{seconds}s", f"--timeout={TIMEOUT_S}s", "--latency", "-s", str(SCRIPT),
        f"http://127.0.0.1:{load.port}/", "--", str(load.requests), str(seed),
    ]  # fmt: skip
    before = on_cpu(family(processes))
    try:
        ran = subprocess.run(command, capture_output=True, timeout=seconds + GRACE_S, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        return Window(0, float(seconds), 1, 0, 0.0, 0.0)
    time.sleep(0.02)  # what was in flight at the cut is finished, and charged to this window
    return parsed(ran.stdout, spent_between(before, on_cpu(family(processes))))


def parsed(printed: bytes, cpu_ns: int) -> Window:
    """Return the window wrk and `load.lua` describe; the last line is ours."""
    told = json.loads(printed.splitlines()[-1])
    return Window(told["answered"], told["micros"] / 1e6, told["failed"], cpu_ns, float(told["p50"]), float(told["p99"]))
