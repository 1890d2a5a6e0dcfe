"""`riserbo demo`: the main job from an empty directory, on the embedded server, with invented people.

Everything is real: PostgreSQL, keys, policies, the audit trail, tokens, HTTP. Only the token issuer exists for the demo alone.
"""

import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from vault.commands.data import import_document
from vault.commands.running import until_stopped
from vault.commands.say import AsJson, people, said
from vault.connectors.demo_issuer import COLLEAGUE, EVERYBODY, IDENTITIES, ISSUER, DemoIssuer, demo_home, run_demo_issuer
from vault.connectors.policy_keys import make_key
from vault.connectors.vault_client import Reply, Why, ask, ask_profile, is_serving
from vault.errors import Conflict, DatabaseUnavailable, Fault, VaultError
from vault.opening import Opened, assembled, draw_seed, new_id, now, open_keyring, reach_database
from vault.operations.callers import Registration, register_caller
from vault.operations.import_subjects import run_import
from vault.operations.show_entry import show_entry
from vault.settings import Settings, environment_with, read_settings

CONTROLLER = "demo"
CUSTOMER = "C0000001"
# Each role's own ticket, and its topic: an open one of topic `care` is a care relation.
TICKETS = {"t1": "TCK-1", "t2": "TCK-2", "billing": "TCK-3", "medical": "TCK-4"}
TOPICS = {"medical": "care"}
RIGHTS = "rights-fulfilment"
SEES_NOTHING = ("dpo", "operator")
STARTING_S = 30.0
DECIDERS = {"policy": "ada", "dpo": "cora"}


@dataclass(frozen=True, slots=True)
class _Stage:
    """What the demo plays on."""

    opened: Opened
    issuer: DemoIssuer
    url: str
    home: Path
    settings: Settings

    def token(self, role: str, subject_id: str | None = None) -> str:
        return self.issuer.sign(role, CONTROLLER, now(), new_id("jti"), subject_id)


def demo(
    once: Annotated[bool, typer.Option("--once", help="Do the main job once, check the trail, and end.")] = False,
    port: Annotated[int, typer.Option(help="Port to serve on; 0 takes a free one.")] = 8000,
    as_json: AsJson = False,
) -> None:
    """Set everything up, import invented customers, read one masked profile as an agent, and verify the audit trail."""
    with said(as_json=as_json), _stage(_free_port(0 if once else port)) as stage:
        imported = _import(stage)
        subject_id = _customer(stage)
        reply = ask_profile(stage.url, stage.token("t1"), subject_id, None, Why("customer-care", TICKETS["t1"], "phone"))
        people.print(f"\n[bold]A first-tier agent asks for a profile[/bold]: {reply.status}")
        _show(reply.body, as_json=as_json)
        stage.opened.trail.settle(CONTROLLER)
        entry = _entry(stage, reply)
        people.print("\n[bold]The entry that recorded it[/bold], committed before anything was opened:")
        _show(entry, as_json=as_json)
        verified = stage.opened.verify(CONTROLLER)
        people.print(f"\n[bold]The audit trail[/bold]: {'verified' if verified.ok else 'NOT verified'}, {verified.size} entries")
        if as_json:
            document = {
                "profile": reply.body,
                "entry": entry,
                "verified": verified.ok,
                "entries": verified.size,
                "import": imported,
            }
            typer.echo(orjson.dumps(document).decode())
        if reply.status != 200 or not verified.ok:
            raise typer.Exit(1)
        if not once:
            with _beside(stage.settings, "worker"):  # makes exports, tells recipients, keeps time
                _invite(stage, subject_id)
                until_stopped()


