"""A server that stands between the vault and PostgreSQL and can cut, swallow or hold what passes."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Literal

Mode = Literal["pass", "cut-before", "cut-within", "cut-after", "lost", "hold", "garble"]


_COMMIT = 60  # the last message of several statements' exchange binds and executes COMMIT, and asks for the end of it
_END = 5  # a statement by itself is committed when it is asked for the end alone (Sync)


class Cutter:
    """Listens like PostgreSQL in `directory`. Modes: pass; cut-before: nothing reaches the server and the connection ends;
    cut-within: the server gets all but the end, the commit with it, and the connection ends;
    cut-after: the server gets all, its answer is lost and the connection ends; lost: so it is, and the next one is refused;
    hold: its answer never comes; garble: something else comes instead. `only`: a mode begins, on each connection, with a message
    that holds these bytes.
    """  # fmt: skip

    def __init__(self, directory: Path, real: Path, only: bytes = b"") -> None:
        self.mode: Mode = "pass"
        self.refusing = False
        self.cuts = 0
        self._only = only
        self._refused = 0  # connections still to be
        self._real = real
        self._stop = Event()
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(directory / ".s.PGSQL.5432"))
        self._listening.listen()
        self._listening.settimeout(0.05)
        self._threads = [Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listening.accept()
            except TimeoutError:
                continue
            if self.refusing or self._refused:
                self._refused = max(0, self._refused - 1)
                client.close()
                continue
            thread = Thread(target=self._carry, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._real))
        met = False
        with client, server:
            while not self._stop.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.05)
                for one in ready:
                    octets = one.recv(1 << 16)
                    met = met or (one is client and self._only in octets)
                    if not octets or not self._pass(one is client, octets, client, server, self.mode if met else "pass"):
                        return

    def _pass(self, from_client: bool, octets: bytes, client: socket.socket, server: socket.socket, mode: Mode) -> bool:
        goes_on = mode not in (("cut-before", "cut-within") if from_client else ("cut-after", "lost"))
        if not goes_on:
            self.cuts += 1
            self._refused += mode == "lost"
        if from_client and mode != "cut-before":
            end = _COMMIT if b"riserbo_commit" in octets[-_COMMIT:] else _END
            server.sendall(octets[:-end] if mode == "cut-within" else octets)
        elif not from_client and mode == "pass":
            client.sendall(octets)
        elif not from_client and mode == "garble":
            client.sendall(b"\xff" * len(octets))
        return goes_on

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@contextmanager
def cutter(directory: Path, real: Path, only: bytes = b"") -> Iterator[Cutter]:
    made = Cutter(directory, real, only)
    try:
        yield made
    finally:
        made.close()
