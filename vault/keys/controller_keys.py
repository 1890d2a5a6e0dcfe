"""Controller keys in memory: loaded through the keyring, kept at most 300 s, renewed in the background at 240 s.

A controller key is 32 random bytes for each controller and epoch, stored wrapped by the epoch's root key; it wraps data keys,
audit keys and the controller's secrets. Its life in memory is a hard bound: once the keyring stops answering, or a root is
revoked, nothing opens 300 s later. The age counts from before the keyring was asked.

Wraps under one key are counted, since a random 96-bit nonce bears 2^31 of them (collision below 2^-35, SP 800-38D section 8.3):
each process reserves blocks of 65,536 and stops at the limit.
"""

import hmac
import os
import secrets  # noqa: TID251 (controller keys, secrets and the nonces of their wraps are drawn here)
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Event, Lock, Thread

from vault.errors import KeysUnavailable, Unreadable, VaultError
from vault.keys.envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    controller_commitment,
    secret_place,
    unwrap_key,
    wrap_epoch,
    wrap_key,
)
from vault.keys.keyring import Context, Keyring

LIFETIME_S = 300.0
RENEW_AFTER = 0.8  # of the lifetime
RETRY_S = 5.0
RELOAD_S = 1.0
WRAP_BLOCK = 65_536
WRAPS_PER_KEY = 2**31
PURPOSES = ("index", "token", "settings", "web", "suppress", "tombstone", "audit")


@dataclass(frozen=True, slots=True)
class ControllerKeyRow:
    """A row of `keys.controller_key`: `state` is open, closing or closed."""

    epoch: int
    state: str
    blob: bytes
    commit: bytes
    wraps_reserved: int = 0


@dataclass(frozen=True, slots=True)
class ControllerSecretRow:
    """A row of `keys.controller_secret`: `state` is current or old."""

    purpose: str
    version: int
    wrap: bytes
    state: str


@dataclass(frozen=True, slots=True)
class ControllerKeyRows:
    """All one controller has: keys of the living epochs, and secrets."""

    keys: Sequence[ControllerKeyRow]
    secrets: Sequence[ControllerSecretRow]


@dataclass(frozen=True, slots=True)
class Secret:
    """A controller's secret of one purpose: 32 bytes, never printed."""

    version: int
    key: bytes = field(repr=False)
    _derived: dict[Callable[[bytes], bytes], bytes] = field(default_factory=dict, repr=False, compare=False)

    def under(self, derive: Callable[[bytes], bytes]) -> bytes:
        """Return the key a function derives of it: worked out once, and in memory as long as the secret itself."""
        found = self._derived.get(derive)
        if found is None:
            found = self._derived[derive] = derive(self.key)
        return found

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class _Held:
    """What one load gave, and since when it is in memory."""

    __slots__ = ("current_epoch", "current_version", "keys", "loaded_at", "retry_at", "secrets", "used")

    def __init__(self, loaded_at: float) -> None:
        self.loaded_at = loaded_at
        self.retry_at = loaded_at
        self.used = False
        self.keys: dict[int, bytes] = {}
        self.secrets: dict[tuple[str, int], Secret] = {}
        self.current_epoch = -1
        self.current_version: dict[str, int] = {}

    def secret(self, purpose: str, version: int | None) -> Secret | None:
        return self.secrets.get((purpose, self.current_version.get(purpose, -1) if version is None else version))


def controller_key_context(installation: str, controller_id: str, epoch: int) -> Context:
    """Return what a controller key's blob is bound to."""
    return {"installation": installation, "controller": controller_id, "epoch": str(epoch), "use": "controller-key"}


def new_controller_key(
    keyring: Keyring, installation: str, controller_id: str, epoch: int, draw: Callable[[int], bytes] = secrets.token_bytes
) -> tuple[bytes, ControllerKeyRow]:
    """Return a new key of an epoch, and its row, which was seen to open. Makes the epoch's root key where there is none.

    Raises KeysUnavailable.
    """
    key, context = draw(KEY_BYTES), controller_key_context(installation, controller_id, epoch)
    (blob,) = keyring.wrap(keyring.create_root(epoch), [(key, context)])
    if keyring.unwrap([(blob, context)]) != [key]:
        raise KeysUnavailable
    return key, ControllerKeyRow(epoch, "open", blob, controller_commitment(key, controller_id, epoch))


