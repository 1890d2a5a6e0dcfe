"""The application over the shared vault, with the tests' own token issuer."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from tests.api.desk import Desk
from tests.api.issuer import Held, published
from tests.makers import EVERYTHING, make_subject, make_ticket, register

SHORT_S = 0.0005  # refusals wait for no clock here: how long they take is a drill's to ask
SHARED = ("customer_number", "given_name", "family_name", "email", "mobile", "iban", "tax_code")


@pytest.fixture(scope="session")
def client(opened: Any) -> Iterator[TestClient]:
    """The application, with its lanes running."""
    app = create_app(opened.vault, opened.health, Held((published("ES256"),)), slot_s=SHORT_S)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def desk(client: TestClient, opened: Any) -> Desk:
    """A helpdesk with its agents. One controller serves all of these tests: each has pools of its own, and they add up."""
    controller_id = opened.vault.new_id("ctl")
    opened.add_controller(controller_id)
    register(opened.vault, controller_id, "t1", "t2", "dpo", "system")
    return Desk(client, opened.vault, controller_id)


@pytest.fixture(scope="session")
def customer(desk: Desk) -> str:
    """Somebody with a retail contract and an open ticket of the first tier. Tests read them and change nothing."""
    made = make_subject(desk.vault, desk.controller_id, {name: EVERYTHING[name] for name in SHARED})
    make_ticket(desk.vault, desk.controller_id, made.subject_id, "t1")
    return made.subject_id
