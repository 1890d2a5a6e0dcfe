"""The erasure ledger in two directories or more, each with all of it in `erasures.ledger`. Port: `vault.erasure.ledger.Ledger`.

None may lie in the database's directory: who restores the database must not restore this with it. Directories are 0700 and files
0600, our own and no links; anything else is refused, at start and at each use. A line is written to every copy and synced before
`append` returns; where one copy cannot take it, it is taken back from the others. What a crash left of a line at the end of a file
was never acknowledged and is cut off; a line that only some copies have is given to the others, for one too many errs on the
private side. Copies that contradict each other, a line that does not follow, a signature that is not ours: refused, until somebody
has looked.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NoReturn

import structlog

from vault.connectors.own_places import directory_fault, file_fault, is_inside
from vault.erasure.ledger import Chain, Line, Said, Standing, Tail, encode, message, named, parse
from vault.errors import Fault, LedgerUnavailable

FILE_NAME = "erasures.ledger"
LEAST_COPIES = 2

log = structlog.get_logger()


class DirectoryLedger:
    """The ledger as files. `mac` is keyring `ledger/1`'s, `sign` and `public` are `document-sign/1`'s.

    `at_least` is how many lines it is known to have had: with fewer, every database is one that it is behind, however old, for
    what is missing may be what that database has to be told.
    """

    def __init__(
        self,
        directories: Sequence[Path],
        *,
        forbidden: Sequence[Path],
        sign: Callable[[bytes], bytes],
        public: bytes,
        mac: Callable[[bytes], bytes],
        at_least: int = 0,
    ) -> None:
        if len({one.resolve() for one in directories}) < max(LEAST_COPIES, len(directories)):
            raise _refused("too-few-copies")
        if any(is_inside(one, forbidden) for one in directories):
            raise _refused("inside-data")
        self._places = [one / FILE_NAME for one in directories]
        self._sign, self._public, self._mac, self._at_least = sign, public, mac, at_least
        self._chain = Chain()
        self._read = 0  # bytes of the first copy that the chain has taken
        self._levelled = 0  # bytes known to be in every copy: what was read of the first may be in it alone
        self._distrusted = ""  # what was found once is not forgotten
        self._using = Lock()
        with self._using, self._alone():
            pass

    def append(self, said: Said) -> Line:
        """Write a line, durable in every copy when this returns. Raises LedgerUnavailable: then it is in none."""
        with self._using, self._alone():
            after = self._chain.tail
            octets = encode(said, after, self._sign(message(said, after)))
            self._write(octets + b"\n")
            self._follow()
            return parse(octets)

    def lines(self, after: int = 0) -> Iterator[Line]:
        """Yield the lines after a number, as far as they were there when this began."""
        with self._using:
            self._follow()
            end = self._read
        try:
            with self._places[0].open("rb") as file:
                while file.tell() < end:
                    line = parse(file.readline().rstrip(b"\n"))
                    if line.number > after:
                        yield line
        except (OSError, ValueError):
            raise _refused("not-readable") from None

    def tail(self) -> Tail:
        """Return where it ends."""
        with self._using:
            self._follow()
            return self._chain.tail

    def unfinished(self, controller_id: str) -> list[Line]:
        """Return the acts of a controller that nothing closed, in order."""
        with self._using:
            self._follow()
            return self._chain.unfinished(controller_id)

    def standing(self, controller_id: str, mark: Tail | None) -> Standing:
        """Return how a controller's database stands to the ledger."""
        with self._using:
            self._follow()
            if self._chain.tail.number < self._at_least:
                return "behind"
            return self._chain.standing(controller_id, mark)

    def name(self, controller_id: str, id_: str) -> str:
        """Return what the ledger calls a person or an agreement."""
        return self._mac(named(controller_id, id_)).hex()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the writers of other processes out; the copies are level then, and read to their end."""
        with ExitStack() as closing:
            try:
                for place in self._places:
                    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                for directory in sorted({place.parent.resolve() for place in self._places}):  # whichever another calls its first
                    holder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                    closing.callback(os.close, holder)
                    fcntl.flock(holder, fcntl.LOCK_EX)
                self._level()
            except OSError:
                raise _refused("not-writable") from None
            self._follow()
            yield

    def _level(self) -> None:
        """Cut what is no whole line off every copy, and give each the lines that only another has."""
        held = [_whole_lines(place, self._levelled) for place in self._places]
        if None in held:
            self._distrust("shorter-than-it-was")
        longest = max((one for one in held if one is not None), key=len)
        if not all(longest.startswith(one or b"") for one in held):
            raise _refused("copies-differ")
        for place, one in zip(self._places, held, strict=True):
            if (had := len(one or b"")) < len(longest):
                log.warning("erasure_ledger", code="copy-completed")
                _append(place, longest[had:])
        self._levelled += len(longest)

    def _write(self, line: bytes) -> None:
        try:
            for place in reversed(self._places):  # the first last: it is read without waiting, so what it says all copies say
                _append(place, line)
        except OSError:
            for place in self._places:
                with suppress(OSError):  # what cannot be cut is one line too many, and is given to the others
                    _cut(place, self._read)
            raise _refused("not-writable") from None
        self._levelled += len(line)

    def _follow(self) -> None:
        """Take what was added since. The last line's signature answers for those before it."""
        if self._distrusted:
            raise _refused(self._distrusted)
        last: Line | None = None
        try:
            with _opened(self._places[0], os.O_RDONLY) as handle:
                size = os.fstat(handle).st_size
                added = os.pread(handle, size - self._read, self._read) if size >= self._read else None
        except OSError:
            raise _refused("not-readable") from None
        if added is None:
            self._distrust("shorter-than-it-was")
        for octets in added[: added.rfind(b"\n") + 1].split(b"\n")[:-1]:
            try:
                last = self._chain.add(octets)
            except ValueError:
                self._distrust("broken")
            self._read += len(octets) + 1
        if last is not None and not last.signed_by(self._public):
            self._distrust("not-signed-by-us")

    def _distrust(self, code: str) -> NoReturn:
        self._distrusted = code
        log.error("erasure_ledger", code=code)
        raise _refused(code)


