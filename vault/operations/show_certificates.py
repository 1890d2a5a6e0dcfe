"""Show officers the certificates of erasures: a list by ids, and one as the signed note it is (GDPR 5(2), 17)."""

from typing import Any, Final

from vault.assembly import Vault
from vault.erasure import records as erasures
from vault.errors import NotFound
from vault.operations.acting import prepare, record, refuse, require_permission
from vault.policy.model import Context

VERB: Final = "show_certificate"


def show_certificates(vault: Vault, context: Context, *, skip: int = 0) -> tuple[list[dict[str, Any]], bool, str]:
    """Return a page of certificates, the newest first, whether there are more, and the entry. Raises AccessDenied."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        found = erasures.certificates(rows, context.controller_id, skip)
    page = found[: erasures.PAGE]
    record(vault, acting, count=len(page), details={"result": "listed"})
    told = [{**one, "issued_at": one["issued_at"].isoformat(), "request_id": one["request_id"] or None} for one in page]
    return told, len(found) > erasures.PAGE, acting.entry_id


def show_certificate(vault: Vault, context: Context, certificate_id: str) -> tuple[bytes, str]:
    """Return one certificate, a signed note, and the entry. Raises AccessDenied, NotFound."""
    acting = prepare(vault, VERB, context)
    require_permission(vault, acting)
    with vault.database.snapshot(context.controller_id) as rows:
        note = erasures.certificate(rows, context.controller_id, certificate_id)
    if note is None:
        raise refuse(vault, acting, NotFound())
    record(vault, acting, count=1, details={"result": "shown"}, internal={"certificate": certificate_id})
    return note, acting.entry_id
