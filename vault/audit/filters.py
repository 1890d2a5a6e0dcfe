"""What of a log somebody asks to see: the filter, what officers read instead of ids, and the cursor that goes on from a page.

Officers see pseudonyms (L. 300/1970 art. 4, GDPR 35 and 88): of a caller a label that is the same all through a log and says
nothing outside it; of a ticket one made from the hash that stands in look-up rows. A cursor is signed and holds where the page
ended, the window, and a keyed digest of the filter: one of another filter, or made up, is refused.

Pure: keys and instants are arguments.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple

from vault.audit.entry import encode
from vault.octets import b64u, b64u_decode, base32_id, expand, lp, mac, u64

DAY_MS: Final = 86_400_000
USUAL_MS: Final = 90 * DAY_MS
WIDEST_MS: Final = 92 * DAY_MS
FLAGS: Final[Mapping[str, int]] = {"break-glass": 1, "special-in-clear": 2}  # bits of `flags`, which look-up rows alone hold
CALLER_LABEL: Final = re.compile(r"c_[a-z2-7]{12}")
TICKET_LABEL: Final = re.compile(r"t_[a-z2-7]{13}")
_NARROW: Final = ("subject_id", "caller", "ticket", "flag", "agreement")  # an agreement is one person's
_DIGEST: Final = 16
_PLACE: Final = 4 * 8


class Place(NamedTuple):
    """Where a page ended: entries before it, in the order (`at`, `position`), follow."""

    at: int
    position: int


class Window(NamedTuple):
    """From when until before when, in ms since 1970."""

    begins: int
    ends: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is asked for; all that is stated must be so. `system` received the data; `flag` is a name of FLAGS, or `any`.

    `caller` and `ticket` are ids or labels.
    """

    begins: int | None = None
    ends: int | None = None
    caller: str | None = None
    system: str | None = None
    role: str | None = None
    subject_id: str | None = None
    field: str | None = None
    purpose: str | None = None
    ticket: str | None = None
    agreement: str | None = None
    outcome: str | None = None
    operation: str | None = None
    flag: str | None = None

    def stated(self) -> dict[str, Any]:
        """Return what is stated, by name."""
        return {name: one for name, one in asdict(self).items() if one is not None}

    def window(self, now: int) -> Window:
        """Return the window: to now, and 90 days back, where nothing else is said."""
        ends = self.ends if self.ends is not None else now + 1
        return Window(self.begins if self.begins is not None else ends - USUAL_MS, ends)

    def fault(self, window: Window) -> str | None:
        """Return what is wrong with it, as a code. Without person, caller, ticket or flag a window is 92 days at most."""
        if window.begins >= window.ends:
            return "window-empty"
        narrow = any(getattr(self, name) is not None for name in _NARROW)
        return None if narrow or window.ends - window.begins <= WIDEST_MS else "window-too-wide"

    def labelled(self, key: bytes, ticket_hash: bytes | None) -> "Filter":
        """Return it with labels for ids of callers and tickets: as it may be kept."""
        caller = self.caller if self.caller is None or CALLER_LABEL.fullmatch(self.caller) else caller_label(key, self.caller)
        return replace(self, caller=caller, ticket=ticket_label(ticket_hash) if ticket_hash is not None else self.ticket)


def label_key(secret: bytes) -> bytes:
    """Return the key of callers' labels towards officers, from the controller's secret `audit`."""
    return expand(secret, lp("riserbo.audit-officer-label.v1"))


def caller_label(key: bytes, caller_id: str) -> str:
    """Return the pseudonym under which officers know a caller: `c_` and 12 characters."""
    return "c_" + base32_id(mac(key, lp(caller_id)))[:12]


def place_label(key: bytes, prefix: str, text: str) -> str:
    """Return what officers read for a session (`s`), a workstation (`w`) or an address (`i`): the same for the same."""
    return f"{prefix}_" + base32_id(mac(key, lp(prefix) + lp(text)))[:12]


def ticket_label(hashed: bytes) -> str:
    """Return what officers read for a ticket whose details are not opened: its 8-byte hash, spelt out."""
    return "t_" + base32_id(hashed)


def ticket_hash(label: str) -> bytes:
    """Return the 8 bytes a ticket's label spells. The last character holds one bit: 13 characters of 5 for 64."""
    number = 0
    for one in label[2:]:
        number = number << 5 | "abcdefghijklmnopqrstuvwxyz234567".index(one)
    return (number >> 1).to_bytes(8, "big")


def cursor_key(secret: bytes) -> bytes:
    """Return the key of cursors and of filters' digests, from the controller's secret `audit`."""
    return expand(secret, lp("riserbo.audit-cursor.v1"))


def digest(key: bytes, asked: Filter) -> bytes:
    """Return 16 bytes that stand for a filter. Keyed: an unkeyed one of an id could be guessed."""
    return mac(key, lp("filter") + encode(asked.stated()))[:_DIGEST]


def cursor(key: bytes, asked: Filter, window: Window, place: Place) -> str:
    """Return the signed text by which the next page is asked for."""
    body = b"".join(u64(one) for one in (*window, *place)) + digest(key, asked)
    return b64u(body + mac(key, lp("cursor") + body)[:_DIGEST])


def read_cursor(key: bytes, asked: Filter, text: str) -> tuple[Window, Place]:
    """Return the window and the place of a cursor. Raises ValueError unless this log made it, for this filter."""
    octets = b64u_decode(text)
    body, signature = octets[:-_DIGEST], octets[-_DIGEST:]
    if len(octets) != _PLACE + 2 * _DIGEST or not hmac.compare_digest(mac(key, lp("cursor") + body)[:_DIGEST], signature):
        raise ValueError("not a cursor of this log")
    if not hmac.compare_digest(digest(key, asked), body[_PLACE:]):
        raise ValueError("a cursor of another filter")
    numbers = [int.from_bytes(body[at : at + 8], "big") for at in range(0, _PLACE, 8)]
    return Window(numbers[0], numbers[1]), Place(numbers[2], numbers[3])
