"""A client of the vault's own API, for commands: who reads a profile shows token, purpose and ticket like everybody else."""

from dataclasses import dataclass
from typing import Any

import httpx2

from vault.errors import DatabaseUnavailable

PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Why:
    """The headers that say why: purpose, ticket and channel."""

    purpose: str
    ticket: str | None
    channel: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: status and JSON body."""

    status: int
    body: Any


def ask(base_url: str, method: str, path: str, token: str, why: Why, body: Any = None) -> Reply:
    """Call the API once. Raises DatabaseUnavailable (`vault-unreachable`) when nobody answers."""
    headers = {"Authorization": f"Bearer {token}", "Vault-Purpose": why.purpose, "Vault-Channel": why.channel}
    if why.ticket is not None:
        headers["Vault-Ticket"] = why.ticket
    try:
        with _client(base_url, PATIENCE_S) as client:
            answer = client.request(method, base_url + path, headers=headers, json=body)
            return Reply(answer.status_code, answer.json() if answer.content else None)
    except (httpx2.HTTPError, ValueError):
        raise DatabaseUnavailable("vault-unreachable") from None


def ask_profile(base_url: str, token: str, subject_id: str, fields: str | None, why: Why) -> Reply:
    """Fetch one masked profile."""
    query = "" if fields is None else f"?fields={fields}"
    return ask(base_url, "GET", f"/v1/subjects/{subject_id}/profile{query}", token, why)


def is_serving(base_url: str) -> bool:
    """Return whether the vault answers and says that it is ready."""
    try:
        with _client(base_url, 1.0) as client:
            return client.get(f"{base_url}/readyz").status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False


def _client(base_url: str, patience_s: float) -> httpx2.Client:
    """Return a client; certificates, which take long to load, are needed for https alone."""
    secure = base_url.startswith("https:")
    return httpx2.Client(timeout=patience_s, trust_env=False, follow_redirects=False, verify=secure)
