"""Where the records of processing activities lie: a directory of our own, one of each controller in it, a file for each change."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from vault.connectors.own_places import directory_fault, keep_names
from vault.errors import Fault, Unavailable

SUFFIX: Final = ".note"
_NAME: Final = "%Y%m%dT%H%M%SZ"


class ProcessingRecords:
    """The directory. No person is in what it holds; it is the company's evidence (GDPR 30), and nothing in it is ever replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def newest(self, controller_id: str, at: datetime) -> bytes | None:
        """Return what was written last of a controller until then, None where nothing was.

        What bears another name than ours, or one of an instant to come, is not looked at. Raises Unavailable.
        """
        found = [one for one in (self._directory / controller_id).glob(f"*{SUFFIX}") if _is_until(one.stem, at)]
        try:
            return max(found).read_bytes() if found else None
        except OSError:
            raise Unavailable("records-not-readable") from None

    def keep(self, controller_id: str, at: datetime, octets: bytes) -> None:
        """Write what was made at an instant, whole or not at all. Raises Unavailable `records-not-writable`."""
        target = self._directory / controller_id / f"{_named(at)}{SUFFIX}"
        part = target.with_suffix(".part")
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (fault := directory_fault(target.parent)) is not None:
                raise Unavailable("records-not-writable", faults=[Fault("records-of-processing", fault)])
            part.unlink(missing_ok=True)
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            os.link(part, target)  # refuses where there is one, as no rename does
            keep_names(target.parent)
        except OSError:
            raise Unavailable("records-not-writable") from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _named(at: datetime) -> str:
    return at.astimezone(UTC).strftime(_NAME)


def _is_until(name: str, at: datetime) -> bool:
    """Whether a name is one of ours, of an instant that has come: as we spell it, names order as instants do."""
    try:
        made = datetime.strptime(name, _NAME).replace(tzinfo=UTC)
    except ValueError:
        return False
    return _named(made) == name <= _named(at)
