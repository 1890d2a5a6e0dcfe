"""The frame: all sealed values of one subject and class, packed into one row. Pure.

    frame = "RSF1" ‖ u8 a ‖ a × lp8(collection agreement) ‖ u16 n ‖ n × entry
    entry = lp8(field) ‖ u64 value_version ‖ u8 agreement index ‖ u16 length ‖ envelope

There is one way to write a given set of entries: agreements and fields ascend strictly by bytes, every agreement is used, all
envelopes are of one generation, and the last byte is the end. Anything else is Unreadable. A frame's manifest (`envelope`)
authenticates it; parsing it alone proves nothing.
"""

import struct
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from vault.errors import Unreadable
from vault.keys.envelope import SMALLEST_ENVELOPE_BYTES
from vault.octets import lp, lp8, u16

_MAGIC = b"RSF1"
_COUNT = struct.Struct(">H")
_ENTRY = struct.Struct(">QBH")
_FORMAT_AND_SUITE = b"\x01\x01"

_Entry = tuple[int, int, int, int, int]  # version, agreement index, and offsets: entry, envelope, its end


class FrameEntry(NamedTuple):  # a tuple: thirty are made for one read, and a frozen dataclass costs twice as much to make
    """One sealed value. `agreement_id` is the agreement it was collected under."""

    field: str
    value_version: int
    agreement_id: str
    envelope: bytes


def encode(entries: Iterable[FrameEntry]) -> bytes:
    """Return the frame of `entries`, in any order. Raises ValueError where a name is empty, twice or too long."""
    ordered = sorted(entries, key=lambda entry: entry.field.encode())
    names = [entry.field for entry in ordered]
    if len(set(names)) != len(names) or "" in names:
        raise ValueError("field empty or named twice")
    agreements = sorted({entry.agreement_id for entry in ordered}, key=str.encode)
    if len(agreements) > 0xFF or "" in agreements:
        raise ValueError("too many agreements, or an empty id")
    index = {agreement_id: at for at, agreement_id in enumerate(agreements)}
    parts = [_MAGIC, bytes([len(agreements)]), *map(lp8, agreements), u16(len(ordered))]
    for entry in ordered:
        head = _ENTRY.pack(entry.value_version, index[entry.agreement_id], len(entry.envelope))
        parts += (lp8(entry.field), head, entry.envelope)
    return b"".join(parts)


class Frame(NamedTuple):
    """A frame that is regular throughout, read once: where each entry lies. Nothing of it is authentic yet."""

    octets: bytes
    agreements: Sequence[str]
    entries: Mapping[str, _Entry]

    def collected(self) -> dict[str, str]:
        """Return which fields hold a value, each with the agreement it was collected under."""
        return {field: self.agreements[one[1]] for field, one in self.entries.items()}

    def select(self, wanted: Container[str]) -> list[tuple[str, bytes, bytes]]:
        """Return field, end of its place and envelope of each wanted entry: what a read needs, and made for it.

        The end of a place is `lp(field) ‖ u64 value_version ‖ lp(collection agreement)`, cut from the frame as it lies there.
        """
        octets, tails = self.octets, [lp(agreement) for agreement in self.agreements]
        return [
            (field, b"\0" + octets[at : start - 3] + tails[index], octets[start:stop])
            for field, (_, index, at, start, stop) in self.entries.items()
            if field in wanted
        ]

    def without(self, values: Container[str]) -> "Frame":
        """Return the frame as if it had not these values, named by field@value_version; its octets stay whole."""
        kept = {field: one for field, one in self.entries.items() if f"{field}@{one[0]}" not in values}
        return self._replace(entries=kept)

    def unpacked(self) -> dict[str, FrameEntry]:
        """Return the entries by field, ascending."""
        return {
            field: FrameEntry(field, version, self.agreements[index], self.octets[start:stop])
            for field, (version, index, _, start, stop) in self.entries.items()
        }


def read(octets: bytes) -> Frame:
    """Return the frame of these bytes. Raises Unreadable for any irregularity."""
    try:
        agreements, at = _agreements(octets)
        return Frame(octets, agreements, _entries(octets, at, len(agreements)))
    except (IndexError, ValueError, struct.error):
        raise Unreadable from None


def _agreements(frame: bytes) -> tuple[list[str], int]:
    """Return the collection agreements and the offset after them."""
    if frame[:4] != _MAGIC:
        raise ValueError("not a frame")
    names = [b""]
    at = 5
    for _ in range(frame[4]):
        end = at + 1 + frame[at]
        names.append(frame[at + 1 : end])
        if names[-1] <= names[-2]:
            raise ValueError("agreements not ascending")
        at = end
    return [name.decode() for name in names[1:]], at


def _entries(frame: bytes, at: int, agreements: int) -> dict[str, _Entry]:
    (count,) = _COUNT.unpack_from(frame, at)
    at += 2
    entries: dict[str, _Entry] = {}
    used = 0
    previous, head = b"", _FORMAT_AND_SUITE
    for _ in range(count):
        end = at + 1 + frame[at]
        name = frame[at + 1 : end]
        version, index, length = _ENTRY.unpack_from(frame, end)
        start = end + 11
        if not previous:
            head += frame[start + 2 : start + 6]  # the first one's generation is everyone's
        if name <= previous or length < SMALLEST_ENVELOPE_BYTES or not frame.startswith(head, start):
            raise ValueError("irregular entry")
        stop = start + length
        entries[name.decode()] = (version, index, at, start, stop)
        used |= 1 << index
        previous, at = name, stop
    if at != len(frame) or used != (1 << agreements) - 1:
        raise ValueError("does not end where it says, or an agreement is unused or unknown")
    return entries
