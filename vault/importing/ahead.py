"""Reading ahead: records become customers in a process of their own, while this one seals and writes what was read before.

Parsing and validating hold the interpreter's lock as sealing does, so a thread would gain nothing. The process gets bytes of the
file and gives back values, over pipes; it is a fresh interpreter (a fork would copy keys and connections), loads no more than
reading needs, and says nothing of its own. At most a few chunks are under way, whatever the file's length.
"""

import pickle
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from threading import Thread
from typing import IO, Any

from vault.importing.lines import Record
from vault.importing.reading import Customer, CustomerReader, Refusal

CHUNKS_AHEAD = 3
_LAST_WORDS_S = 10.0
_SERVE = "import sys; sys.path[:] = {path!r}; from vault.importing.ahead import serve; serve(sys.stdin.buffer, sys.stdout.buffer)"

Read = list[Customer | Refusal]


def read_here(reader: CustomerReader, chunks: Iterable[list[Record]]) -> Generator[Read, None, None]:
    """Yield what each chunk says, read in this process: for files too short to be worth another."""
    for chunk in chunks:
        yield reader.read_all(chunk)


def read_ahead(reader: CustomerReader, chunks: Iterable[list[Record]]) -> Generator[Read, None, None]:
    """Yield what each chunk says, in order, read in another process; here, should that one die. Closing it ends the process."""
    under_way: deque[list[Record]] = deque()
    with _reading(reader) as (send, receive):

        def oldest() -> Read:
            chunk = under_way.popleft()
            found = receive()
            return reader.read_all(chunk) if found is None else found

        for chunk in chunks:
            send(chunk)
            under_way.append(chunk)
            if len(under_way) == CHUNKS_AHEAD:
                yield oldest()
        while under_way:
            yield oldest()


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Read what comes, chunk by chunk, until the source ends: the other process's whole life."""
    with suppress(EOFError, BrokenPipeError):
        reader: CustomerReader = pickle.load(source)  # noqa: S301 what the process that started this one wrote
        while True:
            pickle.dump(reader.read_all(pickle.load(source)), sink, pickle.HIGHEST_PROTOCOL)  # noqa: S301 the same
            sink.flush()


@contextmanager
def _reading(reader: CustomerReader) -> Iterator[tuple[Callable[[list[Record]], None], Callable[[], Read | None]]]:
    """Yield how to send a chunk and how to receive the next result: None, for ever, once the process is gone."""
    command = [sys.executable, "-c", _SERVE.format(path=sys.path)]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    results: SimpleQueue[Read | None] = SimpleQueue()
    gone = False
    with subprocess.Popen(command, **pipes) as process:  # noqa: S603 our own interpreter, with our own words
        source, sink = process.stdout, process.stdin
        if source is None or sink is None:  # pragma: no cover
            raise BrokenPipeError

        def send(part: object) -> None:
            with suppress(BrokenPipeError):
                pickle.dump(part, sink, pickle.HIGHEST_PROTOCOL)
                sink.flush()

        def receive() -> Read | None:
            nonlocal gone
            found = None if gone else results.get()
            gone = found is None
            return found

        collector = Thread(target=_collect, args=(source, results), name="import-reading", daemon=True)
        collector.start()
        try:
            send(reader)
            yield send, receive
        finally:
            with suppress(BrokenPipeError):
                sink.close()
            collector.join(_LAST_WORDS_S)
            process.kill()


def _collect(source: IO[bytes], results: "SimpleQueue[Read | None]") -> None:
    """Take results off the pipe as they come, so that neither side waits for the other; None when there will be no more."""
    with suppress(EOFError, pickle.UnpicklingError, OSError, ValueError):
        while True:
            results.put(pickle.load(source))  # noqa: S301 what our own process wrote
    results.put(None)
