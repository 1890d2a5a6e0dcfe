"""Show the terms of a template as an ODRL policy. They concern nobody in particular, so nothing is recorded."""

from vault.agreements.odrl import odrl_policy
from vault.assembly import Vault
from vault.errors import NotFound


def show_terms(vault: Vault, template: str, version: int) -> bytes:
    """Return one line of JSON-LD. Raises NotFound for a template that is not in the bundle."""
    wording = vault.wordings.get(f"{template}@{version}")
    if wording is None:
        raise NotFound("template-not-found")
    return odrl_policy(vault.settings.host, wording)
