"""What is left of identifiers when they go: keyed hashes by which somebody is known again, and nothing else can be learnt.

Of a value that was opened the hash is of its text; of one that nothing opens any more, of the blind index there was. Shared by what
erases and by what ends.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from vault.agreements.terms import valid_until
from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.records import Identifier
from vault.erasure.tombstones import BY_INDEX, CHANNELS, NORMALISER, suppression, tombstone
from vault.keys import records as keys
from vault.operations.acting import Acting
from vault.operations.enrolment import index_entries
from vault.profiles.normalise import index_text

Texts = Sequence[tuple[str, str]]  # index name, and what is hashed
KEPT: Final = "tombstones"


def identifiers(vault: Vault, values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (index name, normalised text) of every value somebody is found by, each once."""
    fields = vault.catalogue.fields
    found = {
        (index, index_text(fields[name].type, value)) for name, value in values.items() if (index := fields[name].index) is not None
    }
    return sorted(found)


def indexed(entries: Iterable[tuple[str, int, bytes]]) -> list[tuple[str, str]]:
    """Return (index name, text) of blind indexes: version and bytes in hex stand for the value nobody can open."""
    return sorted({(name, f"{version}:{octets.hex()}") for name, version, octets in entries})


def by_normaliser(vault: Vault, controller_id: str, values: Mapping[str, Any]) -> dict[int, Texts]:
    """Return what would have been hashed of these values, by how."""
    return {NORMALISER: identifiers(vault, values), BY_INDEX: indexed(index_entries(vault, controller_id, values))}


def stones(
    vault: Vault, controller_id: str, texts: Texts, version: int | None = None, normaliser: int = NORMALISER
) -> list[Identifier]:
    """Return the tombstones of these identifiers."""
    secret = vault.keys.secret(controller_id, "tombstone", version)
    return [Identifier(index, secret.version, normaliser, tombstone(secret.key, index, text, normaliser)) for index, text in texts]


def suppressions(
    vault: Vault, controller_id: str, texts: Texts, version: int | None = None, normaliser: int = NORMALISER
) -> list[tuple[str, Identifier]]:
    """Return (channel, keyed hash) of the identifiers marketing reaches people by."""
    secret = vault.keys.secret(controller_id, "suppress", version)
    return [
        (
            CHANNELS[index],
            Identifier(index, secret.version, normaliser, suppression(secret.key, CHANNELS[index], index, text, normaliser)),
        )
        for index, text in texts
        if index in CHANNELS
    ]


def until_when(vault: Vault, acting: Acting, what: str = KEPT) -> datetime:
    """Return until when such a thing is kept."""
    zone = vault.controller(acting.context.controller_id).zone
    return valid_until(acting.at, vault.policy.keeping[what].period, zone) or acting.at


def objected_at(acting: Acting) -> datetime:
    """Return when they objected to marketing, whoever did."""
    row = acting.person.subject
    return row.objected_at if row is not None and row.objected_at is not None else acting.at


def silence(vault: Vault, rows: sa.Connection, acting: Acting, *, quiet: bool, at: datetime) -> None:
    """Keep what marketing reaches somebody by now from being used again, by any list and for anybody; or end that (GDPR 21(3))."""
    place = (acting.context.controller_id, acting.subject_id)
    found = suppressions(vault, place[0], indexed(keys.indexes_of(rows, *place, CHANNELS)), None, BY_INDEX)
    if quiet:
        erasures.keep_suppressions(rows, place[0], found, at, acting.entry_id)
    else:
        erasures.end_suppressions(rows, place[0], found)


def bury_indexes(vault: Vault, rows: sa.Connection, acting: Acting, names: Collection[str]) -> None:
    """Leave hashes of the blind indexes of these names: what an old list would bring back, and where no marketing goes any more."""
    place = (acting.context.controller_id, acting.subject_id)
    texts = indexed(keys.indexes_of(rows, *place, names))
    if not texts:
        return
    erasures.keep_tombstones(
        rows, place[0], stones(vault, place[0], texts, None, BY_INDEX), acting.at, until_when(vault, acting), acting.entry_id
    )
    if acting.person.subject is not None and acting.person.subject.objected_marketing:
        quiet = suppressions(vault, place[0], texts, None, BY_INDEX)
        erasures.keep_suppressions(rows, place[0], quiet, objected_at(acting), acting.entry_id)
