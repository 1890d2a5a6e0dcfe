"""Everything that can go wrong, drawn.

VaultError
├── Refused       AccessDenied  NotFound  Restricted  Erased  Held  TooMany
├── Unfit         ContextIncomplete  InvalidValue  Conflict  Stale
├── Unavailable   AuditUnavailable  KeysUnavailable  DatabaseUnavailable  PolicyUnavailable  LedgerUnavailable
└── Unreadable    a tag, key or place does not match

Leaves carry a code and ids, never a status, a value that was sent, or a value that was kept. `api/problems.py` maps each
leaf to its RFC 9457 document.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with what was sent: `pointer` says where (RFC 6901, or a header's name), `code` says what."""

    pointer: str
    code: str


class VaultError(Exception):
    """The root. `code` is the slug of the problem document; `faults` say what and where, never the value."""

    code = "internal"

    def __init__(
        self,
        code: str | None = None,
        *,
        faults: Sequence[Fault] = (),
        decision_id: str | None = None,
        entry_id: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.code = code or type(self).code
        self.faults = tuple(faults)
        self.decision_id = decision_id
        self.entry_id = entry_id
        self.retry_after_s = retry_after_s
        super().__init__(self.code)


class Refused(VaultError):
    """The vault could, and will not."""


class AccessDenied(Refused):
    """This caller may not do this here; recorded."""

    code = "access-denied"


class NotFound(Refused):
    """Nothing this caller may know of: unknown, foreign and forbidden look alike."""

    code = "not-found"


class Restricted(Refused):
    """Processing is restricted (GDPR Art. 18)."""

    code = "restricted"


class Erased(Refused):
    """The data are gone, and stay gone."""

    code = "erased"


class Held(Refused):
    """A legal hold keeps what was to be destroyed."""

    code = "held"


class TooMany(Refused):
    """A budget is spent; `retry_after_s` says when it refills."""

    code = "too-many"


class Unfit(VaultError):
    """What was sent cannot be taken; nothing was changed."""


class ContextIncomplete(Unfit):
    """The call does not say who, why, or where."""

    code = "context-incomplete"


class InvalidValue(Unfit):
    """A value fails its type's rule; `faults` name pointer and code."""

    code = "invalid-value"


class Conflict(Unfit):
    """The state does not allow it: the thing exists, or is no longer what it was."""

    code = "conflict"


class Stale(Unfit):
    """Changed since it was read; read again (`If-Match`)."""

    code = "stale"


class Unavailable(VaultError):
    """A part the vault cannot work without does not answer; nothing was shown. Try again."""


class AuditUnavailable(Unavailable):
    """The audit trail cannot take the entry, so nothing is opened."""

    code = "audit-unavailable"


class KeysUnavailable(Unavailable):
    """The key service does not answer, so nothing can be sealed or opened."""

    code = "keys-unavailable"


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""

    code = "database-unavailable"


class PolicyUnavailable(Unavailable):
    """Which policy is in force is not certain, so nothing is decided by any."""

    code = "policy-unavailable"


class LedgerUnavailable(Unavailable):
    """The erasure ledger cannot take a line or cannot be trusted, or the database went back behind it: nothing is destroyed."""

    code = "ledger-unavailable"


class Unreadable(VaultError):
    """A tag, key or place does not match. Which step failed is never told; an alarm goes out with ids."""

    code = "unreadable"
