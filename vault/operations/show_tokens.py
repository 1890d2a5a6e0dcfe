"""Tokens in the place of values: a handle one recipient can join on and another cannot, resolved only by a recorded disclosure.

A token is a function of its place, so it can be shown again without being kept; its row is inserted when it is first shown.
"""

from collections.abc import Sequence

from vault.assembly import Vault
from vault.keys import records, tokens
from vault.operations.disclosure import Case


def token_text(vault: Vault, case: Case, field: str) -> str:
    """Return the `tok_…` of this field for the caller's recipient."""
    secret = vault.keys.secret(case.ask.context.controller_id, "token")
    return tokens.token_text(secret.key, case.ask.subject_id, field, case.caller.recipient, _serial(case, field))


def shows_token(case: Case) -> bool:
    """Return whether any field of this case is answered by a token."""
    return bool(_shown(case))


def remember_tokens(vault: Vault, controller_id: str, cases: Sequence[Case]) -> None:
    """Keep the rows of tokens shown for the first time; nothing is sent when there are none."""
    fresh = [(case, name) for case in cases for name in _shown(case) if not _is_live(case, name)]
    if not fresh:
        return
    secret = vault.keys.secret(controller_id, "token")
    with vault.database.transaction(controller_id) as transaction:
        for case, name in fresh:
            token_id = tokens.token_id(secret.key, token_text(vault, case, name))
            place = (case.ask.subject_id, name, case.caller.recipient, case.decision.agreement_of(name) or "", _serial(case, name))
            records.keep_token(transaction, controller_id, records.TokenRow(token_id, *place, expires_at=None))


def _shown(case: Case) -> list[str]:
    if case.decision.hidden or case.decision.restricted:
        return []
    return [name for name, level in case.decision.levels.items() if level == "token" and name in case.present]


def _is_live(case: Case, field: str) -> bool:
    serial, ends_at = case.person.tokens.get((field, case.caller.recipient), (0, None))
    return serial > 0 and (ends_at is None or ends_at > case.at)


def _serial(case: Case, field: str) -> int:
    """Return the live token's serial, or the next: when its agreement ended, a handle is never shown again."""
    serial, _ = case.person.tokens.get((field, case.caller.recipient), (0, None))
    return serial if _is_live(case, field) else serial + 1
