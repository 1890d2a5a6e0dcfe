"""A process that carries one right out, and is killed while it does: `python -m tests.assurance.carrying erase|export …`.

It says `ready` once the vault is open and begins at once; whoever started it kills it when it likes.
"""

import sys

from tests.makers import make_context
from vault.opening import Addresses, assembled, open_keyring
from vault.operations.build_exports import build_exports
from vault.operations.erase import Order, erase
from vault.settings import read_settings


def main(which: str, controller_id: str, subject_id: str, request_id: str, plan: str) -> None:
    """Erase somebody by a plan that was accepted, or make the exports that wait."""
    settings = read_settings()
    url = settings.database_url or ""
    keyring = open_keyring(settings.model_copy(update={"database_url": None}))
    with assembled(settings, Addresses(url, None), keyring) as opened:
        vault = opened.vault.governed(controller_id)
        dpo = make_context(controller_id, "dpo", purpose="rights-fulfilment")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if which == "erase":
            erase(vault, dpo, subject_id, Order(request_id, "dpo-1", "dpo-2", plan))
        else:
            build_exports(vault, controller_id)
        sys.stdout.write("done\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
