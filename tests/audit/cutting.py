"""A server that stands between the vault and PostgreSQL and can cut, swallow or hold what passes."""

import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Literal

Mode = Literal["pass", "cut-before", "cut-within", "cut-after", "hold"]


_COMMIT = 60  # the last message of several entries' exchange binds and executes COMMIT, and asks for the end of it


class Cutter:
    """Listens like PostgreSQL in `directory`. Modes: pass; cut-before: nothing reaches the server and the connection ends;
    cut-within: the server gets all but the end, the commit with it, and the connection ends;
    cut-after: the server gets all, its answer is lost and the connection ends; hold: its answer never comes.
    """  # fmt: skip

    def __init__(self, directory: Path, real: Path) -> None:
        self.mode: Mode = "pass"
        self.refusing = False
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
            if self.refusing:
                client.close()
                continue
            thread = Thread(target=self._carry, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self._real))
        with client, server:
            while not self._stop.is_set():
                ready, _, _ = select.select([client, server], [], [], 0.05)
                for one in ready:
                    octets = one.recv(1 << 16)
                    if not octets or not self._pass(one is client, octets, client, server):
                        return

    def _pass(self, from_client: bool, octets: bytes, client: socket.socket, server: socket.socket) -> bool:
        mode = self.mode
        if from_client:
            if mode == "cut-before":
                return False
            server.sendall(octets[:-_COMMIT] if mode == "cut-within" else octets)
            return mode != "cut-within"
        if mode == "pass":
            client.sendall(octets)
        return mode != "cut-after"

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()


@contextmanager
def cutter(directory: Path, real: Path) -> Iterator[Cutter]:
    made = Cutter(directory, real)
    try:
        yield made
    finally:
        made.close()
