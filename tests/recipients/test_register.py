"""What a line of the register of recipients must be, and when a processor's agreement holds. Pure."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault.recipients.register import Entry, contract_holds, faults, is_address

NOON = datetime(2026, 10, 20, 12, tzinfo=UTC)
PARTIES = frozenset({"controller", "helpdesk", "care-unit", "subject"})
SOUND = Entry("zammad", "helpdesk", "processor", "DE", contract="DPA 2026/7", contract_from=NOON, channel="webhook",
              endpoint="https://desk.example/hooks", subprocessors=("Hoster GmbH",))  # fmt: skip


def found(**changes: Any) -> list[tuple[str, str]]:
    return [(one.pointer, one.code) for one in faults(replace(SOUND, **changes), PARTIES)]


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"name": "Zammad"}, "/name", "text.syntax"),
        ({"name": "controller", "party": "controller"}, "/name", "recipient.house"),
        ({"party": "subject"}, "/party", "recipient.house"),
        ({"party": "insurer"}, "/party", "party.unknown"),
        ({"name": "care-unit"}, "/name", "recipient.another-party"),
        ({"role": "friend"}, "/role", "unknown"),
        ({"channel": "fax"}, "/channel", "unknown"),
        ({"country": "Italy"}, "/country", "text.syntax"),
        ({"transfer_tool": "A49-1-a x"}, "/transfer_tool", "text.syntax"),
        ({"contract": " "}, "/contract", "text.syntax"),
        ({"contract": None}, "/contract_from", "contract.half-stated"),
        ({"contract_from": None}, "/contract_from", "contract.half-stated"),
        ({"contract_until": NOON}, "/contract_until", "contract.ends-before"),
        ({"contract": None, "contract_from": None, "contract_until": NOON}, "/contract_until", "contract.ends-before"),
        ({"subprocessors": ("<script>",)}, "/subprocessors", "text.syntax"),
        ({"subprocessors": ("a",) * 65}, "/subprocessors", "too-many"),
        ({"days": 0}, "/days", "days.unfit"),
        ({"days": 366}, "/days", "days.unfit"),
        ({"endpoint": None}, "/endpoint", "endpoint.unfit"),
        ({"channel": "manual"}, "/endpoint", "endpoint.unfit"),
        ({"endpoint": "ftp://desk.example"}, "/endpoint", "endpoint.unfit"),
    ],
)
def test_what_is_wrong_with_a_line_is_said_at_its_place(changes: dict[str, Any], pointer: str, code: str) -> None:
    assert (pointer, code) in found(**changes)


def test_a_sound_line_has_no_fault() -> None:
    assert found() == []
    assert found(contract_until=NOON + timedelta(days=1)) == []
    assert found(name="helpdesk", channel="manual", endpoint=None, transfer_tool="A46-2-c") == []


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("https://desk.example/hooks?x=1", True),
        ("http://127.0.0.1:8080/", True),
        ("http://desk.example/", False),
        ("https://user@desk.example/", False),
        ("https://:secret@desk.example/", False),
        ("https://desk.example/#part", False),
        ("https://desk.example:99999/", False),
        ("https://desk.example:0/", False),
        ("https://[::1", False),
        ("https:///path", False),
        ("https://desk.example/\nx", False),
        ("https://dèsk.example/", False),
        ("https://desk.example/" + "x" * 2000, False),
        ("//desk.example/", False),
    ],
)
def test_an_address_names_a_host_and_no_secret(text: str, sound: bool) -> None:
    assert is_address(text) is sound


instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds are naive


@given(since=st.none() | instants, until=st.none() | instants, at=instants)
def test_a_processor_s_agreement_holds_between_its_dates_alone(
    since: datetime | None, until: datetime | None, at: datetime
) -> None:
    holds = contract_holds("processor", since, until, at)
    assert holds == (since is not None and since <= at and (until is None or at < until))
    assert all(contract_holds(role, since, until, at) for role in ("controller", "joint-controller", "authority"))
