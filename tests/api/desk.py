"""A helpdesk for tests: calls the API over its own client, as whichever role is named."""

from dataclasses import dataclass
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from tests.api.issuer import payload, token
from tests.makers import CHANNELS, PURPOSES
from vault.assembly import Vault


@dataclass(frozen=True, slots=True)
class Desk:
    """Who calls whom: a client, the vault behind it and a controller."""

    client: TestClient
    vault: Vault
    controller_id: str

    def token(self, role: str, subject_id: str | None = None, **claims: Any) -> str:
        """Return a token of the role's caller, as `tests.makers` registers them."""
        now = int(self.vault.now().timestamp())
        who = subject_id if role == "customer" else f"{role}-1"
        client = who if role == "system" else "zammad"
        acr = {"acr": "https://www.spid.gov.it/SpidL3"} if role == "customer" else {}
        said = {"sub": who, "client_id": client, "roles": [role], "controller": self.controller_id, "team": "support", **acr}
        return token(claims=payload(iat=now, exp=now + 600, **(said | claims)))

    def headers(self, role: str, ticket: str | None = None, subject_id: str | None = None, **stated: str | None) -> dict[str, str]:
        """Return the headers of the role's own work; `stated` adds others, or takes away with None."""
        said: dict[str, str | None] = {
            "Authorization": f"Bearer {self.token(role, subject_id)}",
            "Vault-Purpose": PURPOSES[role],
            "Vault-Channel": CHANNELS.get(role, "phone"),
            "Vault-Ticket": ticket,
        }
        named = {name.replace("_", "-"): value for name, value in stated.items()}
        return {name: value for name, value in (said | named).items() if value is not None}

    def call(
        self, method: str, path: str, role: str, body: Any = None, ticket: str | None = None, **stated: Any
    ) -> httpx2.Response:
        """Call as a role."""
        return self.client.request(method, path, headers=self.headers(role, ticket, **stated), json=body)

    def profile(self, role: str, subject_id: str, ticket: str | None = "TCK-1", query: str = "", **stated: Any) -> httpx2.Response:
        """Read a profile as a role."""
        return self.call("GET", f"/v1/subjects/{subject_id}/profile{query}", role, ticket=ticket, **stated)
