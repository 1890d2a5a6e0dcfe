"""Breaches: the clock from when somebody was aware, phases in order, late only with reasons, everything kept on the register."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from tests.conftest import Controllers
from tests.makers import make_context, register
from tests.operations.conftest import Ledger
from vault import breaches
from vault.assembly import Vault
from vault.audit.reading import ReadEntry
from vault.breaches import PhaseRow
from vault.errors import AccessDenied, AuditUnavailable, Conflict, InvalidValue, NotFound, Unreadable, VaultError
from vault.keys.data_keys import seal_bytes
from vault.octets import expand, lp
from vault.opening import Opened
from vault.operations import sealed_words
from vault.operations.report_breach import (
    Advanced,
    Assessment,
    Notice,
    Report,
    Telling,
    assess_breach,
    close_breach,
    notify_breach,
    open_breach,
    tell_subjects_of_breach,
)
from vault.operations.show_breaches import show_breach, show_breaches
from vault.policy.engine import Policy
from vault.policy.model import Context
from vault.policy.regimes import Regime

AWARE = datetime(2026, 10, 23, 7, 5, tzinfo=UTC)
SUMMARY = "un operatore ha consultato i conti di clienti altrui"
WHY = "il responsabile di filiale lo ha segnalato per iscritto"
ASSESSED = Assessment("likely", "furto di identità possibile", "accesso sospeso e password cambiate")


@dataclass
class House:
    """The officer, and a clock one can set."""

    vault: Vault
    dpo: Context
    ledger: Ledger
    at: datetime = AWARE + timedelta(hours=1)

    @property
    def controller_id(self) -> str:
        return self.dpo.controller_id

    def after(self, hours: float) -> None:
        """Let it be so long after somebody was aware."""
        self.at = AWARE + timedelta(hours=hours)

    def opened(self, **more: Any) -> Advanced:
        stated: dict[str, Any] = {
            "aware_at": AWARE,
            "kinds": ("confidentiality",),
            "summary": SUMMARY,
            "aware_because": WHY,
            **more,
        }
        return open_breach(self.vault, self.dpo, Report(**stated))

    def notice(self, breach_id: str, notice: str = "initial", regime: str = "breach-gdpr", **more: Any) -> Advanced:
        stated: dict[str, Any] = {"sent_at": self.at, "said": "notifica al Garante tramite il servizio online", **more}
        return notify_breach(self.vault, self.dpo, breach_id, Notice(regime, notice, **stated))

    def shown(self, breach_id: str) -> dict[str, Any]:
        return show_breach(self.vault, self.dpo, breach_id).document

    def states(self, breach_id: str) -> dict[tuple[str, str], str]:
        return {(one["notice"], one["since"]): one["state"] for one in self.shown(breach_id)["deadlines"]}


@pytest.fixture
def house(vault: Vault, ledger: Ledger) -> House:
    return made_house(vault, ledger)


@pytest.fixture(scope="module")
def refusing(opened: Opened, shared_controllers: Controllers) -> House:
    """One house for all that is refused: of it nothing is left in a breach, and each has its own."""
    return made_house(opened.vault, Ledger(opened, shared_controllers()))


def made_house(vault: Vault, ledger: Ledger) -> House:
    made = House(vault, make_context(ledger.controller_id, "dpo", purpose="legal-compliance"), ledger, AWARE - timedelta(days=30))
    made.vault = replace(vault, now=lambda: made.at)
    register(made.vault, ledger.controller_id, "dpo", "t1", "operator", "system")
    made.after(1)
    return made


def code(act: Callable[[], object]) -> str:
    """Return the code of a refusal, or of the one fault of an invalid value."""
    with pytest.raises(VaultError) as refusal:
        act()
    (*_, last) = (refusal.value.code, *(one.code for one in refusal.value.faults))
    return last


# --- the clock


def test_the_clock_runs_seventy_two_hours_from_when_somebody_was_aware(house: House) -> None:
    """Over the end of summer time, and over a Sunday."""
    done = house.opened()
    (due,) = done.deadlines
    assert (due.regime, due.notice, due.since, due.since_at) == ("breach-gdpr@1", "initial", "aware", AWARE)
    assert due.due_at == datetime(2026, 10, 26, 7, 5, tzinfo=UTC) == AWARE + timedelta(hours=72)
    assert house.states(done.breach_id) == {("initial", "aware"): "running"}
    house.after(72)
    assert house.states(done.breach_id) == {("initial", "aware"): "running"}
    house.after(72.001)
    assert house.states(done.breach_id) == {("initial", "aware"): "overdue"}


def test_late_is_only_with_reasons_and_stays_late(house: House) -> None:
    breach_id = house.opened().breach_id
    house.after(80)
    assert code(lambda: house.notice(breach_id)) == "late.reasons-needed"
    assert code(lambda: house.notice(breach_id, reasons="fretta")) == "late.reasons-needed"
    house.notice(breach_id, reasons="la portata è stata chiarita solo il terzo giorno")
    assert house.states(breach_id) == {("initial", "aware"): "late"}
    assert house.shown(breach_id)["phases"][0]["stated"]["late"]
    house.notice(breach_id, "final")
    assert house.states(breach_id) == {("initial", "aware"): "late"}


def test_in_time_is_what_was_sent_in_time_whenever_it_is_kept(house: House) -> None:
    breach_id = house.opened().breach_id
    house.after(100)
    house.notice(breach_id, sent_at=AWARE + timedelta(hours=72))
    assert house.states(breach_id) == {("initial", "aware"): "in-time"}


def test_a_newer_law_moves_no_deadline_that_stands(house: House) -> None:
    breach_id = house.opened(regimes=("breach-gdpr", "breach-dora")).breach_id
    before = house.shown(breach_id)["deadlines"]

    def slower(one: Regime) -> Regime:
        return replace(one, in_force=True, steps=tuple(replace(step, hours=step.hours * 2) for step in one.steps))

    class Later(Policy):
        """The policy of a later bundle."""

    later = Later(house.vault.policy._bundle)
    later.regimes = tuple(slower(one) for one in house.vault.policy.regimes)
    house.vault = replace(house.vault, policy=later)
    assess_breach(house.vault, house.dpo, breach_id, ASSESSED)
    assert [one for one in house.shown(breach_id)["deadlines"] if one["since"] == "aware"] == [
        one for one in before if one["since"] == "aware"
    ]
    assert house.opened(aware_at=AWARE).deadlines[0].due_at == AWARE + timedelta(hours=144)  # the law of that day


def test_dora_and_nis2_run_beside_the_gdpr_and_go_on_from_what_was_sent(house: House) -> None:
    done = house.opened(regimes=("breach-gdpr", "breach-dora", "breach-nis2-it"))
    assert {(one.regime, one.notice): one.due_at - AWARE for one in done.deadlines} == {
        ("breach-gdpr@1", "initial"): timedelta(hours=72),
        ("breach-dora@1", "initial"): timedelta(hours=24),
        ("breach-nis2-it@1", "early-warning"): timedelta(hours=24),
        ("breach-nis2-it@1", "notification"): timedelta(hours=72),
    }
    house.after(2)
    classified = replace(ASSESSED, classified_at=house.at)
    due = assess_breach(house.vault, house.dpo, done.breach_id, classified).deadlines[-1]
    assert (due.notice, due.since, due.due_at) == ("initial", "classified", AWARE + timedelta(hours=6))
    house.after(7)  # within 24 hours, and late: the earlier of both clocks counts
    assert code(lambda: house.notice(done.breach_id, regime="breach-dora")) == "late.reasons-needed"
    house.notice(done.breach_id, regime="breach-dora", reasons="il canale di notifica non rispondeva")
    states = house.states(done.breach_id)
    assert states["intermediate", "initial"] == "running"
    assert states["initial", "classified"] == "late"
    house.notice(done.breach_id, "intermediate", "breach-dora")
    final = next(one for one in house.shown(done.breach_id)["deadlines"] if one["notice"] == "final")
    assert final["due_at"].startswith("2026-11-23T22:59:59")


def test_what_was_classified_when_it_was_opened_has_its_clock_at_once(house: House) -> None:
    done = house.opened(regimes=("breach-dora",), classified_at=AWARE)
    assert {one.since for one in done.deadlines} == {"aware", "classified"}
    assert assess_breach(house.vault, house.dpo, done.breach_id, replace(ASSESSED, classified_at=house.at)).deadlines == [
        *sorted(done.deadlines, key=lambda one: one.due_at)
    ]


# --- phases


def test_a_breach_goes_its_way_and_everything_is_kept(house: House) -> None:
    breach_id = house.opened(detected_at=AWARE - timedelta(days=3)).breach_id
    house.after(5)
    assert assess_breach(house.vault, house.dpo, breach_id, replace(ASSESSED, risk="high", subjects=3570)).state == "assessed"
    house.after(50)
    assert house.notice(breach_id, reference="GAR-2026-1").state == "notified"
    telling = Telling("individual", house.at, "a ciascuno una lettera con ciò che è stato visto", 3570)
    assert tell_subjects_of_breach(house.vault, house.dpo, breach_id, telling).state == "subjects-told"
    assert close_breach(house.vault, house.dpo, breach_id, "misure adottate e persone informate").state == "closed"
    shown = house.shown(breach_id)
    assert [one["phase"] for one in shown["phases"]] == ["assessed", "notified", "subjects-told", "closed"]
    assert shown["words"] == {"summary": SUMMARY, "aware_because": WHY}
    assert shown["phases"][0]["words"]["measures"] == ASSESSED.measures
    assert shown["phases"][1]["stated"]["reference"] == "GAR-2026-1"
    assert (shown["state"], shown["risk"], shown["opened_by"]) == ("closed", "high", "dpo-1")
    assert shown["detected_at"] == (AWARE - timedelta(days=3)).isoformat()
    assert code(lambda: house.notice(breach_id, "final")) == "breach-closed"
    events = house.ledger.rows("vault.event", "name LIKE 'breach:%%' ORDER BY at, name", "name, data")
    assert events == [("breach:opened", {"breach_id": breach_id}), ("breach:closed", {"breach_id": breach_id})]


def test_nothing_is_closed_that_still_wants_something(house: House) -> None:
    breach_id = house.opened().breach_id
    close = lambda: close_breach(house.vault, house.dpo, breach_id, "è tutto a posto, si chiude qui")  # noqa: E731
    assert code(close) == "not-assessed"
    assess_breach(house.vault, house.dpo, breach_id, replace(ASSESSED, risk="high"))
    with pytest.raises(Conflict) as refusal:
        close()
    assert (refusal.value.code, refusal.value.faults[0].pointer) == ("notices-missing", "/breach-gdpr@1/initial")
    house.notice(breach_id)
    assert code(close) == "subjects-not-told"
    assess_breach(house.vault, house.dpo, breach_id, ASSESSED)
    close()


def test_where_a_risk_is_unlikely_the_gdpr_asks_for_no_notice_and_others_do(house: House) -> None:
    unlikely = replace(ASSESSED, risk="unlikely")
    alone, both = house.opened().breach_id, house.opened(regimes=("breach-gdpr", "breach-nis2-it")).breach_id
    for breach_id in (alone, both):
        assess_breach(house.vault, house.dpo, breach_id, unlikely)
    assert house.states(alone) == {("initial", "aware"): "not-needed"}
    close_breach(house.vault, house.dpo, alone, "dati cifrati, nessuna chiave esposta")
    assert code(lambda: close_breach(house.vault, house.dpo, both, "dati cifrati, nessuna chiave esposta")) == "notice.missing"
    assess_breach(house.vault, house.dpo, both, ASSESSED)
    assert house.states(both)["initial", "aware"] == "running"  # assessed anew


def test_that_data_are_unintelligible_is_no_ground_where_a_key_was_exposed(house: House) -> None:
    breach_id = house.opened().breach_id
    ground = Telling("not-needed", house.at, "i dati sottratti erano cifrati", exemption="ineffective")
    tell = lambda: tell_subjects_of_breach(house.vault, house.dpo, breach_id, ground)  # noqa: E731
    assert code(tell) == "not-assessed"
    assess_breach(house.vault, house.dpo, breach_id, replace(ASSESSED, exposed_keys=("contact",)))
    assert code(tell) == "keys-exposed"
    assess_breach(house.vault, house.dpo, breach_id, ASSESSED)
    tell()


UNFIT: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("open", {"summary": "breve"}, "text.too-short"),
    ("open", {"aware_because": "x" * 1_001}, "text.too-long"),
    ("open", {"kinds": ()}, "kinds.unknown"),
    ("open", {"kinds": ("theft",)}, "kinds.unknown"),
    ("open", {"aware_at": AWARE + timedelta(days=1)}, "instant.ahead"),
    ("open", {"detected_at": AWARE + timedelta(seconds=1)}, "instant.after-aware"),
    ("open", {"classified_at": AWARE + timedelta(days=1)}, "instant.ahead"),
    ("open", {"regimes": ()}, "regime.unknown"),
    ("open", {"regimes": ("breach-of-nothing",)}, "regime.unknown"),
    ("open", {"aware_at": datetime(2018, 5, 24, tzinfo=UTC)}, "regime.unknown"),
    ("assess", {"risk": "none"}, "risk.unknown"),
    ("assess", {"classes": ("shoes",)}, "class.unknown"),
    ("assess", {"subjects": -1}, "count.negative"),
    ("assess", {"classified_at": AWARE + timedelta(days=1)}, "instant.ahead"),
    ("assess", {"measures": "breve"}, "text.too-short"),
    ("notice", {"sent_at": AWARE + timedelta(days=1)}, "instant.ahead"),
    ("notice", {"sent_at": AWARE - timedelta(seconds=1)}, "instant.before-aware"),
    ("notice", {"notice": "last"}, "notice.not-of-regime"),
    ("notice", {"regime": "breach-dora"}, "notice.not-of-regime"),
    ("notice", {"said": "breve"}, "text.too-short"),
    ("notice", {"reasons": "x" * 1_001}, "text.too-long"),
    ("tell", {"how": "loudly"}, "how.unknown"),
    ("tell", {"at": AWARE + timedelta(days=1)}, "instant.ahead"),
    ("tell", {"exemption": "ineffective"}, "exemption.unfit"),
    ("tell", {"how": "not-needed"}, "exemption.unfit"),
    ("tell", {"said": "breve"}, "text.too-short"),
    ("close", {"reasons": "breve"}, "text.too-short"),
)


@pytest.mark.parametrize(("act", "change", "expected"), UNFIT)
def test_what_is_unfit_is_refused_by_its_member(refusing: House, act: str, change: dict[str, Any], expected: str) -> None:
    if act == "open":
        assert code(lambda: refusing.opened(**change)) == expected
        return
    breach_id, told = refusing.opened().breach_id, Telling("public", refusing.at, "un avviso sul sito e in filiale")
    acts: dict[str, Callable[[], object]] = {
        "assess": lambda: assess_breach(refusing.vault, refusing.dpo, breach_id, replace(ASSESSED, **change)),
        "notice": lambda: refusing.notice(breach_id, **{"notice": "initial", **change}),
        "tell": lambda: tell_subjects_of_breach(refusing.vault, refusing.dpo, breach_id, replace(told, **change)),
        "close": lambda: close_breach(refusing.vault, refusing.dpo, breach_id, change["reasons"]),
    }
    with pytest.raises(InvalidValue) as refusal:
        acts[act]()
    assert expected in {one.code for one in refusal.value.faults}
    assert refusing.shown(breach_id)["phases"] == []


# --- who, and on record


@pytest.mark.parametrize("role", ["t1", "operator", "system", "dpo"])
def test_breaches_are_the_officers_and_for_compliance_alone(house: House, role: str) -> None:
    breach_id = house.opened().breach_id
    who = make_context(house.controller_id, role, purpose=None if role == "dpo" else "legal-compliance")
    report = Report(AWARE, ("confidentiality",), SUMMARY, WHY)
    acts: list[Callable[[], object]] = [
        lambda: open_breach(house.vault, who, report),
        lambda: assess_breach(house.vault, who, breach_id, ASSESSED),
        lambda: show_breach(house.vault, who, breach_id),
        lambda: show_breaches(house.vault, who),
    ]
    acts += [  # whoever may not learns nothing of classes or laws either
        lambda: open_breach(house.vault, who, replace(report, regimes=("breach-of-nothing",))),
        lambda: assess_breach(house.vault, who, breach_id, replace(ASSESSED, classes=("nothing",))),
    ]
    for act in acts:
        with pytest.raises(AccessDenied):
            act()
    assert house.ledger.outcomes("open_breach") == ["done", "refused", "refused"]
    assert house.ledger.outcomes("show_breach") == ["refused", "refused"]


def test_a_breach_there_is_not_is_not_found_and_that_is_on_record(house: House) -> None:
    nowhere = "brc_" + "z" * 26
    for act in (lambda: house.shown(nowhere), lambda: house.notice(nowhere)):
        with pytest.raises(NotFound):
            act()
    assert house.ledger.outcomes("show_breach") == house.ledger.outcomes("advance_breach") == ["refused"]


def test_what_people_wrote_is_sealed_and_in_no_entry(
    house: House, opened_entry: Callable[[str], ReadEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = house.opened()
    entry = opened_entry(done.entry_id)
    assert entry.details["breach"] == done.breach_id
    rows = repr(house.ledger.rows("vault.breach") + house.ledger.rows("vault.breach_phase"))
    assert "operatore" not in rows + repr(entry) + repr(house.ledger.leaves("open_breach"))
    assert "operatore" not in repr(Report(AWARE, (), SUMMARY, WHY))
    monkeypatch.setattr(house.vault.audit, "_is_open", lambda _: False)
    for act in (house.opened, lambda: house.shown(done.breach_id), lambda: show_breaches(house.vault, house.dpo)):
        with pytest.raises(AuditUnavailable):
            act()


def test_words_moved_to_another_breach_or_phase_do_not_open(house: House) -> None:
    first, second = house.opened().breach_id, house.opened().breach_id
    ((version, sealed),) = house.ledger.rows("vault.breach", f"breach_id = '{first}'", "secret_version, sealed")
    place = (house.vault, house.controller_id)
    assert sealed_words.opened_words(*place, first, 0, version, sealed)["summary"] == SUMMARY
    for breach_id, number in ((second, 0), (first, 1)):
        with pytest.raises(Unreadable):
            sealed_words.opened_words(*place, breach_id, number, version, sealed)


def test_words_that_are_no_words_are_unreadable(house: House) -> None:
    secret = house.vault.keys.secret(house.controller_id, sealed_words.PURPOSE)
    place = sealed_words._place(house.controller_id, "brc_x", 0)
    sealed = seal_bytes(expand(secret.key, lp("riserbo.breach.v1")), place, b"[]")
    with pytest.raises(Unreadable):
        sealed_words.opened_words(house.vault, house.controller_id, "brc_x", 0, secret.version, sealed)


def test_the_register_lists_every_breach_the_newest_first(house: House) -> None:
    first = house.opened().breach_id
    house.after(3)
    second = house.opened(kinds=("integrity", "availability")).breach_id
    listed = show_breaches(house.vault, house.dpo)
    assert [one["breach_id"] for one in listed.document["breaches"]] == [second, first]
    assert "words" not in listed.document["breaches"][0]
    assert listed.document["breaches"][0]["kinds"] == ["availability", "integrity"]


def test_of_two_who_act_at_once_one_is_told_to_look_again(house: House) -> None:
    """The number of a phase is taken once: nobody adds to what they have not read."""
    breach_id = house.opened().breach_id
    assess_breach(house.vault, house.dpo, breach_id, ASSESSED)
    unaware = PhaseRow(1, "assessed", {}, house.at, "dpo-1", 1, b"", "ent_x")
    with pytest.raises(Conflict), house.vault.database.transaction(house.controller_id) as rows:
        breaches.add_phase(rows, house.controller_id, breach_id, unaware)


def test_a_regime_the_bundle_no_longer_has_is_told(house: House) -> None:
    breach_id = house.opened().breach_id

    class Without(Policy):
        """The policy of a bundle without regimes."""

    other = Without(house.vault.policy._bundle)
    other.regimes = ()
    house.vault = replace(house.vault, policy=other)
    assert code(lambda: house.notice(breach_id)) == "regime-not-in-bundle"
    assert code(house.opened) == "regime.unknown"
    assert assess_breach(house.vault, house.dpo, breach_id, replace(ASSESSED, risk="unlikely")).state == "assessed"


@pytest.mark.parametrize("table", ["breach", "breach_phase", "breach_deadline"])
def test_not_even_the_owner_changes_the_register(house: House, table: str) -> None:
    breach_id = house.opened().breach_id
    assess_breach(house.vault, house.dpo, breach_id, ASSESSED)
    for statement in (f"UPDATE vault.{table} SET entry_id = 'x'", f"DELETE FROM vault.{table}", f"TRUNCATE vault.{table}"):
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            house.ledger.owner(statement)
