"""A process of its own that keeps asking for one profile, and says whenever the answer is another than before.

`python -m tests.assurance.asking HOME URL CONTROLLER SUBJECT TICKET CALLER`: a line for each change, with the monotonic time at
which it was known (one clock for all processes of a machine). It ends when its input does.
"""

import json
import select
import sys
import time
from pathlib import Path

import structlog

from tests.makers import make_caller
from vault.errors import VaultError
from vault.opening import Addresses, assembled, open_keyring
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.policy.model import Context
from vault.settings import Settings

EVERY_S = 0.02


def main(home: str, url: str, controller_id: str, subject_id: str, ticket_id: str, role: str) -> None:
    """Ask until the input ends."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = Settings(home=Path(home), token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks")
    context = Context(controller_id, make_caller(controller_id, role), "customer-care", "phone", ticket_id)
    before = None
    with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
        while not select.select([sys.stdin], [], [], EVERY_S)[0]:
            try:
                said = disclose(opened.vault, Ask(context, subject_id, ("given_name",))).fields["given_name"].state
            except VaultError as error:
                said = error.code
            if said != before:
                before = said
                sys.stdout.write(json.dumps({"said": said, "at": time.monotonic()}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
