"""Commands that run: serve, worker, token."""

import signal
from threading import Event
from typing import Annotated

import typer
import uvicorn

from vault.commands.say import AsJson, answer, people, said
from vault.connectors.demo_issuer import EVERYBODY, ISSUER, demo_home, running_demo_issuer
from vault.jobs import job_app
from vault.opening import new_id, now, open_vault
from vault.settings import read_settings


def serve(
    host: Annotated[str, typer.Option(help="Address to listen on. Put a TLS proxy before anything but loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(help="Processes; one a core.", min=1)] = 1,
) -> None:
    """Serve the API. Needs RISERBO_TOKEN_ISSUER and RISERBO_JWKS_URL; run `riserbo migrate` first."""
    with said():
        settings = read_settings()  # what is wrong is said here, in words, before any process starts
        if workers > 1:  # a process that ends at its start would be started again and again
            with open_vault(settings) as opened:
                opened.require_policy()
                opened.require_trail()
                opened.require_ledger()
        uvicorn.run(
            "api.main:application", factory=True, host=host, port=port, workers=workers, access_log=False, log_config=None,
            server_header=False, date_header=False, proxy_headers=False, ws="none",
        )  # fmt: skip


def worker() -> None:
    """Run jobs (ends of agreements, clean-up, the nightly scrub of the audit trail) and the trail's sequencer and signer.

    It runs until it is told to stop. Each night at three (UTC) the last day of every trail is read again, and each Sunday all of
    it; what does not hold is logged (`trail`, step `scrub`), recorded (`log-scrub`), and named on `/readyz`.
    """
    with said(), open_vault(read_settings()) as opened:
        opened.require_policy()
        opened.require_trail()
        opened.require_ledger()
        people.print("The worker runs. Ctrl-C ends it.")
        app = job_app(opened.vault, opened.addresses.url, opened.scrub, opened.tend_keys)
        # Four jobs may take long (scrub, lists, exports, keys), each once at a time: the fifth place is for all else.
        app.run_worker(concurrency=5, install_signal_handlers=True, listen_notify=True)


def token(
    role: Annotated[str, typer.Option(help="Who: " + " ".join(EVERYBODY))],
    subject: Annotated[str | None, typer.Option(help="For the customer: their sub_…")] = None,
    controller: Annotated[str, typer.Option("--controller", "-c", help="The controller.")] = "demo",
    as_json: AsJson = False,
) -> None:
    """Print an access token of one hour, signed by the demo's issuer. Only while `riserbo demo` runs."""
    with said(as_json=as_json):
        issuer = running_demo_issuer(demo_home(read_settings().home) / ISSUER)
        signed = issuer.sign(role, controller, now(), new_id("jti"), subject)
    if as_json:
        answer({"token": signed}, as_json=True, text="")
    else:
        typer.echo(signed)


def until_stopped() -> None:
    """Wait for Ctrl-C or a request to end."""
    stopped = Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.set())
    stopped.wait()
