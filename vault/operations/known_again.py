"""Whether whoever is to be taken in was erased before, or objected to marketing: asked by keyed hashes, under every version in use.

Who was erased does not come back by an old list: only an agreement evidenced after the erasure lifts their tombstones, and makes
somebody new of them. That they objected to marketing stays, whoever takes them in (GDPR 21(3)).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vault import tables
from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.erasure.records import Identifier
from vault.operations.burying import by_normaliser, stones, suppressions


@dataclass(frozen=True, slots=True)
class KnownAgain:
    """What is known of one newcomer: their tombstones, when they were last erased, when they last objected to marketing."""

    tombstones: Sequence[Identifier] = ()
    erased_at: datetime | None = None
    objected_at: datetime | None = None

    def mark(self, subject: dict[str, Any]) -> None:
        """Write into a person's row that they objected before."""
        if self.objected_at is not None:
            subject.update(objected_marketing=True, objected_at=self.objected_at)


NEVER_SEEN = KnownAgain()


def known_again(
    vault: Vault, rows: sa.Connection, controller_id: str, newcomers: Sequence[Mapping[str, Any]], at: datetime
) -> list[KnownAgain]:
    """Return what is known of each of these normalised values, in order."""
    buried = erasures.versions_in_use(rows, controller_id, tables.tombstone)
    quiet = erasures.versions_in_use(rows, controller_id, tables.suppression)
    if not buried and not quiet:
        return [NEVER_SEEN] * len(newcomers)
    texts = [by_normaliser(vault, controller_id, values) for values in newcomers]
    asked = [[one for version in buried for one in stones(vault, controller_id, ours[version[1]], *version)] for ours in texts]
    standing = erasures.tombstones(rows, controller_id, {one for ours in asked for one in ours}, at)
    objections = [
        [one for version in quiet for one in suppressions(vault, controller_id, ours[version[1]], *version)] for ours in texts
    ]
    silent = erasures.suppressions(rows, controller_id, {one for ours in objections for one in ours})
    return [_known(ours, theirs, standing, silent) for ours, theirs in zip(asked, objections, strict=True)]


def _known(
    asked: Sequence[Identifier], objections: Sequence[tuple[str, Identifier]],
    standing: Mapping[Identifier, datetime], silent: Mapping[tuple[str, Identifier], datetime],
) -> KnownAgain:  # fmt: skip
    found = [one for one in asked if one in standing]
    erased_at = max((standing[one] for one in found), default=None)
    return KnownAgain(found, erased_at, max((silent[one] for one in objections if one in silent), default=None))