@contextmanager
def _stage(port: int) -> Iterator[_Stage]:
    """Start database, issuer and server, in a home of the demo's own. Raises Conflict for an older version's."""
    home = demo_home(read_settings().home)
    people.print(f"Everything lives in {home}.")
    settings = read_settings(home=home, unbound_systems=True)
    with reach_database(settings) as addresses:
        settings = settings.model_copy(update={"database_url": addresses.url})
        keyring = open_keyring(read_settings(home=home))
        with assembled(settings, addresses, keyring) as opened:
            _require_ours(opened, home)
            with run_demo_issuer(home / ISSUER, settings.token_audience) as issuer:
                known = {"token_issuer": issuer.issuer, "jwks_url": issuer.jwks_url}
                served = settings.model_copy(update=known)
                with _server(served, port) as url:
                    with suppress(Conflict):  # it is there at a second run
                        opened.add_controller(CONTROLLER)
                    _describe(settings)
                    _decide(settings)
                    _register(opened)
                    _await(url)
                    yield _Stage(opened, issuer, url, home, served)


def _require_ours(opened: Opened, home: Path) -> None:
    """Expect a new demo, or one this version can decide for. Raises Conflict; neither keys nor lists were written before."""
    if CONTROLLER in opened.vault.database.controllers():
        ok, code = opened.standing.state(CONTROLLER)
        if not ok:
            advice = f"this demo was made by an older version ({code}): delete it, or set RISERBO_HOME to another directory"
            raise Conflict("demo-of-another-version", faults=[Fault(str(home), advice)])


@contextmanager
def _server(settings: Settings, port: int) -> Iterator[str]:
    """Serve the API in a process of its own, as in production, until the block ends."""
    with _beside(settings, "serve", "--port", str(port)):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _beside(settings: Settings, *command: str) -> Iterator[None]:
    """Run one of our commands in a process of its own until the block ends."""
    arguments = [sys.executable, "-m", "vault", *command]
    process = subprocess.Popen(arguments, env=environment_with(settings), stdout=sys.stderr)  # noqa: S603 - our own command
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:  # a job that takes long: what is half made is made anew
            process.kill()
            process.wait()


def _describe(settings: Settings) -> None:
    """Say who the demo's company is, invented like its customers: receipts name it."""
    settings.publishers.mkdir(exist_ok=True)
    (settings.publishers / f"{CONTROLLER}.json").write_bytes((_samples() / "controller.json").read_bytes())


def _decide(settings: Settings) -> None:
    """Make keys of two invented people who decide policy, so that signing and activating can be tried."""
    if not settings.approvers.exists():
        lines = []
        for group, person in DECIDERS.items():
            key = make_key(settings.home / f"{person}.key", f"demo/{person}", draw_seed())
            lines.append(f"{group} {person} {key.text}\n")
        settings.approvers.write_text("".join(lines))


def _samples() -> Path:
    return Path(str(resources.files("samples")))


def _register(opened: Opened) -> None:
    for one in EVERYBODY.values():
        if one.caller_id:
            registration = Registration(one.caller_id, one.roles, one.team, one.training, one.recipient)
            register_caller(opened.vault.governed(CONTROLLER), CONTROLLER, registration)


def _await(url: str) -> None:
    """Wait until the server is ready. Raises DatabaseUnavailable when it is not within half a minute."""
    ends_at = time.monotonic() + STARTING_S
    while not is_serving(url):
        if time.monotonic() > ends_at:
            raise DatabaseUnavailable("vault-unreachable")
        time.sleep(0.1)


def _import(stage: _Stage) -> dict[str, Any]:
    samples = _samples()
    result = run_import(
        stage.opened.vault.governed(CONTROLLER), CONTROLLER, samples / "crm_it.csv", samples / "crm_it.mapping.yaml"
    )
    people.print(
        f"\n[bold]Imported[/bold]: {result.accepted} customers ({result.unchanged} unchanged), {result.refused} lines refused."
    )
    return import_document(result)


