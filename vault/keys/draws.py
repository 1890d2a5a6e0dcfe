"""Random bytes of the operating system, drawn some kilobytes at a time.

Each draw of a few bytes is a system call that lets go of the interpreter lock, and under load the lock comes back late: a batch of
readings draws hundreds. A thread draws for itself, so no lock is needed; a child process starts with nothing. For nonces, salts
and ids; keys are drawn one by one.
"""

import os
import secrets  # noqa: TID251 (nonces, salts and ids are drawn here)
from threading import local

AHEAD_BYTES = 4_096


class _Ahead(local):
    def __init__(self) -> None:
        self.octets = b""
        self.at = 0


_ahead = _Ahead()


def draw(count: int) -> bytes:
    """Return `count` random bytes, never handed out before."""
    ahead = _ahead
    end = ahead.at + count
    if end > len(ahead.octets):
        ahead.octets, ahead.at, end = secrets.token_bytes(max(AHEAD_BYTES, count)), 0, count
    drawn = ahead.octets[ahead.at : end]
    ahead.at = end
    return drawn


def _forget() -> None:
    global _ahead  # noqa: PLW0603 (a fork must not hand out what its parent does)
    _ahead = _Ahead()


os.register_at_fork(after_in_child=_forget)
