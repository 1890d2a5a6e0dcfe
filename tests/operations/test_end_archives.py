"""What a duty kept of somebody erased goes by itself once its day is over, and not before."""

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.conftest import Controllers
from tests.makers import register
from tests.operations.test_erase import WHOLE, House
from vault.opening import Opened
from vault.operations.end_archives import end_archives


@pytest.fixture(scope="module")
def house(opened: Opened, shared_controllers: Controllers) -> House:
    found = House(opened, shared_controllers())
    register(opened.vault, found.controller_id, "dpo", "t2", "system", "dsr-officer")
    return found


def test_what_a_duty_kept_is_destroyed_the_day_after_its_last(house: House) -> None:
    subject_id = house.person({**WHOLE, "email": "kept@example.it"}, ("retail",))
    done = house.erased(subject_id, "req_kept")
    (until,) = {one["until"] for one in done.result["archived"]}
    assert set(house.left(subject_id)) == {"keys.data_key", "keys.data_key_wrap", "vault.profile_frame"}
    years = next(number for number in range(1, 12) if str(house.vault.now().year + number) == until[:4])

    def at(days: int) -> int:
        vault = replace(house.vault, now=lambda: house.opened.vault.now() + timedelta(days=365 * years + days))
        return end_archives(vault, house.controller_id)

    assert end_archives(house.vault, house.controller_id) == 0
    assert at(-3) == 0
    assert house.left(subject_id) != {}
    assert at(5) == 1
    assert house.left(subject_id) == {}
    assert house.ledger.rows("vault.subject", f"subject_id = '{subject_id}'", "state") == [("erased",)]
    assert at(6) == 0
    assert house.ledger.outcomes("end_archive") == ["done"]
