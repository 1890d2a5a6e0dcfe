"""A ZIP written forwards, piece by piece, into whatever takes bytes: nothing of it lies anywhere in clear. Pure.

What is kept until the end is a line of the directory for each file, about a hundred bytes, so a hundred thousand files cost ten
megabytes. Sizes and checks follow each file (APPNOTE 6.3.10, 4.3.9); from 65,535 files on the directory is ZIP64 (4.3.14). The same
files make the same bytes: a ZIP's clock stands at its first day.
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from struct import pack
from typing import Final

from vault.exports.manifest import Files

MOST_BYTES: Final = 2**32 - 1  # of a file, and of the whole: what a directory without ZIP64 sizes can say
_MANY: Final = 0xFFFF
_FLAGS: Final = 0x0808  # names in UTF-8; sizes follow
_DEFLATED, _FIRST_DAY, _VERSION = 8, 0x0021, 20
_UNIX: Final = 3 << 8
_PIECE: Final = 1 << 16
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


def in_pieces(octets: bytes | bytearray) -> Iterator[bytes]:
    """Yield what is large piece by piece: nobody on its way holds the whole of it again."""
    for begins in range(0, len(octets), _PIECE):
        yield bytes(octets[begins : begins + _PIECE])


@dataclass(slots=True)
class Package:
    """A ZIP under way. `write` takes its bytes in order; `files` takes note of each file for the manifest."""

    write: Callable[[bytes], object]
    files: Files = field(default_factory=Files)
    written: int = 0
    count: int = 0
    _directory: bytearray = field(default_factory=bytearray)

    def add(self, path: str, pieces: Iterable[bytes], *, listed: bool = True) -> bytes:
        """Write one file and return its SHA-256.

        Raises ValueError for a path that could leave a folder, and where it all gets larger than a ZIP can say.
        """
        if not _PATH.fullmatch(path):
            raise ValueError("not a path")
        name, begins = path.encode(), self.written
        self._put(pack("<IHHHHHIIIHH", 0x04034B50, _VERSION, _FLAGS, _DEFLATED, 0, _FIRST_DAY, 0, 0, 0, len(name), 0) + name)
        deflate, digest, check, size, starts = zlib.compressobj(wbits=-15), sha256(), 0, 0, self.written
        for piece in pieces:
            digest.update(piece)
            check, size = zlib.crc32(piece, check), size + len(piece)
            self._put(deflate.compress(piece))
        self._put(deflate.flush())
        packed = self.written - starts
        if max(size, self.written) > MOST_BYTES:
            raise ValueError("too large")
        self._put(pack("<IIII", 0x08074B50, check, packed, size))
        said = (_UNIX | _VERSION, _VERSION, _FLAGS, _DEFLATED, 0, _FIRST_DAY, check, packed, size)
        self._directory += pack("<IHHHHHHIIIHHHHHII", 0x02014B50, *said, len(name), 0, 0, 0, 0, 0o100600 << 16, begins) + name
        self.count += 1
        if listed:
            self.files.add(path, size, digest.digest())
        return digest.digest()

    def close(self) -> None:
        """Write the directory, which ends the ZIP."""
        begins, size = self.written, len(self._directory)
        for piece in in_pieces(self._directory):
            self._put(piece)
        if self.count >= _MANY:
            self._put(pack("<IQHHIIQQQQ", 0x06064B50, 44, _UNIX | 45, 45, 0, 0, self.count, self.count, size, begins))
            self._put(pack("<IIQI", 0x07064B50, 0, begins + size, 1))
        few = min(self.count, _MANY)
        self._put(pack("<IHHHHIIH", 0x06054B50, 0, 0, few, few, size, begins, 0))

    def _put(self, octets: bytes) -> None:
        if octets:
            self.write(octets)
            self.written += len(octets)
