"""The bundle a decision was made by. It is kept as long as the entries that name it, whatever came into force since."""

from functools import lru_cache

import structlog

from vault.assembly import Vault
from vault.errors import Conflict, Unreadable
from vault.policy import records as policies
from vault.policy.bundle import kept_bundle
from vault.policy.engine import Policy

READY = 4  # old bundles kept ready to decide: who explains one decision explains others of its day
log = structlog.get_logger()


def bundle_of(vault: Vault, controller_id: str, digest: str) -> Policy:
    """Return the policy of a digest (`sha256:…`), ready to decide.

    Raises Conflict `bundle-not-kept` for one this controller never had, Unreadable `bundle-altered` after an alarm for one that is
    no longer what it was.
    """
    if digest == vault.policy.digest:
        return vault.policy
    with vault.database.snapshot(controller_id) as rows:
        archive = policies.kept_archive(rows, controller_id, digest)
    if archive is None:
        raise Conflict("bundle-not-kept")
    try:
        return _ready(archive, digest)
    except ValueError:
        log.error("unreadable", code="bundle-altered", controller_id=controller_id)
        raise Unreadable("bundle-altered") from None


@lru_cache(maxsize=READY)
def _ready(archive: bytes, digest: str) -> Policy:
    return Policy(kept_bundle(archive, digest), alarm=lambda code: log.error("policy_alarm", code=code))
