"""Housekeeping of stored answers: one whose day is over answers nobody, and goes. Nothing of a person is in it but their id."""

from vault import answers
from vault.assembly import Vault

BATCH = 5_000


def clear_answers(vault: Vault, controller_id: str) -> int:
    """Delete every stored answer whose day is over, 5,000 a transaction; return how many. Raises DatabaseUnavailable."""
    cleared = 0
    while True:
        with vault.database.transaction(controller_id) as rows:
            gone = answers.clear(rows, controller_id, vault.now(), BATCH)
        cleared += gone
        if gone < BATCH:
            return cleared
