"""The application over the shared vault, in this process, with tokens of the demo issuer: what an attacker meets from outside."""

from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi.testclient import TestClient

from api.main import create_app
from tests.assurance.desk import Desk, Keys, register_identities
from tests.conftest import Controllers
from vault.connectors.demo_issuer import DemoIssuer
from vault.opening import Opened

SHORT_S = 0.0005  # refusals wait for no clock here: how long they take is a drill's to ask


@pytest.fixture(scope="session")
def issuer(opened: Opened) -> DemoIssuer:
    """The demo's issuer, with a key of its own; nothing is served, the guard is handed the key set."""
    settings = opened.vault.settings
    key = ec.generate_private_key(ec.SECP256R1())
    return DemoIssuer(str(settings.token_issuer), str(settings.jwks_url), settings.token_audience, key)


@pytest.fixture(scope="session")
def client(opened: Opened, issuer: DemoIssuer) -> Iterator[TestClient]:
    """The application, with its lanes running."""
    app = create_app(opened.vault, opened.health, keys=Keys(tuple(issuer.key_set()["keys"])), slot_s=SHORT_S)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def desks(opened: Opened, issuer: DemoIssuer, client: TestClient, controllers: Controllers) -> Callable[[], Desk]:
    """Make a controller of this test's own, with everybody on its register, and the desk that calls for it."""

    def make() -> Desk:
        controller_id = controllers()
        register_identities(opened.vault, controller_id)
        return Desk(client, issuer, opened, controller_id)

    return make


@pytest.fixture
def desk(desks: Callable[[], Desk]) -> Desk:
    """One desk."""
    return desks()


@pytest.fixture(scope="module")
def shared_desk(opened: Opened, issuer: DemoIssuer, client: TestClient, shared_controllers: Controllers) -> Desk:
    """The desk of a controller that the tests of one file share."""
    controller_id = shared_controllers()
    register_identities(opened.vault, controller_id)
    return Desk(client, issuer, opened, controller_id)
