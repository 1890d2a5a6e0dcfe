"""When what a person wants corrected may take its place (GDPR 16): what was proposed, accepted, and not changed meanwhile. Pure.

How a person is reached or paid is what an impostor changes first. Whoever is reached there now is told before, and has a day to
object. Source: `rights.md` 5.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

import orjson

from vault.rights.kinds import REACHED

WAIT: Final = timedelta(hours=24)
EVIDENCE: Final = ("own-statement", "document-seen", "public-register", "issuer")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What was proposed. `replaces`: each field, and the version of the value it takes the place of, 0 for none.

    `told_at`: when whoever is reached by what is there now was told; `reachable`: there is such a contact; `by`: who asked, and who
    said that they told.
    """

    replaces: Mapping[str, int]
    asked_at: datetime
    reachable: bool
    told_at: datetime | None = None
    by: frozenset[str] = frozenset()

    @property
    def waits(self) -> bool:
        """Say whether it changes how the person is reached or paid."""
        return not REACHED.isdisjoint(self.replaces)

    @property
    def from_when(self) -> datetime | None:
        """Return from when it may be carried out; None while whoever has to be told was not."""
        if not self.waits:
            return self.asked_at
        since = self.told_at if self.reachable else self.asked_at
        return None if since is None else since + WAIT


def hindrance(proposal: Proposal, present: Mapping[str, int], at: datetime, by: str) -> str | None:
    """Return the code of what stands in the way of carrying a proposal out, if anything does. `present`: versions as they are.

    How a person is reached or paid is not changed by one of the staff alone: `by` neither asked for it nor said that they told.
    """
    since = proposal.from_when
    if any(present.get(name, 0) != version for name, version in proposal.replaces.items()):
        return "changed-since"
    if proposal.waits and by in proposal.by:
        return "same-person"
    if since is None:
        return "contact-not-told"
    return "contact-wait" if at < since else None


def digest(request_id: str, number: int, drafts: Mapping[str, bytes]) -> bytes:
    """Return the SHA-256 of a proposal, which is accepted by it: what is sealed, by class, of which request, the how manieth."""
    said = {"request_id": request_id, "number": number, "drafts": {name: one.hex() for name, one in sorted(drafts.items())}}
    return sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).digest()
