"""Who carries a right out is killed at any moment: what was begun is ended by the next, and nothing half done is ever shown.

`make drill` kills a hundred times at random moments of each; the suite a few times.
"""

import io
import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from tests.makers import make_context, register
from tests.operations.test_erase import House
from vault.errors import Conflict, Erased, VaultError
from vault.opening import Addresses, Opened, assembled, open_keyring
from vault.operations.build_exports import LEASE, build_exports
from vault.operations.disclose import disclose
from vault.operations.disclosure import Ask
from vault.operations.download_export import download_export
from vault.operations.erase import Order, erase
from vault.operations.export_subject import export_subject, show_export
from vault.operations.replay import finish_acts
from vault.settings import Settings, environment_with

ROOT = Path(__file__).parents[2]
CONTROLLER = "rights"
FIELDS = ("given_name", "email", "mobile")
WAIT_S = 60
TIMES = pytest.mark.parametrize("times", [1, pytest.param(100, marks=pytest.mark.drill)], ids=["few", "hundred"])


@dataclass(frozen=True)
class Killing:
    """A vault of its own, and processes that carry rights out in it."""

    opened: Opened
    environment: dict[str, str]

    @property
    def house(self) -> House:
        return House(self.opened, CONTROLLER)

    def own(self, subject_id: str) -> Any:
        context = make_context(CONTROLLER, "customer", subject_id=subject_id, purpose="rights-fulfilment")
        return replace(context, caller=replace(context.caller, level=3, step_up=True))

    def shown(self, subject_id: str) -> set[str] | None:
        """Return the names that are shown to the person; None where they are gone."""
        try:
            found = disclose(self.house.vault, Ask(self.own(subject_id), subject_id, FIELDS)).fields
        except Erased:
            return None
        return {name for name, one in found.items() if one.state == "clear"}

    def killed(self, after_s: float | None, *asked: str) -> float:
        """Have a process carry it out and kill it so long after it began, or once it is done; return how long it had."""
        line = [sys.executable, "-m", "tests.assurance.carrying", *asked]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(line, cwd=ROOT, env=self.environment, **pipes) as one:  # type: ignore[call-overload]  # by name
            assert one.stdout.readline() == b"ready\n"
            began = monotonic()
            if after_s is None:
                assert one.stdout.readline() == b"done\n"
            else:
                sleep(after_s)
            lasted = monotonic() - began
            one.kill()
            one.wait(WAIT_S)
        return lasted


@pytest.fixture
def killing(clone: Callable[[], str], tmp_path: Path) -> Iterator[Killing]:
    url, settings = clone(), Settings(home=tmp_path / "home")
    with assembled(settings, Addresses(url, None), open_keyring(settings)) as opened:
        opened.add_controller(CONTROLLER)
        register(opened.vault, CONTROLLER, "dpo", "t2", "system")
        yield Killing(opened, environment_with(settings.model_copy(update={"database_url": url})))


@TIMES
def test_an_erasure_is_whole_or_has_not_begun(killing: Killing, times: int) -> None:
    house = killing.house
    first = house.person()
    whole_s = killing.killed(None, "erase", CONTROLLER, first, "req_0", house.order(first, "req_0").plan)
    assert killing.shown(first) is None
    ended = 0
    for number in range(1, times + 1):
        subject_id, request_id = house.person(_values(number)), f"req_{number}"
        order = house.order(subject_id, request_id)
        killing.killed(random.uniform(0, whole_s), "erase", CONTROLLER, subject_id, request_id, order.plan)  # noqa: S311 - any moment
        assert killing.shown(subject_id) in (None, set(FIELDS))
        finish_acts(killing.opened.repairing, CONTROLLER)  # as the next process does at its start
        ended += killing.shown(subject_id) is None
        done = _again(house, subject_id, order)
        assert (done["state"], house.left(subject_id), killing.shown(subject_id)) == ("erased-live", {}, None)
        closed = [one.said.op for one in house.lines() if one.said.request == request_id]
        assert closed[-1] == "live"
    print(f"\n{ended} of {times} erasures had begun when their process was killed within {whole_s * 1000:.0f} ms")


@TIMES
def test_an_export_is_whole_or_is_made_anew(killing: Killing, times: int) -> None:
    house, subject_id = killing.house, killing.house.person()
    started = export_subject(house.vault, killing.own(subject_id), subject_id, "access", "it")
    whole_s = killing.killed(None, "export", CONTROLLER, subject_id, "-", "-")
    assert show_export(house.vault, killing.own(subject_id), started.export_id).export.state == "ready"
    later = replace(house.vault, now=lambda: killing.opened.vault.now() + LEASE + timedelta(seconds=1))
    anew = 0
    for _ in range(times):
        subject_id = house.person(_values(random.randrange(10**6)))  # noqa: S311 - any
        own = killing.own(subject_id)
        started = export_subject(house.vault, own, subject_id, "access", "it")
        killing.killed(random.uniform(0, whole_s), "export", CONTROLLER, subject_id, "-", "-")  # noqa: S311 - any moment
        state = show_export(house.vault, own, started.export_id).export.state
        assert state in ("building", "ready")
        if state == "building":
            with pytest.raises(Conflict, match="export-not-ready"):
                download_export(house.vault, own, started.export_id, started.passphrase)
        anew += build_exports(later, CONTROLLER)
        with zipfile.ZipFile(
            io.BytesIO(b"".join(download_export(house.vault, own, started.export_id, started.passphrase).pieces))
        ) as one:
            assert one.testzip() is None
            assert {"manifest.note", "data/profile.json", "accesses/accesses.json"} <= set(one.namelist())
    print(f"\n{anew} of {times} exports were made anew; whole, one takes {whole_s * 1000:.0f} ms")


def _again(house: House, subject_id: str, order: Order) -> dict[str, Any]:
    try:
        return dict(erase(house.vault, house.dpo, subject_id, order).result)
    except VaultError as error:
        raise AssertionError(error.code) from error


def _values(number: int) -> dict[str, Any]:
    return {"given_name": "Giulia", "email": f"g{number}@example.it", "mobile": f"+39 347 {number:07d}"}