def _customer(stage: _Stage) -> str:
    """Find the demo's customer as an agent would, and let the helpdesk say whose tickets about them are whose."""
    why, wanted = Why("customer-care", TICKETS["t1"], "phone"), {"by": "customer_number", "value": CUSTOMER}
    found = ask(stage.url, "POST", "/v1/subjects:search", stage.token("t1"), why, wanted)
    subject_id = str(_expect(found)["matches"][0]["subject_id"])
    for role, ticket_id in TICKETS.items():
        who = IDENTITIES[role]
        stated = {"subject_id": subject_id, "state": "open", "assignee": who.caller_id, "team": who.team, "topic": TOPICS.get(role)}
        ticket = {name: one for name, one in stated.items() if one is not None}
        _expect(ask(stage.url, "PUT", f"/v1/tickets/{ticket_id}", stage.token("system"), Why("customer-care", None, "api"), ticket))
    _request(stage, subject_id)
    return subject_id


def _request(stage: _Stage, subject_id: str) -> None:
    """Let the customer ask what is held about them, and the request officer accept it: by that they see it. Once."""
    own, officer = (stage.token("customer", subject_id), Why(RIGHTS, None, "portal")), Why(RIGHTS, None, "api")
    asked = _expect(ask(stage.url, "GET", "/v1/me/requests", *own))["requests"]
    if not any(one["state"] == "accepted" for one in asked):
        made = _expect(ask(stage.url, "POST", "/v1/me/requests", *own, {"kind": "access"}))["request_id"]
        _expect(ask(stage.url, "POST", f"/v1/requests/{made}:accept", stage.token("dsr-officer"), officer, {}))


def _expect(reply: Reply) -> Any:
    if reply.status >= 400:
        raise VaultError(str(reply.body.get("type", "")).rsplit("/", 1)[-1])
    return reply.body


def _entry(stage: _Stage, reply: Reply) -> dict[str, Any]:
    """Return the entry of a reading: its leaf, as it stands in the log or is about to."""
    return show_entry(stage.opened.vault, CONTROLLER, str(reply.body["entry_id"]))


def _show(document: Any, *, as_json: bool) -> None:
    if not as_json:
        typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _invite(stage: _Stage, subject_id: str) -> None:
    """Print lines to copy: one for each role, each on a ticket of its own, and what every other command needs."""
    people.print(f"\nServing on {stage.url}. Ctrl-C ends it. In another terminal:\n")
    for line in invitation(riserbo(), stage.home, stage.url, subject_id):
        typer.echo(line)


def invitation(command: str, home: Path, url: str, subject_id: str) -> list[str]:
    """Return the lines to copy. `command` is how `riserbo` is called here; comments say what to expect."""
    lines = [f"export RISERBO_HOME={shlex.quote(str(home))}", f"{command} doctor"]
    for role in ("t1", "t2", "billing", "medical", "dsr-officer", "customer", "system", *SEES_NOTHING):
        who = IDENTITIES[role]
        if role == SEES_NOTHING[0]:
            lines.append("# These two see nothing of anybody, whatever they ask: 404, as if nobody were there.")
        ticket = f" --ticket {TICKETS[role]}" if role in TICKETS else ""
        subject = f" --subject {subject_id}" if role == "customer" else ""
        lines.append(
            f"{command} token --role {role}{subject} | {command} profile {subject_id} --purpose {who.purpose}{ticket}"
            f" --channel {who.channel} --url {url}"
        )
    lines.append(
        f"# What takes two people (an erasure, a legal hold) a colleague carries out: {command} token --role {COLLEAGUE.name}"
    )
    return lines


def riserbo() -> str:
    """Return how the command is called from a shell that knows nothing of this environment."""
    beside = Path(sys.executable).with_name("riserbo")
    if not beside.exists():
        return f"{shlex.quote(sys.executable)} -m vault"
    return "riserbo" if shutil.which("riserbo") == str(beside) else shlex.quote(str(beside))


def _free_port(asked: int) -> int:
    """Return this port, or one that is free for 0. Raises Conflict where another serves there: that one would be shown."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            listening.bind(("127.0.0.1", asked))
        except OSError:
            advice = f"{asked} is taken: end what serves there, or name another"
            raise Conflict("port-taken", faults=[Fault("--port", advice)]) from None
        return int(listening.getsockname()[1])
