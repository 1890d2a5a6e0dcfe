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
from pathlib import Path

import pytest

from tests.makers import EVERYTHING, HEALTH, UNSHARED, make_context, make_subject, make_ticket, register
from vault.opening import Opened
from vault.operations.build_exports import build_exports
from vault.operations.disclose import disclose_all
from vault.operations.disclosure import Ask
from vault.operations.download_export import download_export
from vault.operations.export_subject import export_subject
from vault.operations.signing import document_key

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


AGREED = ("retail", "health-insurance", "marketing")  # with the two duties that come with them: five agreements
FIELDS = 30
LOOKS = 10_000


def test_an_export_of_thirty_fields_five_agreements_and_ten_thousand_accesses_is_complete(
    opened: Opened, controller_id: str, tmp_path: Path
) -> None:
    vault = opened.vault
    register(vault, controller_id, "t1", "system")
    granted = frozenset[str]().union(*(vault.policy.granted_fields(f"{one}@1") for one in AGREED))
    values = {name: value for name, value in {**EVERYTHING, **HEALTH, **UNSHARED}.items() if name in granted}
    subject_id = make_subject(vault, controller_id, values, AGREED).subject_id
    assert len(values) >= FIELDS
    make_ticket(vault, controller_id, subject_id, "t1", "TCK-1")
    looking = Ask(make_context(controller_id, "t1", ticket="TCK-1"), subject_id, ("given_name",))
    for _ in range(LOOKS // AT_ONCE):
        disclose_all(vault, [looking] * AT_ONCE)
    opened.trail.settle(controller_id)
    own = make_context(controller_id, "customer", subject_id=subject_id)
    own = replace(own, caller=replace(own.caller, level=3, step_up=True))
    started = export_subject(vault, own, subject_id, "access", "it")
    assert build_exports(vault, controller_id) == 1
    place = tmp_path / "package.zip"
    place.write_bytes(b"".join(download_export(vault, own, started.export_id, started.passphrase).pieces))
    with zipfile.ZipFile(place) as packed:
        held = [one["field"] for one in json.loads(packed.read("data/profile.json"))]
        withheld = [one["field"] for one in json.loads(packed.read("info/withheld.json"))]
        accesses = json.loads(packed.read("accesses/accesses.json"))["accesses"]
        agreements = {name for name in packed.namelist() if name.startswith("info/agreements/")}
    assert sorted(held + [one for one in withheld if one in values]) == sorted(values)
    assert not set(held) & set(withheld)
    assert len(accesses) > LOOKS
    print(f"\n{len(held)} fields held, {len(withheld)} withheld, {len(agreements)} files of agreements, {len(accesses)} accesses")
    key = document_key(vault, controller_id).text
    done = subprocess.run([sys.executable, "-m", "vault", "exports", "verify", str(place), "--key", key], check=False)
    assert done.returncode == 0


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
