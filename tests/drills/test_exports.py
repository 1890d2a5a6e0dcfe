"""An export of somebody of whom a hundred thousand accesses tell: a process of its own makes it in less than 200 MB.

`DRILL_ACCESSES` says of how many. The memory is the most the process ever held, interpreter and policy included.
"""

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from tests.makers import make_context, make_subject, make_ticket, register
from vault.opening import Opened
from vault.operations.disclose import disclose_all
from vault.operations.disclosure import Ask
from vault.operations.download_export import download_export
from vault.operations.export_subject import export_subject

pytestmark = pytest.mark.drill

ACCESSES = int(os.environ.get("DRILL_ACCESSES", "100000"))
AT_ONCE = 50
MOST_MB = 200

JOB = """
import sys
from pathlib import Path
from vault.opening import Addresses, assembled, open_keyring
from vault.operations.build_exports import build_exports
from vault.settings import Settings

def most():  # of this program alone: what getrusage says is what the process was before, if that was more
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) >> 10

home, url, controller_id = sys.argv[1:]
settings = Settings(
    home=Path(home), token_issuer="https://issuer.example", jwks_url="http://127.0.0.1:1/jwks", unbound_systems=True
)
with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
    before = most()
    print(build_exports(opened.vault, controller_id), before, most())
"""


def test_a_hundred_thousand_accesses_are_packed_in_little_memory(opened: Opened, controller_id: str) -> None:
    vault = opened.vault
    register(vault, controller_id, "t1", "system")
    subject_id = make_subject(vault, controller_id, {"given_name": "Giulia"}).subject_id
    make_ticket(vault, controller_id, subject_id, "t1", "TCK-1")
    looking = Ask(make_context(controller_id, "t1", ticket="TCK-1"), subject_id, ("given_name",))
    for _ in range(ACCESSES // AT_ONCE):
        disclose_all(vault, [looking] * AT_ONCE)
    opened.trail.settle(controller_id)
    own = make_context(controller_id, "customer", subject_id=subject_id)
    own = replace(own, caller=replace(own.caller, step_up=True))
    started = export_subject(vault, own, subject_id, "access", "it")
    given = (str(vault.settings.home), opened.addresses.url, controller_id)
    done = subprocess.run([sys.executable, "-c", JOB, *given], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2_000:]
    made, before, most = (int(one) for one in done.stdout.split())
    package = b"".join(download_export(vault, own, started.export_id, started.passphrase).pieces)
    print(f"\n{ACCESSES} accesses: {len(package) >> 20} MB packed, {before} MB before, {most} MB at most")
    with zipfile.ZipFile(io.BytesIO(package)) as packed:
        accesses = json.loads(packed.read("accesses/accesses.json"))["accesses"]
        proofs = [name for name in packed.namelist() if name.startswith("accesses/proofs/")]
    assert (made, len(proofs)) == (1, len(accesses))
    assert len(accesses) > ACCESSES
    assert most < MOST_MB
