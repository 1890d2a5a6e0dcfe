"""What a customer is told of one entry about them, and the evidence by which anybody can check it without the vault.

Art. 15 and CJEU C-579/21: when, what for, and by whom in terms of role and team; an agent appears under a name that is stable for
this person and that no two people can compare. C-154/21: to which system. An entry that would tell of somebody else's affairs
shows its month alone, without reason, ticket and team, and its evidence is its tag: its hash stands in its neighbours. Free text,
addresses and workstations are never told. Pure: keys, rows and what is known of tickets are arguments.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from vault.audit import entry
from vault.octets import b64u, base32_id, lp, mac

STAFF: Final = frozenset({"agent", "dpo", "operator"})
ANOTHER_S: Final = frozenset({"of-another-person", "not-yours"})  # what was found of the ticket: it is, or may be, somebody else's
_SAID_OF_ANOTHER_S: Final = frozenset({"reason", "ticket", "team", "position", "at", "name"})
_LABEL_CHARACTERS: Final = 6
_OF_LEAF: Final = ("operation", "outcome", "purpose", "channel", "recipient", "fields")


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One entry about a person: where it is, its bytes, its place in their chain, and what is sealed beside it."""

    era: int
    position: int
    at: int
    entry_id: str
    sealed: bytes | None
    number: int
    previous: bytes
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry about a person with what was sealed beside it opened; `salt` is that of the part they may see."""

    row: ChainRow
    leaf: Mapping[str, Any]
    details: Mapping[str, Any]
    internal: Mapping[str, Any]
    salt: bytes = field(repr=False)

    @property
    def ticket_id(self) -> str | None:
        """The ticket that was stated."""
        ticket = self.details.get("ticket")
        return str(ticket["id"]) if ticket is not None else None


@dataclass(frozen=True, slots=True)
class Audience:
    """Whose report it is, and what protects others.

    `about` maps tickets that are known now to whom they are about; `about_others` are the purposes that touch somebody else by
    their nature. `own_ids` are ids by which the person's own calls come, `named` those of staff whom two people
    decided to name in this one report.
    """

    subject_id: str
    label_key: bytes = field(repr=False)
    about: Mapping[str, str]
    about_others: Collection[str]
    own_ids: Collection[str]
    named: Collection[str] = ()


def concerns_others(one: Opened, audience: Audience) -> bool:
    """Return whether telling of this entry in full would tell of somebody else."""
    if _is_own(one, audience):
        return False
    if one.leaf.get("purpose") in audience.about_others:
        return True
    ticket = one.details.get("ticket")
    if ticket is None or ticket.get("check") == "verified":  # verified: about this person, when it was stated
        return False
    return ticket.get("check") in ANOTHER_S or audience.about.get(str(ticket["id"]), audience.subject_id) != audience.subject_id


def told(one: Opened, audience: Audience) -> dict[str, Any]:
    """Return what the person is told of an entry; a member that does not apply is absent."""
    at = datetime.fromtimestamp(one.row.at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    said: dict[str, Any] = {"entry_id": one.row.entry_id, "position": one.row.position, "at": at}
    said |= {name: one.leaf[name] for name in _OF_LEAF if name in one.leaf}
    said |= {"role": one.leaf["roles"]} if "roles" in one.leaf else {}
    said |= {name: one.details[name] for name in ("team", "reason") if name in one.details}
    said |= {"ticket": one.ticket_id} if one.ticket_id is not None else {}
    said |= _agreed(one.details)
    said |= {"system": one.internal["application"]} if "application" in one.internal else {}
    said |= _by(one, audience)
    if not concerns_others(one, audience):
        return said
    return {"month": at[:7], **{name: value for name, value in said.items() if name not in _SAID_OF_ANOTHER_S}}


def agent_label(label_key: bytes, caller_id: str) -> str:
    """Return the name under which a member of staff appears to this person: the same for ever, and another to everybody else."""
    return f"operator {base32_id(mac(label_key, lp(caller_id)))[:_LABEL_CHARACTERS]}"


def evidence(opened: Sequence[Opened], audience: Audience, chain_key: bytes) -> dict[str, Any]:
    """Return what a report is checked by: leaves, openings and the chain's key; of what concerns others, the tag alone."""
    first = opened[0].row
    return {
        "v": 1,
        "report": opened[-1].row.entry_id,
        "chain_key": b64u(chain_key),
        "first": first.number,
        "previous": b64u(first.previous),
        "entries": [_shown(one) if not concerns_others(one, audience) else _hidden(one) for one in opened],
    }


def unbroken(rows: Sequence[ChainRow], chain_key: bytes) -> bool:
    """Return whether a person's entries, in order, are without a gap, each with the tag it must have."""
    return all(_follows(row, rows[at - 1] if at else None, chain_key) for at, row in enumerate(rows))


def opened_row(row: ChainRow, leaf: Mapping[str, Any], clear: bytes | None) -> Opened:
    """Return an entry opened, from the clear bytes of what was sealed beside it. Raises ValueError unless the commitments hold."""
    if clear is None:
        if "details" in leaf:
            raise ValueError("what was committed to is gone")
        return Opened(row, leaf, {}, {}, b"")
    held = entry.opened(leaf, clear)
    return Opened(row, leaf, held.details, held.internal, held.salt)


def _follows(row: ChainRow, before: ChainRow | None, chain_key: bytes) -> bool:
    if before is not None:
        previous = entry.subject_tag(chain_key, before.entry_id, before.number, before.previous)
        if (row.number, row.previous) != (before.number + 1, previous):
            return False
    tag = entry.subject_tag(chain_key, row.entry_id, row.number, row.previous)
    return bool(orjson.loads(row.leaf).get("subject") == b64u(tag))


def _agreed(details: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the agreements the access rested on or was about, and their lawful bases."""
    if agreements := details.get("agreements"):
        yield "agreement", sorted({held if name == "*" else name for name, held in agreements.items()})
    if basis := details.get("basis"):
        yield "basis", sorted(set(basis.values()))


def _by(one: Opened, audience: Audience) -> dict[str, str]:
    """Return who: staff under their name for this person, the person as `you`; nobody where a system or a job acted by itself."""
    kind, caller_id = one.leaf.get("kind"), one.internal.get("caller_id")
    if kind in STAFF and caller_id is not None:
        name = {"name": caller_id} if caller_id in audience.named else {}
        return {"agent": agent_label(audience.label_key, caller_id), **name}
    if kind != "subject":
        return {}
    return {"agent": "you" if _is_own(one, audience) else "somebody else, refused"}


def _is_own(one: Opened, audience: Audience) -> bool:
    """Return whether the person did it. With a customer's token nobody else gets anything but refusals."""
    own = one.leaf.get("outcome") != "refused" or one.internal.get("caller_id") in audience.own_ids
    return one.leaf.get("kind") == "subject" and own


def _shown(one: Opened) -> dict[str, str]:
    made = {"entry_id": one.row.entry_id, "leaf": one.row.leaf.decode()}
    if "details" in one.leaf:
        made |= {"details": entry.canonical(dict(one.details)).decode(), "salt": b64u(one.salt)}
    return made


def _hidden(one: Opened) -> dict[str, str]:
    return {"entry_id": one.row.entry_id, "tag": str(one.leaf["subject"])}
