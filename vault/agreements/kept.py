"""Templates as people agreed to them: terms and texts kept beside the agreements, added once, never changed.

The files they come from are another day's files. Whoever must show what somebody agreed to (Art. 7(1)) finds it here: the SHA-256
of `document` is the digest an agreement names, that of a text the hash its evidence and its receipts name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from vault import tables
from vault.errors import Conflict

Versions = Mapping[tuple[str, int], bytes]  # (template, version) -> digest

_KNOWN = sa.select(tables.template.c.template_id, tables.template.c.template_version, tables.template.c.digest).where(
    tables.template.c.controller_id == sa.bindparam("controller_id")
)
_KEEP = insert(tables.template).on_conflict_do_nothing()
_KEEP_TEXT = insert(tables.template_text).on_conflict_do_nothing()


@dataclass(frozen=True, slots=True)
class WrittenOut:
    """One template in full: `document` is the RFC 8785 form its digest is of; `texts` by language, with their SHA-256."""

    template_id: str
    version: int
    digest: bytes
    document: bytes
    texts: Mapping[str, tuple[bytes, bytes]]


def unkept(rows: sa.Connection, controller_id: str, wanted: Versions) -> list[tuple[str, int]]:
    """Return which of these are not kept yet, ascending. Raises Conflict (`template-changed`) where one is kept in other words."""
    known = {(row.template_id, row.template_version): row.digest for row in rows.execute(_KNOWN, {"controller_id": controller_id})}
    if any(known.get(one, digest) != digest for one, digest in wanted.items()):
        raise Conflict("template-changed")
    return sorted(wanted.keys() - known.keys())


def keep(rows: sa.Connection, controller_id: str, one: WrittenOut, at: datetime) -> None:
    """Keep a template; where somebody was faster, theirs stays."""
    place: dict[str, Any] = {"controller_id": controller_id, "template_id": one.template_id, "template_version": one.version}
    rows.execute(_KEEP, {**place, "digest": one.digest, "document": one.document, "kept_at": at})
    for language, (digest, text) in sorted(one.texts.items()):
        rows.execute(_KEEP_TEXT, {**place, "language": language, "sha256": digest, "text": text})
