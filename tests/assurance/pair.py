"""Two servers over one database, each a process of its own: what is said to one must hold at the other."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from time import monotonic

import httpx2

from tests.assurance.alone import alone
from tests.assurance.driving import Outside, agreed
from tests.assurance.house import CONTROLLER, House, free_port, settled
from vault.connectors.demo_issuer import run_demo_issuer
from vault.settings import Settings, environment_with

GROUND: Mapping[str, str] = {"given_name": "Giulia", "email": "giulia.bianchi@example.it", "preferred_language": "it"}
FIELDS = "email,preferred_language"
MARKETING = {"Vault_Purpose": "marketing", "Vault_Channel": "api"}


@dataclass(frozen=True, slots=True)
class Read:
    """One read of a profile: when it was sent, when it was answered, and how."""

    begun: float
    ended: float
    status: int


@dataclass(frozen=True, slots=True)
class Pair:
    """Callers before the first and before the second of two servers."""

    first: Outside
    second: Outside

    def enrol(self) -> tuple[str, str]:
        """Enrol somebody at the first server; return their id and that of their consent to marketing."""
        body = {"fields": GROUND, "agreements": [agreed(one, channel="phone") for one in ("retail", "marketing")]}
        made = self.first.call(201, "POST", "/v1/subjects", "system", body)
        return made["subject_id"], made["agreements"][1]

    def withdraw(self, subject_id: str, agreement_id: str) -> tuple[float, float]:
        """Withdraw at the first server, as the person; return when it was sent and when it was answered."""
        headers = self.first.headers("customer", subject_id)
        sent = monotonic()
        self.first.send(200, "POST", f"/v1/agreements/{agreement_id}/withdrawal", headers, json={"method": "portal"})
        return sent, monotonic()

    def reading(self, subject_id: str) -> "Reading":
        """Return somebody who reads the person for marketing at the second server."""
        path = f"/v1/subjects/{subject_id}/profile?fields={FIELDS}"
        return Reading(self.second.http, path, self.second.headers("system", **MARKETING))


@dataclass(slots=True)
class Reading:
    """Reads one profile, once or over and over in a thread of its own; every read is kept in order."""

    http: httpx2.Client
    path: str
    headers: Mapping[str, str]
    reads: list[Read] = field(default_factory=list)
    _stop: Event = field(default_factory=Event)

    def once(self) -> int:
        """Read and return the status."""
        begun = monotonic()
        status = self.http.get(self.path, headers=self.headers).status_code
        self.reads.append(Read(begun, monotonic(), status))
        return status

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Read without a pause until the block ends."""
        thread = Thread(target=self._go_on)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _go_on(self) -> None:
        while not self._stop.is_set():
            self.once()


@contextmanager
def two_servers() -> Iterator[Pair]:
    """Start them, and end them with the block."""
    with ExitStack() as closing:
        own = closing.enter_context(alone())
        (own.home / "out").mkdir()
        issuer = closing.enter_context(run_demo_issuer(own.home / "issuer", "riserbo"))
        settings = Settings(home=own.home, token_issuer=issuer.issuer, jwks_url=issuer.jwks_url, unbound_systems=True)
        secrets = settled(settings, own, issuer)
        environment = environment_with(settings.model_copy(update={"database_url": own.url}))
        callers = []
        for name in ("first", "second"):
            port = free_port()
            http = closing.enter_context(httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=20))
            house = House(own, Outside(http, issuer, CONTROLLER), port, environment, secrets)
            closing.enter_context(house.running(name, "serve", "--port", str(port)))
            house.await_ready()
            callers.append(house.outside)
        yield Pair(*callers)
