"""Whose data a breach touched: what was asked for and what was found stay so, whoever owns the database in between."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.operations.test_affected import T1, House, _silently, house, named
from vault import breaches
from vault.audit.merkle import leaf_hash
from vault.errors import Conflict, DatabaseUnavailable, Unreadable
from vault.operations.confirm_affected import confirm_affected
from vault.operations.list_affected import ask_confirmation, show_affected

__all__ = ["house"]  # a fixture


def _place(house: House, subject_id: str) -> tuple[int, bytes]:
    """Return position and leaf of the first tier's reading of a person."""
    found = house.ledger.rows("vault.audit_entry", "true", "position, leaf")
    leaves = {orjson.loads(bytes(leaf))["id"]: (position, bytes(leaf)) for position, leaf in found}
    return leaves[house.by_t1[subject_id]]


@pytest.mark.parametrize("how", ["refused", "of nobody", "another's"])
def test_an_entry_edited_after_the_pass_is_confirmed_no_longer(house: House, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Each still bears the caller's tag. Seen failing with `confirmed: true` and the person left out."""
    list_id = house.confirmed()["list_id"]
    first, second, *_ = house.people
    position, leaf = _place(house, first)
    changed = {
        "refused": leaf.replace(b'"outcome":"allowed"', b'"outcome":"refused"'),
        "of nobody": leaf.replace(b'"subject":"', b'"nobody":"'),
        "another's": _place(house, second)[1],
    }[how]
    assert changed != leaf
    monkeypatch.setattr(house.vault.audit, "_is_open", lambda _: True)  # the trail may notice too, and close
    place = f"controller_id = '{house.controller_id}' AND position = {position}"
    house.ledger.owner(_silently(f"UPDATE vault.audit_entry SET leaf = '\\x{changed.hex()}' WHERE {place}"))
    told = house.shown(list_id).told
    assert (told["state"], told["confirmed"], told["totals"]["dropped"]) == ("gone-since", False, 1)
    assert named(told) == {one: [house.by_t1[one]] for one in house.people[1:]}


def test_nor_is_a_list_whose_tree_no_longer_proves_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody took a later entry: the people are still listed. Seen failing without the question whether the root was made."""
    list_id = house.confirmed()["list_id"]
    monkeypatch.setattr(house.vault.audit, "_is_open", lambda _: True)  # the trail may notice too, and close
    own = f"controller_id = '{house.controller_id}'"
    house.ledger.owner(_silently(f"DELETE FROM vault.audit_entry WHERE {own} AND position = 1"))
    told = house.shown(list_id).told
    assert (told["state"], told["totals"]["dropped"]) == ("gone-since", 0)
    assert named(told).keys() == set(house.people)


@pytest.mark.parametrize(
    "change",
    [
        """criteria = jsonb_set(criteria, '{caller}', '"t9-9"')""",
        """criteria = jsonb_set(criteria, '{end}', '1')""",
        """criteria = jsonb_set(criteria, '{end}', '99999999999999999999')""",
        "size = 1, root = '{first}', checkpoint = NULL",
        "checkpoint = NULL",
    ],
)
@pytest.mark.parametrize("parts", ["left", "deleted"])
def test_what_was_asked_for_is_not_edited_before_it_is_read_for(house: House, change: str, parts: str) -> None:
    """Seen failing with `confirmed: true` and nobody listed, while the list was first under a MAC when leaves were read."""
    list_id = ask_confirmation(house.vault, house.dpo, house.breach_id, T1).list_id
    ((first,),) = house.ledger.rows("vault.audit_entry", f"controller_id = '{house.controller_id}' AND position = 0", "leaf")
    change = change.replace("{first}", f"\\x{leaf_hash(bytes(first)).hex()}")
    own = f"controller_id = '{house.controller_id}' AND list_id = '{list_id}'"
    house.ledger.owner(_silently(f"UPDATE vault.affected_list SET {change} WHERE {own}"))
    if parts == "deleted":
        house.ledger.owner(_silently(f"DELETE FROM vault.affected_part WHERE {own}"))
    assert house.shown(list_id).told["state"] == "differs"
    confirm_affected(house.vault, house.controller_id)
    told = house.shown(list_id).told
    assert (told["state"], told["confirmed"], told["subjects"]) == ("differs", False, [])
    with house.vault.database.snapshot(house.controller_id) as rows:
        assert not breaches.unfinished_lists(rows, house.controller_id)  # it holds up nothing


def test_a_list_is_not_asked_of_a_log_that_is_pruned_meanwhile(house: House) -> None:
    """It would begin where nothing is any more. Seen failing without the second look."""
    new_id = house.vault.new_id

    def prune(kind: str) -> str:
        if kind == "lst":
            own = f"'{house.controller_id}', 1, 65536, '{{}}', now(), 'ent_x'"
            columns = "controller_id, era, bound, about, pruned_at, entry_id"
            house.ledger.owner(f"INSERT INTO vault.audit_pruned ({columns}) VALUES ({own})")
        return new_id(kind)

    with pytest.raises(Conflict, match="log-pruned"):
        ask_confirmation(replace(house.vault, new_id=prune), house.dpo, house.breach_id, T1)
    with house.vault.database.snapshot(house.controller_id) as rows:
        assert not breaches.unfinished_lists(rows, house.controller_id)
    assert house.ledger.outcomes("show_affected")[-1] == "failed"


@pytest.mark.parametrize("whose", ["its own", "another's"])
def test_a_list_waits_for_the_pruning_of_its_own_log_alone(house: House, whose: str) -> None:
    """Seen failing with one lock for every controller, and with none."""
    pruned = house.controller_id if whose == "its own" else "another"
    with house.vault.database.transaction(house.controller_id) as rows:
        breaches.hold_lists(rows, pruned)
        if whose == "its own":
            with pytest.raises(DatabaseUnavailable):
                ask_confirmation(house.vault, house.dpo, house.breach_id, T1)
        else:
            assert ask_confirmation(house.vault, house.dpo, house.breach_id, T1).list_id


def test_a_secret_that_does_not_open_for_now_gives_no_verdict(house: House) -> None:
    """Seen failing with `differs` for good, and, without the put-off, with the other list and other controllers left unread."""
    asked, _ = (ask_confirmation(house.vault, house.dpo, house.breach_id, T1).list_id for _ in range(2))
    own = f"controller_id = '{house.controller_id}'"
    house.ledger.owner(_silently(f"UPDATE vault.affected_part SET secret_version = 2 WHERE {own} AND list_id = '{asked}'"))
    keys = house.vault.keys

    class Renewed:
        """Keys whose secrets are at version 3, the second not to be had."""

        def secret(self, controller_id: str, purpose: str, version: int | None = None) -> Any:
            if version == 2:
                raise Unreadable
            return replace(keys.secret(controller_id, purpose), version=version or 3)

        def __getattr__(self, name: str) -> Any:
            return getattr(keys, name)

    renewed: Any = Renewed()
    for _ in range(2):
        confirm_affected(replace(house.vault, keys=renewed), house.controller_id)
        with house.vault.database.snapshot(house.controller_id) as rows:
            assert [one.list_id for one in breaches.unfinished_lists(rows, house.controller_id)] == [asked]
    with pytest.raises(Unreadable):
        show_affected(replace(house.vault, keys=renewed), house.dpo, house.breach_id, asked)
    house.ledger.owner(_silently(f"UPDATE vault.affected_part SET secret_version = 1 WHERE {own} AND list_id = '{asked}'"))
    confirm_affected(house.vault, house.controller_id)
    assert house.shown(asked).told["confirmed"]
