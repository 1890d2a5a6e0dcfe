"""Telling another system of each new checkpoint: one POST of the note's text, so that it is kept where none of us can change it.

The newest note of each log waits until it is taken; an older one of the same log is dropped, for the newer covers it. A target that
is dead is tried again, ever more seldom, up to ten minutes apart; nothing waits for it. https, or http on loopback; no redirects.
"""

from collections.abc import Callable
from threading import Event, Lock, Thread

import httpx2
import structlog

from vault.connectors.signing_keys import may_be_asked
from vault.errors import Fault, InvalidValue

FIRST_S, LAST_S = 5.0, 600.0
PATIENCE_S = 5.0

log = structlog.get_logger()


class Announcer:
    """Sends notes to one address, in a thread of its own. `transport` replaces the network in tests."""

    def __init__(self, url: str, transport: httpx2.BaseTransport | None = None, first_s: float = FIRST_S) -> None:
        if not may_be_asked(url):
            raise InvalidValue("invalid-setting", faults=[Fault("RISERBO_CHECKPOINT_WEBHOOK", "url.scheme")])
        self._url = url
        self._first_s = first_s
        self._client = httpx2.Client(follow_redirects=False, trust_env=False, timeout=PATIENCE_S, transport=transport)
        self._waiting: dict[str, str] = {}
        self._lock = Lock()
        self._work = Event()
        self._stopping = Event()
        self._thread = Thread(target=self._run, name="riserbo-announcer", daemon=True)
        self._thread.start()

    def announce(self, origin: str, note: str) -> None:
        """Send this note as soon as can be. Never waits, never raises."""
        with self._lock:
            self._waiting[origin] = note
        self._work.set()

    def close(self) -> None:
        """Stop; what was not taken is in the signer's list all the same."""
        self._stopping.set()
        self._work.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        pause_s = self._first_s
        while not self._stopping.is_set():
            self._work.wait()
            self._work.clear()
            if self._all_sent():
                pause_s = self._first_s
            else:
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, LAST_S)
                self._work.set()

    def _all_sent(self) -> bool:
        with self._lock:
            waiting = dict(self._waiting)
        for origin, note in waiting.items():
            if self._stopping.is_set() or not self._sent(note):
                return False
            with self._lock:
                if self._waiting.get(origin) == note:  # else a newer one came in the meantime
                    del self._waiting[origin]
        return True

    def _sent(self, note: str) -> bool:
        try:
            answer = self._client.post(self._url, content=note.encode(), headers={"Content-Type": "text/plain; charset=utf-8"})
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            log.warning("checkpoint_not_announced", kind=type(error).__name__)
            return False
        if answer.is_success:
            return True
        log.warning("checkpoint_not_announced", status=answer.status_code)
        return False


def announcing(url: str | None) -> tuple[Callable[[str, str], None], Callable[[], None]]:
    """Return how a note is announced, and how that ends; nothing happens where no address is set."""
    if url is None:
        return lambda _origin, _note: None, lambda: None
    announcer = Announcer(url)
    return announcer.announce, announcer.close
