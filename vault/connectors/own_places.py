"""Whether a place is ours alone: what must not be read, changed or put there by others, and must not come back with a backup."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path


def is_inside(directory: Path, others: Sequence[Path]) -> bool:
    """Whether a directory is one of these or lies in one, links resolved."""
    place = directory.resolve()
    return any(place.is_relative_to(other.resolve()) for other in others)


def directory_fault(directory: Path) -> str | None:
    """Return why a directory will not do: it is no link, our own, and 0700. Raises OSError where there is none."""
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "not-a-directory"
    if stat.S_IMODE(found.st_mode) & 0o777 != 0o700 or found.st_uid != os.geteuid():
        return "directory-open-to-others"
    return None


def keep_names(directory: Path) -> None:
    """Make durable which files a directory has. Raises OSError."""
    holder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(holder)
    finally:
        os.close(holder)


def file_fault(found: os.stat_result) -> str | None:
    """Return why an open file will not do: it is a file, our own, and 0600."""
    if not stat.S_ISREG(found.st_mode):
        return "not-a-file"
    if stat.S_IMODE(found.st_mode) != 0o600 or found.st_uid != os.geteuid():
        return "file-open-to-others"
    return None
