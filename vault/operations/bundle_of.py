"""The bundle a decision was made by. It is kept as long as the entries that name it; this installation keeps the active one."""

from vault.assembly import Vault
from vault.errors import Conflict
from vault.policy.engine import Policy


def bundle_of(vault: Vault, digest: str) -> Policy:
    """Return the policy of a digest (`sha256:…`), ready to decide. Raises Conflict `bundle-not-kept` for any but the active one."""
    if digest != vault.policy.digest:
        raise Conflict("bundle-not-kept")
    return vault.policy