def new_controller(
    keyring: Keyring, installation: str, controller_id: str, epoch: int, draw: Callable[[int], bytes] = secrets.token_bytes
) -> ControllerKeyRows:
    """Return the first key of a new controller and its secrets, all wrapped; nothing in clear remains. Raises KeysUnavailable."""
    key, row = new_controller_key(keyring, installation, controller_id, epoch, draw)
    made = [
        ControllerSecretRow(
            purpose, 1, wrap_key(key, secret_place(controller_id, purpose, 1), epoch, draw(NONCE_BYTES), draw(KEY_BYTES)), "current"
        )
        for purpose in PURPOSES
    ]
    return ControllerKeyRows([replace(row, wraps_reserved=len(made))], made)


class ControllerKeys:
    """The controller keys of one process.

    `load` reads a controller's rows; `reserve(controller_id, epoch, count)` adds to `wraps_reserved` and returns the new sum.
    A second load of the same controller while one is running waits for it. A thread renews what is used and drops the rest.
    """

    def __init__(
        self,
        keyring: Keyring,
        load: Callable[[str], ControllerKeyRows],
        monotonic: Callable[[], float],
        lifetime_s: float = LIFETIME_S,
        *,
        installation: str,
        reserve: Callable[[str, int, int], int],
    ) -> None:
        self._keyring = keyring
        self._load = load
        self._monotonic = monotonic
        self.lifetime_s = self._lifetime_s = min(lifetime_s, LIFETIME_S)
        self._tick_s = max(self._lifetime_s / 60, 0.05)
        self._installation = installation
        self._reserve = reserve
        self._held: dict[str, _Held] = {}
        self._flights: dict[str, Future[_Held]] = {}
        self._lock = Lock()
        self._era = 0
        self._blocks: dict[tuple[int, str, int], int] = {}
        self._counting = Lock()
        self._closed = Event()
        self._tending: Thread | None = None

    def __repr__(self) -> str:
        return "***"

    @property
    def kept_by(self) -> tuple[str, bool]:
        """Return which keyring holds the root keys, and whether they live outside this process."""
        return self._keyring.provider, self._keyring.remote

    def key(self, controller_id: str, epoch: int) -> bytes:
        """Return the key of an epoch. Raises KeysUnavailable, or Unreadable where no such key opens."""
        held = self._fresh(controller_id)
        key = held.keys.get(epoch) or self._newer(controller_id, held).keys.get(epoch)
        if key is None:
            raise Unreadable
        return key

    def current(self, controller_id: str) -> tuple[int, bytes]:
        """Return the open epoch and its key: new wraps are made under it."""
        held = self._fresh(controller_id)
        key = held.keys.get(held.current_epoch)
        if key is None:
            raise Unreadable
        return held.current_epoch, key

    def secret(self, controller_id: str, purpose: str, version: int | None = None) -> Secret:
        """Return a secret of the controller: the current one, or a given version."""
        held = self._fresh(controller_id)
        secret = held.secret(purpose, version) or self._newer(controller_id, held).secret(purpose, version)
        if secret is None:
            raise Unreadable
        return secret

    def wrap(self, controller_id: str, place: bytes, inner: bytes) -> tuple[int, bytes]:
        """Return the open epoch and the wrap of a 32-byte key under it, counted. Raises KeysUnavailable at 2^31 wraps."""
        epoch, key = self.current(controller_id)
        self._count(controller_id, epoch)
        return epoch, wrap_key(key, place, epoch, secrets.token_bytes(NONCE_BYTES), inner)

    def rewrap(self, controller_id: str, place: bytes, wrap: bytes) -> tuple[int, bytes]:
        """Return the open epoch and the wrap of the same 32 bytes under it, seen to open. Raises Unreadable, KeysUnavailable."""
        epoch = wrap_epoch(wrap)
        inner = unwrap_key(self.key(controller_id, epoch), place, epoch, wrap)
        to, made = self.wrap(controller_id, place, inner)
        unwrap_key(self.key(controller_id, to), place, to, made)
        return to, made

    def forget(self) -> None:
        """Drop every key in memory; the next use asks the keyring. A load that is running keeps nothing."""
        with self._lock:
            self._era += 1
            self._held.clear()

    def close(self) -> None:
        """Drop every key and stop renewing."""
        self._closed.set()
        if self._tending is not None:
            self._tending.join()
        self.forget()

    def renew(self) -> None:
        """Load again what is in use and past 240 s; drop what will soon be past 300 s. The thread calls this."""
        for controller_id, held in list(self._held.items()):
            now = self._monotonic()
            age = now - held.loaded_at
            if age >= self._lifetime_s - self._tick_s:
                self._drop(controller_id, held)
            elif held.used and age >= self._lifetime_s * RENEW_AFTER and now >= held.retry_at:
                try:
                    self._fetch(controller_id)
                except VaultError:
                    held.retry_at = now + RETRY_S

    def _drop(self, controller_id: str, held: _Held) -> None:
        with self._lock:
            if self._held.get(controller_id) is held:
                del self._held[controller_id]

    def _fresh(self, controller_id: str) -> _Held:
        held = self._held.get(controller_id)
        if held is None or self._monotonic() - held.loaded_at >= self._lifetime_s:
            held = self._fetch(controller_id)
        held.used = True
        return held

    def _newer(self, controller_id: str, held: _Held) -> _Held:
        """Return a load younger than a second: an epoch may have begun since, but made-up ones must not cost a load each."""
        return held if self._monotonic() - held.loaded_at < RELOAD_S else self._fetch(controller_id)

    def _fetch(self, controller_id: str) -> _Held:
        """Load, or wait for the load that is running and share its outcome."""
        with self._lock:
            flight = self._flights.get(controller_id)
            if flight is None:
                mine = self._flights[controller_id] = Future()
                era = self._era
        if flight is not None:
            return _outcome(flight)
        try:
            held = self._read(controller_id)
        except BaseException as error:
            with self._lock:
                del self._flights[controller_id]
            mine.set_exception(error)
            raise
        with self._lock:
            del self._flights[controller_id]
            if era == self._era:
                self._held[controller_id] = held
        mine.set_result(held)
        self._tend()
        return held

    def _read(self, controller_id: str) -> _Held:
        held = _Held(self._monotonic())
        rows = self._load(controller_id)
        living = [row for row in rows.keys if row.state != "closed"]
        if not living:
            raise KeysUnavailable
        answers = self._keyring.unwrap(
            [(row.blob, controller_key_context(self._installation, controller_id, row.epoch)) for row in living]
        )
        for row, key in zip(living, answers, strict=True):
            if isinstance(key, bytes) and _committed(key, controller_id, row):
                held.keys[row.epoch] = key
            if row.state == "open":
                held.current_epoch = max(held.current_epoch, row.epoch)
        for secret in rows.secrets:
            _open_secret(held, controller_id, secret)
        return held

    def _count(self, controller_id: str, epoch: int) -> None:
        block = (os.getpid(), controller_id, epoch)  # a forked worker must not go on with its parent's block
        with self._counting:
            left = self._blocks.get(block, 0)
            if left == 0:
                if self._reserve(controller_id, epoch, WRAP_BLOCK) > WRAPS_PER_KEY:
                    raise KeysUnavailable
                left = WRAP_BLOCK
            self._blocks[block] = left - 1

    def _tend(self) -> None:
        with self._lock:
            if self._closed.is_set() or (self._tending is not None and self._tending.is_alive()):
                return
            self._tending = Thread(target=self._renew_until_closed, name="controller-keys", daemon=True)
            self._tending.start()

    def _renew_until_closed(self) -> None:
        while not self._closed.wait(self._tick_s):
            self.renew()


def _outcome(flight: "Future[_Held]") -> _Held:
    try:
        return flight.result()
    except VaultError as error:
        raise type(error)(error.code, retry_after_s=error.retry_after_s) from None


def _committed(key: bytes, controller_id: str, row: ControllerKeyRow) -> bool:
    try:
        return hmac.compare_digest(controller_commitment(key, controller_id, row.epoch), row.commit)
    except OverflowError:  # an epoch no one can have written
        return False


def _open_secret(held: _Held, controller_id: str, row: ControllerSecretRow) -> None:
    """Add one secret; one that does not open stays unknown, and the others serve."""
    if row.state == "current":
        held.current_version[row.purpose] = max(held.current_version.get(row.purpose, -1), row.version)
    epoch = wrap_epoch(row.wrap)
    key = held.keys.get(epoch)
    if key is None:
        return
    try:
        inner = unwrap_key(key, secret_place(controller_id, row.purpose, row.version), epoch, row.wrap)
    except (Unreadable, OverflowError):
        return
    held.secrets[row.purpose, row.version] = Secret(row.version, inner)
