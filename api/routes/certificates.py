"""Erasures before and after: the plan that is accepted, and the certificates. The officers'."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from api.call import call_of
from api.context import AccessContext, Guarded, RunningVault
from api.described import answers, documents, headers
from api.routes.agreements import NOTE
from api.routes.requests import RequestId, Skip
from vault.operations.plan_request import plan_request
from vault.operations.show_certificates import show_certificate, show_certificates

router = APIRouter(prefix="/v1", tags=["certificates"], route_class=Guarded)

CertificateId = Annotated[str, Path(pattern="^crt_[a-z2-7]{26}$", description="crt_ and 26 characters")]


class CertificateOut(BaseModel):
    """One certificate. `live`: nothing opens any more here; `final`: nothing that lies anywhere does."""

    certificate_id: str
    stage: Literal["live", "final"]
    subject_id: str
    request_id: str | None
    issued_at: str


class LeavingOut(BaseModel):
    """What goes of one category: names of fields, how many values, by what, ids of data keys that are destroyed."""

    category: str
    fields: list[str]
    values: int
    method: list[str]
    data_keys: list[str]


class StayingOut(BaseModel):
    """What a duty keeps of one category, by what law and until when; null where no day is known."""

    category: str
    fields: list[str]
    code: str
    law: list[str]
    agreement_id: str
    until: str | None


class PlanOut(BaseModel):
    """What an erasure would come to. `digest`: `plan` of whoever accepts it."""

    digest: str
    outcome: Literal["complete", "partial", "nothing-held"]
    state: Literal["erased-live", "archived"]
    erased: list[LeavingOut]
    archived: list[StayingOut]
    entry_id: str


class CertificatesOut(BaseModel):
    """Certificates, and whether there are more."""

    certificates: list[CertificateOut]
    more: bool
    entry_id: str


@router.get(
    "/requests/{request_id}/plan",
    operation_id="readPlan",
    responses=answers(PlanOut, "What the erasure would come to.", 403, 409, 410),
    openapi_extra=headers(),
)
def read_plan(request_id: RequestId, context: AccessContext, vault: RunningVault, request: Request, response: Response) -> PlanOut:
    """Read what carrying an erasure out would come to, as of now; nothing is opened."""
    planned = plan_request(vault, context, request_id)
    call_of(request).entry_id = response.headers["Vault-Entry"] = planned.entry_id
    response.headers["Cache-Control"] = "no-store"
    return PlanOut.model_validate({**planned.account, "digest": planned.digest, "entry_id": planned.entry_id})


@router.get(
    "/certificates", operation_id="listCertificates", responses=answers(CertificatesOut, "A page.", 403), openapi_extra=headers()
)
def list_certificates(
    context: AccessContext, vault: RunningVault, request: Request, response: Response, skip: Skip = 0
) -> CertificatesOut:
    """List the certificates of erasures, the newest first."""
    found, more, entry_id = show_certificates(vault, context, skip=skip)
    call_of(request).entry_id = response.headers["Vault-Entry"] = entry_id
    response.headers["Cache-Control"] = "no-store"
    return CertificatesOut.model_validate({"certificates": found, "more": more, "entry_id": entry_id})


@router.get(
    "/certificates/{certificate_id}",
    operation_id="readCertificate",
    response_class=Response,
    responses=documents("The certificate: one line of RFC 8785 JSON, signed.", NOTE, statuses=(403,)),
    openapi_extra=headers(),
)
def read_certificate(certificate_id: CertificateId, context: AccessContext, vault: RunningVault, request: Request) -> Response:
    """Read one certificate, to be kept and checked with the public key alone."""
    note, entry_id = show_certificate(vault, context, certificate_id)
    call_of(request).entry_id = entry_id
    return Response(note, headers={"Vault-Entry": entry_id, "Cache-Control": "no-store"}, media_type=NOTE)
