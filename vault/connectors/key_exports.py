"""Where key exports lie: a directory of our own, 0700, files 0600, each under the day and second it was made; old ones go."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from vault.connectors.own_places import directory_fault, is_inside, keep_names
from vault.errors import Fault, KeysUnavailable, Unreadable
from vault.keys.key_exports import Written, header_of

SUFFIX: Final = ".rsx"
_NAME: Final = "keys-%Y%m%dT%H%M%SZ"
_PIECE: Final = 1 << 18


def pieces_of(path: Path) -> Iterator[bytes]:
    """Yield a file's bytes. Raises KeysUnavailable where it cannot be read."""
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
    except OSError:
        raise KeysUnavailable(faults=[Fault("key-export", "not-readable")]) from None


class KeyExports:
    """The directory of key exports. Raises KeysUnavailable where it will not do: in the database's, or open to others."""

    def __init__(self, directory: Path, *, forbidden: Sequence[Path]) -> None:
        if is_inside(directory, forbidden):
            raise _refused("inside-data")
        self._directory = directory

    def write(self, at: datetime, pieces: Iterable[bytes]) -> Written:
        """Write one under a name nobody takes for an export until it is kept."""
        target = self._directory / f"{at.astimezone(UTC).strftime(_NAME)}{SUFFIX}"
        part, digest = target.with_suffix(".part"), sha256()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (fault := directory_fault(self._directory)) is not None:
                raise _refused(fault)
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                for piece in pieces:
                    digest.update(piece)
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            raise _refused("not-writable") from None
        return Written(lambda: pieces_of(part), digest.digest(), lambda: self._keep(part, target))

    def drop(self, before: datetime) -> int:
        """Delete the exports made before then, and return how many. What bears another name is not ours."""
        return sum(self._delete(one) for one in self.kept() if _made(one) < before)

    def kept(self) -> list[Path]:
        """Return the exports there are, oldest first."""
        found = sorted(self._directory.glob(f"keys-*{SUFFIX}")) if self._directory.is_dir() else []
        return [one for one in found if _is_ours(one)]

    def _delete(self, one: Path) -> int:
        try:
            one.unlink()
        except OSError:
            raise _refused("not-writable") from None
        return 1

    def _keep(self, part: Path, target: Path) -> None:
        try:
            part.rename(target)
            keep_names(self._directory)
        except OSError:
            raise _refused("not-writable") from None


def ledger_lines_told(directory: Path, installation: str) -> int:
    """Return how many lines the erasure ledger had, by what an installation's key exports here say of themselves; 0 without any.

    They are not opened for it: whoever forges one closes the vault, and opens nothing.
    """
    told = 0
    for one in sorted(directory.glob(f"keys-*{SUFFIX}")):
        with suppress(Unreadable, KeysUnavailable):
            header = header_of(pieces_of(one))
            if header.installation == installation:
                told = max(told, header.ledger_n or 0)
    return told


def _made(one: Path) -> datetime:
    return datetime.strptime(one.stem, _NAME).replace(tzinfo=UTC)


def _is_ours(one: Path) -> bool:
    try:
        _made(one)
    except ValueError:
        return False
    return True


def _refused(code: str) -> KeysUnavailable:
    return KeysUnavailable(faults=[Fault("key-export", code)])
