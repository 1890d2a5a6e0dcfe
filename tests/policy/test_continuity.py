"""What stored data rest on stays: fields where they are, templates as they were agreed to."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from tests.policy.makers import bundle
from vault.policy.bundle import Bundle
from vault.policy.continuity import losses

OLD = bundle()


def with_fields(change: Callable[[dict[str, Any]], Any]) -> Bundle:
    catalogue = deepcopy(OLD.catalogue)
    change(catalogue["fields"])
    return replace(OLD, catalogue=catalogue)


def test_the_same_bundle_loses_nothing() -> None:
    assert list(losses(OLD, OLD, {"retail@1"})) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda fields: fields.pop("email"), ("email", "field.gone")),
        (lambda fields: fields["email"].update({"class": "financial"}), ("email", "field.moved")),
        (lambda fields: fields["email"].update({"type": "text"}), ("email", "field.moved")),
        (lambda fields: fields["email"].pop("index"), ("email", "field.moved")),
    ],
    ids=["gone", "class", "type", "index"],
)
def test_a_field_stays_what_it_is(change: Callable[[dict[str, Any]], Any], told: tuple[str, str]) -> None:
    assert list(losses(OLD, with_fields(change), ())) == [told]


def test_what_only_decides_may_change_and_a_field_may_be_added() -> None:
    def change(fields: dict[str, Any]) -> None:
        fields["email"]["masks"] = ["email_tld"]
        fields["nickname"] = fields["email"]

    assert list(losses(OLD, with_fields(change), ())) == []


def test_a_template_is_as_it_was_and_goes_only_when_nobody_agreed_to_it() -> None:
    without = {name: one for name, one in OLD.templates.items() if name != "marketing@1"}
    assert list(losses(OLD, replace(OLD, templates=without), {"retail@1"})) == []
    assert list(losses(OLD, replace(OLD, templates=without), {"marketing@1"})) == [("marketing@1", "template.gone")]
    changed = {**OLD.templates, "retail@1": {**OLD.templates["retail@1"], "operations": ["store"]}}
    assert list(losses(OLD, replace(OLD, templates=changed), ())) == [("retail@1", "template.changed")]
