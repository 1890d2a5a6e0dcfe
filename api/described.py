"""What the OpenAPI document says beyond what the code's types say: context headers, problems, marks on personal data."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from api.context import CHANNEL, PURPOSE, RELATIONSHIP, STATION, TICKET
from api.problems import FRAMEWORK, MEDIA_TYPE, PRECONDITION_REQUIRED, TABLE, UNAUTHENTICATED
from api.shapes import SUBJECT_ID
from vault.policy.model import CHANNELS

API_VERSION = "1"
GUARDED = ("/v1/", "/access/v1/", "/audit/{controller_id}/{era}/tile/")  # paths that ask for a token

_TITLES: Mapping[int, str] = {
    **{kind.status: kind.title for kind in TABLE.values()},
    **{status: kind.title for status, (_, kind) in FRAMEWORK.items()},
    UNAUTHENTICATED.status: UNAUTHENTICATED.title,
    PRECONDITION_REQUIRED.status: PRECONDITION_REQUIRED.title,
    409: "Conflict",
    500: "Internal error",
    503: "Unavailable",
}
_EVERYWHERE = (400, 401, 404, 405, 500, 503)
_WITH_A_BODY = (413, 415, 422)


class FaultOut(BaseModel):
    """Where it is wrong (RFC 6901, or a header's name) and what, as a code. Never the value."""

    pointer: str
    code: str


class ProblemOut(BaseModel):
    """An error (RFC 9457). `instance` is the request id."""

    type: str = Field(description="https://riserbo.dev/problems/<code>")
    title: str
    status: int
    detail: str
    instance: str
    decision_id: str | None = None
    entry_id: str | None = None
    errors: list[FaultOut] | None = None


def _header(name: str, description: str, *, required: bool, values: tuple[str, ...] = ()) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"} | ({"enum": list(values)} if values else {})
    return {"name": name, "in": "header", "required": required, "description": description, "schema": schema}


CONTEXT: tuple[dict[str, Any], ...] = (
    _header(PURPOSE, "why: an id of the policy's closed list", required=True),
    _header(CHANNEL, "where the conversation with the customer runs", required=True, values=CHANNELS),
    _header(TICKET, "the case; customers, systems and officers may leave it out", required=False),
    _header("Prefer", "`audit-receipt`: with the answer a signed promise, as `Audit-Receipt` (docs/trail.md)", required=False),
    _header(STATION, "the workstation: a bank's staff must say it", required=False),
    _header(RELATIONSHIP, "the kind of relationship, such as current-account: a bank's staff must say it", required=False),
)
IDEMPOTENCY = _header(
    "Idempotency-Key", "a name for this request, 24 hours: repeated, it is answered again and not done again", required=False
)
SUBJECT = {
    "name": "subject_id",
    "in": "path",
    "required": True,
    "description": "sub_ and 26 characters: random, never derived from data",
    "schema": {"type": "string", "pattern": SUBJECT_ID.pattern},
}
FIELDS = {
    "name": "fields",
    "in": "query",
    "required": False,
    "description": "names with commas; without: the role's default set",
    "schema": {"type": "string", "maxLength": 4_096},
}
IF_MATCH = _header("If-Match", "the ETag that was read", required=True)


def headers(*parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what a route adds to its description: the context, and further headers."""
    return {"parameters": [*CONTEXT, *parameters]}


def answers(
    model: type[BaseModel], description: str, *statuses: int, status: int = 200, body: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return a route's answers: one that succeeds, and its problems besides those of every route."""
    problems = sorted({*_EVERYWHERE, *(_WITH_A_BODY if body else ()), *statuses})
    return {status: {"model": model, "description": description}, **{one: {"description": _TITLES[one]} for one in problems}}


def documents(description: str, *media_types: str, statuses: tuple[int, ...] = ()) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route that hands out a document of a published form, and its problems."""
    content = {one: {"schema": _document_schema(one)} for one in media_types}
    problems: dict[int | str, dict[str, Any]] = {one: {"description": _TITLES[one]} for one in sorted({*_EVERYWHERE, *statuses})}
    return {200: {"description": description, "content": content}, **problems}


def _document_schema(media_type: str) -> dict[str, str]:
    if media_type in ("application/octet-stream", "application/zip"):
        return {"type": "string", "format": "binary"}
    return {"type": "string" if media_type.startswith("text/") else "object"}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: problems in their media type, the bearer token, nothing the framework made up."""
    described = get_openapi(
        title=app.title,
        version=app.version,
        routes=app.routes,
        description="JSON over HTTP. No personal data in a URL, a header, a log line or an error.",
    )
    schemas = described["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= _problem_schemas()
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "at+jwt"}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            if path.startswith(GUARDED):
                operation["security"] = [{"token": []}]
            _problems_only(operation["responses"])
    return described


def declared_members(app: FastAPI) -> frozenset[str]:
    """Return every name of a member or parameter this API declares: what a pointer may repeat."""
    described = document(app)
    members = {name for schema in described["components"]["schemas"].values() for name in schema.get("properties", {})}
    parameters = {one["name"] for path in described["paths"].values() for of in path.values() for one in of.get("parameters", [])}
    return frozenset(members | parameters)


def _problems_only(responses: dict[str, Any]) -> None:
    """Say of each refusal that it is a problem, and drop the framework's 422, which is never sent."""
    for status, response in list(responses.items()):
        if "HTTPValidationError" in str(response):
            del responses[status]
        elif int(status) >= 400 and "content" not in response:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}


def _problem_schemas() -> dict[str, Any]:
    schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "ProblemOut": schema}