def _refused(code: str) -> LedgerUnavailable:
    return LedgerUnavailable(faults=[Fault("erasure-ledger", code)], retry_after_s=60)


@contextmanager
def _opened(place: Path, flags: int) -> Iterator[int]:
    if (fault := directory_fault(place.parent)) is not None:
        raise _refused(fault)
    handle = os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    try:
        if (fault := file_fault(os.fstat(handle))) is not None:  # of the open file: it cannot be exchanged in between
            raise _refused(fault)
        yield handle
    finally:
        os.close(handle)


def _whole_lines(place: Path, since: int) -> bytes | None:
    """Return what a copy holds from this byte on, and cut off what a crash left of a line; None of one that ends before it."""
    is_new = not place.exists()
    with _opened(place, os.O_RDWR | os.O_CREAT) as handle:
        if os.fstat(handle).st_size < since:
            return None
        octets = os.pread(handle, os.fstat(handle).st_size, since)
        whole = octets[: octets.rfind(b"\n") + 1]
        if len(whole) < len(octets):
            os.ftruncate(handle, since + len(whole))
            os.fsync(handle)
    if is_new:
        _sync_directory(place.parent)
    return whole


def _append(place: Path, octets: bytes) -> None:
    with _opened(place, os.O_WRONLY | os.O_APPEND) as handle:
        while octets:
            octets = octets[os.write(handle, octets) :]
        os.fsync(handle)


def _cut(place: Path, size: int) -> None:
    with _opened(place, os.O_WRONLY) as handle:
        os.ftruncate(handle, size)
        os.fsync(handle)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
