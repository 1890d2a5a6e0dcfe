"""Show what carrying a request out would come to, before it is accepted: of an erasure what goes, what stays, and by what law.

It opens nothing. What is accepted is this plan, by its digest, and no other.
"""

from vault.assembly import Vault
from vault.errors import Conflict
from vault.operations.acting import refuse
from vault.operations.erase import Planned, plan_erasure
from vault.operations.move_request import required_request
from vault.policy.model import Context


def plan_request(vault: Vault, context: Context, request_id: str) -> Planned:
    """Return the plan of an erasure. Raises NotFound, AccessDenied, Erased, Conflict `not-an-erasure` for another kind."""
    acting, row = required_request(vault, context, "show_request", request_id)
    if row.kind != "erasure":
        raise refuse(vault, acting, Conflict("not-an-erasure"))
    return plan_erasure(vault, context, row.subject_id)
