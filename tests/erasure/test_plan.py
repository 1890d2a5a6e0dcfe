"""What an erasure destroys and what it keeps, and how that is told."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from vault.erasure.plan import Duty, HeldClass, account, planned
from vault.erasure.tombstones import suppression, tombstone

CONTACT = HeldClass("contact", 2, "dk_c2", {"email": 3, "support_note": 1})
MONEY = HeldClass("financial", 1, "dk_f1", {"iban": 1, "aml_note": 1})
TAX = Duty("agr_2", frozenset({"iban", "email"}), "legal-obligation", ("c.c. 2220",), "2036-11-23")
OTHER = Duty("agr_1", frozenset({"iban"}), "legal-claims", ("c.c. 2946",), "2036-11-23")
TOMBSTONE = "9d6ae148cb1b8b19edfc4f2660377f820d059417128f5fc2d67a2d59540e5f6a"  # by another HMAC
CATEGORIES = {"email": "pd:EmailAddress", "support_note": "vault:SupportNote", "iban": "vault:IBAN", "aml_note": "vault:AML"}


def under(one: HeldClass, *duties: Duty) -> HeldClass:
    return replace(one, duties=duties)


def test_without_a_duty_everything_goes() -> None:
    plan = planned([MONEY, CONTACT])
    assert (plan.keys, plan.reseal, plan.archived) == (("dk_c2", "dk_f1"), (), [])
    assert account(plan, CATEGORIES, {"aml_note"}) == {
        "outcome": "complete", "state": "erased-live", "archived": [],
        "erased": [
            {"category": "pd:EmailAddress", "fields": ["email"], "values": 3, "method": ["keys-destroyed", "rows-deleted"],
             "data_keys": ["dk_c2"]},
            {"category": "vault:IBAN", "fields": ["iban"], "values": 1, "method": ["keys-destroyed", "rows-deleted"],
             "data_keys": ["dk_f1"]},
            {"category": "vault:SupportNote", "fields": ["support_note"], "values": 1,
             "method": ["keys-destroyed", "rows-deleted"], "data_keys": ["dk_c2"]},
        ],
    }  # fmt: skip


def test_a_duty_keeps_what_it_covers_and_nothing_beside_it() -> None:
    plan = planned([under(CONTACT, TAX, OTHER), under(MONEY, TAX, OTHER)])
    assert {one.name: one.duty and one.duty.code for one in plan.fields} == {
        "email": "legal-obligation", "support_note": None, "aml_note": None, "iban": "legal-claims",
    }  # fmt: skip
    assert (plan.keys, plan.reseal) == (("dk_c2", "dk_f1"), ("contact", "financial"))
    told = account(plan, CATEGORIES, {"aml_note"})
    assert (told["outcome"], told["state"]) == ("partial", "archived")
    assert told["archived"] == [
        {"category": "pd:EmailAddress", "fields": ["email"], "code": "legal-obligation", "law": ["c.c. 2220"],
         "agreement_id": "agr_2", "until": "2036-11-23"},
        {"category": "vault:IBAN", "fields": ["iban"], "code": "legal-claims", "law": ["c.c. 2946"],
         "agreement_id": "agr_1", "until": "2036-11-23"},
    ]  # fmt: skip


def test_what_only_a_duty_keeps_stays_as_it_is() -> None:
    plan = planned([replace(CONTACT, archived=True, duties=(TAX,))])
    assert (plan.keys, plan.reseal, plan.destroyed) == ((), (), [])
    assert {one.duty for one in plan.archived} == {TAX}
    assert planned([replace(CONTACT, archived=True)]).keys == ("dk_c2",)  # nothing holds it any more


def test_nothing_held_is_an_answer() -> None:
    assert account(planned([]), {}, ()) == {"outcome": "nothing-held", "state": "erased-live", "erased": [], "archived": []}


def test_the_digest_follows_what_is_destroyed_and_kept_and_not_the_date() -> None:
    contact, money = under(CONTACT, TAX), under(MONEY, TAX)
    digest = planned([contact, money]).digest
    later = replace(TAX, until="2037-01-01")
    assert digest == planned([under(MONEY, later), under(CONTACT, later)]).digest
    others = [
        planned([contact]), planned([CONTACT, MONEY]), planned([contact, under(MONEY, replace(TAX, agreement_id="agr_9"))]),
        planned([replace(contact, data_key_id="dk_x"), money]), planned([replace(contact, values={"email": 4}), money]),
    ]  # fmt: skip
    assert len({digest, *(one.digest for one in others)}) == 6


held_classes = st.builds(
    HeldClass, st.sampled_from(["contact", "financial"]), st.integers(1, 3), st.uuids().map(str),
    st.dictionaries(st.sampled_from(sorted(CATEGORIES)), st.integers(1, 4), min_size=1),
    st.lists(st.sampled_from([TAX, OTHER]), unique=True), st.booleans(),
)  # fmt: skip


@given(
    st.lists(held_classes, max_size=4),
    st.sets(st.sampled_from(sorted(CATEGORIES))),
)
def test_each_value_is_told_once_or_kept_from_them(held: list[HeldClass], untold: set[str]) -> None:
    plan = planned(held)
    assert sum(one.values for one in plan.fields) == sum(sum(one.values.values()) for one in held)
    told = account(plan, CATEGORIES, untold)
    named = {name for part in ("erased", "archived") for one in told[part] for name in one["fields"]}
    assert named == {name for one in held for name in one.values} - untold
    assert sum(one["values"] for one in told["erased"]) == sum(one.values for one in plan.destroyed if one.name not in untold)


def test_what_is_left_of_an_identifier_depends_on_all_it_is_made_of() -> None:
    assert tombstone(bytes(32), "email", "ada@example.org").hex() == TOMBSTONE
    left = [
        tombstone(bytes(32), "email", "a"), tombstone(bytes([1] * 32), "email", "a"), tombstone(bytes(32), "phone", "a"),
        tombstone(bytes(32), "email", "b"), tombstone(bytes(32), "email", "a", 2), suppression(bytes(32), "email", "email", "a"),
        suppression(bytes(32), "phone", "email", "a"), suppression(bytes(32), "email", "email", "a", 2),
    ]  # fmt: skip
    assert len(set(left)) == len(left)
