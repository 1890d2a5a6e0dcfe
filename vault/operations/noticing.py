"""That a person was given a notice (GDPR 13, 14): what was stated of it, and its row. Shared by who enrols and who serves."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from vault import notices, sources
from vault.assembly import Vault
from vault.errors import Fault, InvalidValue
from vault.notices import ServedRow
from vault.operations.acting import Acting
from vault.operations.facts import is_self
from vault.policy.model import Channel
from vault.policy.notices import Notice, newest

_AHEAD: Final = timedelta(minutes=5)  # between two clocks


@dataclass(frozen=True, slots=True)
class Given:
    """Which notice somebody was given. `version`: None for the newest; `channel`: where a system says it; `given_at`: not now."""

    notice: str
    version: int | None
    language: str
    channel: Channel | None = None
    given_at: datetime | None = None


def told(vault: Vault, given: Given, at: datetime, pointer: str = "") -> Notice:
    """Return the notice this names. Raises InvalidValue: there is none, or it was given in the future."""
    found = newest(vault.policy.notices, given.notice, given.version)
    faults = []
    if found is None:
        faults.append(Fault(f"{pointer}/notice", "notice.unknown"))
    elif given.language not in found.texts:
        faults.append(Fault(f"{pointer}/language", "language.unknown"))
    if given.given_at is not None and given.given_at > at + _AHEAD:
        faults.append(Fault(f"{pointer}/given_at", "instant.ahead"))
    if found is None or faults:
        raise InvalidValue(faults=faults)
    return found


def said_of(notice: Notice, given: Given) -> dict[str, str]:
    """Return what the entry says, which the person may see."""
    return {"notice": notice.reference, "language": given.language}


def keep_served(vault: Vault, rows: sa.Connection, acting: Acting, subject_id: str, notice: Notice, given: Given) -> ServedRow:
    """Keep that somebody was given a notice, in the transaction of the act. Raises Conflict `notice-changed`."""
    context = acting.context
    # a system that speaks over `api` says where the person was given it
    channel = given.channel if given.channel is not None and context.channel == "api" else context.channel
    role = (
        "customer" if is_self(context, subject_id, acting.person) else ",".join(sorted(acting.caller.roles)) or context.caller.kind
    )
    row = ServedRow(
        subject_id, acting.entry_id, notice.name, notice.version, given.language, notice.texts[given.language], channel,
        min(given.given_at or acting.at, acting.at), acting.at, context.caller.id, role,
    )  # fmt: skip
    if 14 in notice.articles:
        sources.told(rows, context.controller_id, subject_id, row.given_at, acting.entry_id)
    notices.keep(rows, context.controller_id, row, vault.policy.bundle.files[notice.path(given.language)])
    return row
