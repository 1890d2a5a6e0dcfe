"""The signer's state in a directory: the last note of each log, and every note in `checkpoints.log`.

It belongs on another volume than the database's, the list best on append-only storage: who restores an old database must not
restore this with it. A note is durable here before its signature leaves: written, synced, renamed, and the directory synced. Each
line of `checkpoints.log` is a JSON object `{"at": ms, "origin": …, "note": …}`; one that a crash cut short was never released.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import orjson

from vault.errors import AuditUnavailable

LOG_NAME = "checkpoints.log"
_BEGINS = re.compile(rb'\{"at":[0-9]+,"origin":"([\x20\x21\x23-\x5b\x5d-\x7e]*)","note":"')  # an origin without escapes


class DirectorySignerState:
    """The port `vault.audit.checkpoint.SignerState` over files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last = directory / "last"

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep other signers out, in this process and in others."""
        try:
            self._last.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise AuditUnavailable(retry_after_s=5) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def last(self, origin: str) -> str | None:
        """Return the newest note of this log, None when there never was one. Raises AuditUnavailable when it cannot be read."""
        try:
            return self._place(origin).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise AuditUnavailable(retry_after_s=5) from None

    def keep(self, origin: str, note: str, at_ms: int) -> None:
        """Make the note durable, in the list first: a note that is the newest is always listed. Raises AuditUnavailable."""
        try:
            self._append(orjson.dumps({"at": at_ms, "origin": origin, "note": note}) + b"\n")
            self._replace(self._place(origin), note.encode())
        except OSError:
            raise AuditUnavailable(retry_after_s=5) from None

    def notes(self, origin: str, since_ms: int = 0) -> Iterator[str]:
        """Yield the notes of this log kept since an instant, and first the one that stood then; oldest first.

        Raises AuditUnavailable when a line is damaged, unless it plainly begins as one of another log: that is the other's to find.
        """
        stood: str | None = None
        for at_ms, note in self._listed(origin):
            if at_ms < since_ms:
                stood = note
                continue
            if stood is not None:
                yield stood
                stood = None
            yield note
        if stood is not None:
            yield stood

    def _listed(self, origin: str) -> Iterator[tuple[int, str]]:
        own = orjson.dumps(origin)[1:-1]
        try:
            with (self._directory / LOG_NAME).open("rb") as lines:
                for line in lines:
                    begins = _BEGINS.match(line)
                    if (begins is not None and begins[1] != own) or not line.rstrip(b"\n").endswith(b"}"):
                        continue
                    kept = orjson.loads(line)
                    if kept["origin"] == origin:
                        yield int(kept["at"]), str(kept["note"])
        except FileNotFoundError:
            return
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            raise AuditUnavailable(retry_after_s=5) from None

    def _place(self, origin: str) -> Path:
        return self._last / (quote(origin, safe="") + ".note")

    def _append(self, line: bytes) -> None:
        self._last.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self._directory / LOG_NAME
        is_new = not path.exists()
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "ab+") as file:
            end = file.seek(0, os.SEEK_END)
            if end and os.pread(file.fileno(), 1, end - 1) != b"\n":  # a crash cut the last line: nothing is ever taken away here
                line = b"\n" + line
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            self._sync_directory(self._directory)

    def _replace(self, path: Path, octets: bytes) -> None:
        draft = path.with_suffix(".draft")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, octets)
            os.fsync(handle)
        finally:
            os.close(handle)
        draft.replace(path)
        self._sync_directory(self._last)

    @staticmethod
    def _sync_directory(directory: Path) -> None:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
