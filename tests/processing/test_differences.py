"""What differs between two registers is told by part, name and member; what changes every day is not."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.processing.test_register import BOSTON, DESK, FACTS, GENEVA, SAID, WENT, document, ruled
from vault.processing.differences import Difference, differences, read_document
from vault.processing.register import Secured, Used


def between(**changes: Any) -> list[Difference]:
    there = differences(document(), document(**changes))
    back = differences(document(**changes), document())
    other = {"new": "gone", "gone": "new", "changed": "changed"}
    assert {one._replace(change=other[one.change]) for one in back} == set(there)
    return there


def test_what_changes_every_day_is_no_difference() -> None:
    later = replace(WENT, people=9, last_at=WENT.last_at + 86_400_000)
    older = Secured("file", keys_elsewhere=False, epoch=5, epoch_days=0, checkpoint=None)
    assert between(received=(later,), secured=older, read_until=(1, 99)) == []


def test_what_is_new_gone_or_changed_is_told_by_name_and_member() -> None:
    assert between(controller={**SAID, "dpo": "altro@esempio.example"}) == [
        Difference("controller", "", "changed", ("dpv:hasDataProtectionOfficer",))
    ]
    assert between(listed=(replace(DESK, country="FR"), BOSTON, GENEVA)) == [
        Difference("recipient", "zammad", "changed", ("dpv:hasLocation",))
    ]
    assert between(received=(replace(WENT, fields={"email", "iban"}),)) == [
        Difference("recipient", "zammad", "changed", ("vault:received",))
    ]
    assert between(secured=replace(FACTS.secured, keyring="kms", keys_elsewhere=True)) == [
        Difference("measures", "", "changed", ("vault:keyring", "vault:keys_elsewhere"))
    ]


def test_a_template_that_goes_takes_its_activity_and_may_leave_an_error() -> None:
    found = between(ruled=ruled("marketing@1"), used=(Used("marketing", 1, 2),))
    assert Difference("activity", "marketing", "gone") in found
    assert Difference("error", "purpose-without-template marketing", "new") in found
    assert Difference("activity", "billing", "changed") not in [one._replace(members=()) for one in found]


def test_a_transfer_that_begins_is_told() -> None:
    overseas = replace(BOSTON, name="chicago")
    assert Difference("transfer", "chicago", "new") in between(listed=(DESK, BOSTON, GENEVA, overseas))


def test_a_document_is_read_with_its_signature_and_without() -> None:
    line = json.dumps(document()).encode()
    assert read_document(line) == read_document(line + b"\n\n\xe2\x80\x94 key AAAA\n") == document()


@pytest.mark.parametrize("octets", [b"", b"{}", b"[]", b"\xff", b"{", b'{"@type":"dpv:ROPA"}', b'{"dpv:hasDataController":1}'])
def test_what_is_no_register_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match="no register"):
        read_document(octets)
