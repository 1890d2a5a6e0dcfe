"""Processes under measurement: started on loopback, watched through /proc, ended by their own id."""

import os
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

READY_S = 60.0
ENDED_S = 15.0
QUIET_NS = 5_000_000  # on-CPU in one look: background work at most a twentieth of a core
LOOK_S = 0.1

Task = tuple[int, int]  # process, thread


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ours, on 127.0.0.1."""

    name: str
    pid: int
    port: int


def free_port() -> int:
    """Return a port of loopback nobody listens on just now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@contextmanager
def serving(
    name: str, command: Sequence[str], port: int, ready: str, directory: Path, environment: Mapping[str, str]
) -> Iterator[Server]:
    """Start a server, yield it when `ready` answers 200, end it. What it prints goes to `<name>.log` of the directory.

    Raises TimeoutError when it does not answer within a minute, with the end of what it printed.
    """
    log = directory / f"{name}.log"
    with log.open("wb") as printed, ExitStack() as ending:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, env=dict(environment))
        ending.callback(end, process)
        until = time.monotonic() + READY_S
        while not _answers(port, ready):
            if process.poll() is not None or time.monotonic() > until:
                raise TimeoutError(f"{name} does not serve: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield Server(name, process.pid, port)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a process of ours to stop, and make it when it does not."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(ENDED_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(ENDED_S)


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


# --- what /proc says -------------------------------------------------------------------------------------------------------


def family(roots: Iterable[int]) -> list[int]:
    """Return the processes named and all that descend from them."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and (parent := _parent(entry.name)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    found = list(roots)
    for pid in found:  # grows while it is read: breadth first
        found.extend(children.get(pid, ()))
    return found


def _parent(pid: str) -> int | None:
    try:
        # The name in brackets may hold spaces and brackets: fields are counted from the last one (proc(5)).
        return int(Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def on_cpu(pids: Iterable[int]) -> dict[Task, int]:
    """Return the nanoseconds each thread has spent on a CPU (the first number of schedstat)."""
    spent = {}
    for pid in pids:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            continue
        for task in tasks:
            try:
                spent[pid, int(task.name)] = int((task / "schedstat").read_text().split()[0])
            except OSError:
                continue
    return spent


def spent_between(before: Mapping[Task, int], after: Mapping[Task, int]) -> int:
    """Return what threads spent between two looks. One that came counts whole; one that went is lost, so pools must be stable."""
    return sum(spent - before.get(task, 0) for task, spent in after.items())


def peak_kib(pid: int) -> int:
    """Return the largest resident size this process has had (VmHWM), 0 when it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0)


def settle(roots: Sequence[int], patience_s: float = 5.0) -> bool:
    """Wait until these processes and their children are quiet; return whether they became so.

    The vault's sequencer and PostgreSQL's own work go on after a window: what one load caused is not charged to the next.
    """
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        before = on_cpu(family(roots))
        time.sleep(LOOK_S)
        if spent_between(before, on_cpu(family(roots))) <= QUIET_NS:
            return True
    return False
