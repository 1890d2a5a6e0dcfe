"""The arithmetic of the benchmarks: a figure is as good as the rule that makes it."""

import json
import os
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import decisions, people, report
from benchmarks.figures import ENOUGH_ROUNDS, GATES, Gate, Window, compare, failed_in_both, judge, one_entry_each, spread
from benchmarks.floor import Floor
from benchmarks.imports import Rates, figures_of
from benchmarks.load import parsed
from benchmarks.processes import family, on_cpu, spent_between
from benchmarks.sample import WrongAnswer, check_answer
from tests.makers import make_context, make_subject, make_ticket, register
from vault.assembly import Vault
from vault.errors import VaultError
from vault.operations.disclosure import Ask
from vault.policy.masks import show

FAST, SLOW = ("fast", 8), ("slow", 8)


def window(answered=1_000, failed=0, cpu_ns=10_000_000, p50=100.0, p99=900.0, seconds=1.0):
    return Window(answered, seconds, failed, cpu_ns, p50, p99)


def rounds(mine, reference, count=ENOUGH_ROUNDS):
    return [{FAST: reference, SLOW: mine}] * count


def test_ratios_are_of_rates_and_of_cpu_per_request():
    mine = window(answered=500, cpu_ns=20_000_000, p50=150.0, p99=1_800.0, seconds=2.0)
    found = compare(rounds(mine, window()), "slow", "fast", 8)
    assert found.rps_ratio is not None
    assert found.rps_ratio.median == pytest.approx(0.25)
    assert found.cpu_ratio.median == pytest.approx(4.0)
    assert found.p50_ratio.median == pytest.approx(1.5)
    assert found.p99_ratio.median == pytest.approx(2.0)


def test_the_ratio_is_taken_in_each_round_before_the_median():
    """The machine halved its speed half-way: both lost alike, so the ratio does not move, as a ratio of medians would."""
    speeds = [1_000] * 4 + [500] * 4
    seen = [{FAST: window(answered=speed), SLOW: window(answered=speed // 2)} for speed in speeds]
    seen.append({FAST: window(answered=500), SLOW: window(answered=500)})
    found = compare(seen, "slow", "fast", 8)
    assert found.rps_ratio.median == pytest.approx(0.5)
    assert found.rps_ratio.count == 9


@pytest.mark.parametrize("spoilt", [window(failed=1), window(answered=0)])
@pytest.mark.parametrize("place", [FAST, SLOW])
def test_a_void_window_voids_its_round_for_both(place, spoilt):
    good = rounds(window(answered=700), window())
    bad = [{FAST: window(), SLOW: window(), place: spoilt}] * 5
    found = compare([*good, *bad], "slow", "fast", 8)
    assert found.rps_ratio.count == ENOUGH_ROUNDS
    assert found.rps_ratio.median == pytest.approx(0.7)


def test_fewer_than_seven_rounds_make_no_figure():
    assert compare(rounds(window(), window(), ENOUGH_ROUNDS - 1), "slow", "fast", 8).rps_ratio is None
    assert compare([], "slow", "fast", 8).cpu_us is None


def test_an_absent_window_makes_no_figure():
    assert compare([{FAST: window()}] * ENOUGH_ROUNDS, "slow", "fast", 8).rps_ratio is None


@given(st.lists(st.floats(0.01, 100), min_size=ENOUGH_ROUNDS, max_size=30))
def test_the_median_lies_between_the_quartiles_and_they_among_the_values(values):
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)
    assert found.count == len(values)


def results(value):
    return {"masked_read": {"c64": {"rps_ratio": value}}}


@pytest.mark.parametrize(
    ("found", "outcome"),
    [(results(0.6), "pass"), (results(0.59), "fail"), (results(None), "void"), ({}, "not run"), ({"masked_read": None}, "not run")],
)
def test_a_gate_tells_failing_from_void_and_from_not_run(found, outcome):
    gate = Gate(("masked_read", "c64", "rps_ratio"), 0.6, 0.9)
    assert [one.outcome for one in judge(found, [gate])] == [outcome]


def test_costs_are_bounded_from_above():
    gate = Gate(("cost",), 1.5, 1.0, at_most=True)
    assert [judge({"cost": cost}, [gate])[0].outcome for cost in (1.5, 1.51)] == ["pass", "fail"]
    assert gate.reaches_goal(1.0)
    assert not gate.reaches_goal(1.2)


def test_one_bad_run_is_noise_and_two_are_a_failure():
    bad, good, void = (judge(results(value)) for value in (0.1, 0.9, None))
    assert failed_in_both(bad, good) == []
    assert failed_in_both(bad, []) == []
    assert [gate.path for gate in failed_in_both(bad, void)] == [("masked_read", "c64", "rps_ratio")]


def test_the_gates_are_those_decided():
    bounds = {".".join(gate.path): gate.bound for gate in GATES}
    assert bounds["masked_read.c64.rps_ratio"] == 0.6
    assert bounds["masked_read.c8.rps_ratio"] == 0.5
    assert bounds["masked_read.c64.cpu_ratio"] == 1.5
    assert bounds["masked_read.c8.cpu_ratio"] == 2.0
    assert bounds["masked_read.c1.p50_ratio"] == 2.0
    assert bounds["masked_read.c8.p99_ratio"] == bounds["masked_read.c64.p99_ratio"] == 3.0
    assert bounds["import.seal_ratio"] == 0.5
    assert bounds["import.with_parsing_ratio"] == 0.4
    assert bounds["import.peak_mb"] == 300


def test_an_answer_without_an_entry_is_found_and_so_is_an_entry_too_many():
    assert one_entry_each(answered=100, entries=100, cut=8)
    assert one_entry_each(answered=100, entries=108, cut=8)
    assert not one_entry_each(answered=100, entries=99, cut=8)
    assert not one_entry_each(answered=100, entries=109, cut=8)


def test_what_wrk_prints_becomes_a_window():
    printed = b'Running 1s test\n  1 threads\n{"answered":42,"micros":1050000,"failed":3,"p50":700,"p99":2900}\n'
    found = parsed(printed, 84_000)
    assert (found.answered, found.seconds, found.failed, found.p50_us, found.p99_us) == (42, 1.05, 3, 700.0, 2900.0)
    assert found.void
    assert found.cpu_us == 2.0


def test_cpu_of_a_thread_that_came_counts_and_of_one_that_went_does_not_go_below_nothing():
    assert spent_between({(1, 1): 50, (1, 2): 900}, {(1, 1): 80, (1, 3): 5}) == 35


def test_this_process_is_seen_working():
    me = os.getpid()
    before = on_cpu([me])
    assert sum(range(300_000))
    assert spent_between(before, on_cpu([me])) > 0
    assert me in family([os.getppid()])


def test_the_import_is_compared_run_by_run():
    rates = [Rates(sealed=2_000, imported=1_000, parsed=900), Rates(1_000, 700, 600), Rates(1_000, 600, 500)]
    found = figures_of(rates, {"x1": 120.0, "x4": 130.0})
    assert found["seal_ratio"] == pytest.approx(0.6)
    assert found["with_parsing_ratio"] == pytest.approx(0.5)
    assert found["per_second"] == 600
    assert found["peak_mb"] == 130.0
    assert figures_of([], {}).keys() == {"lines"}  # what time ran out for was not run, which is not void


def answer(row=7, **changed):
    values, one = people.customer(row), people.MASKED_READ
    masks = dict.fromkeys(one.masked, "last4")
    shown = {name: {"state": "clear", "value": values[name], "mask": None, "because": ""} for name in one.clear}
    shown |= {
        name: {"state": "masked", "value": show(mask, values[name]), "mask": mask, "because": ""} for name, mask in masks.items()
    }
    return {"subject_id": "sub_a", "fields": {**shown, **changed}}


def test_a_right_answer_is_taken_for_one():
    withheld = {"state": "withheld", "value": None, "mask": None, "because": "channel-cap"}
    check_answer(people.MASKED_READ, 7, "sub_a", answer(health_note=withheld))


@pytest.mark.parametrize(
    "wrong",
    [
        {"given_name": {"state": "clear", "value": "Nessuno", "mask": None, "because": ""}},
        {"iban": {"state": "clear", "value": people.customer(7)["iban"], "mask": None, "because": ""}},
        {"iban": {"state": "withheld", "value": None, "mask": None, "because": "role"}},
        {"health_note": {"state": "clear", "value": people.customer(7)["health_note"], "mask": None, "because": ""}},
    ],
)
def test_a_wrong_answer_voids_the_run(wrong):
    with pytest.raises(WrongAnswer):
        check_answer(people.MASKED_READ, 7, "sub_a", answer(**wrong))


def test_another_persons_answer_voids_the_run():
    with pytest.raises(WrongAnswer):
        check_answer(people.MASKED_READ, 8, "sub_a", answer(row=7))
    with pytest.raises(WrongAnswer):
        check_answer(people.MASKED_READ, 7, "sub_b", answer(row=7))


def test_a_missing_field_voids_the_run():
    body = answer()
    del body["fields"]["iban"]
    with pytest.raises(WrongAnswer):
        check_answer(people.MASKED_READ, 7, "sub_a", body)


def test_every_customer_has_the_thirty_fields_that_are_asked():
    fields = people.MASKED_READ.fields
    assert fields is not None
    assert len(fields) == len(set(fields)) == 30
    assert people.customer(12_345).keys() == set(fields)


def test_results_have_the_agreed_form_and_a_copy_by_date(tmp_path):
    seen = [{("hello_commit", c): window(), ("masked_read", c): window(answered=800)} for c in (1, 8, 64)]
    one_round = {place: found for part in seen for place, found in part.items()}
    document = {"masked_read": report.compared([one_round] * 7, "masked_read"), "machine": {}}
    copy = report.kept(document, datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), tmp_path)
    kept = json.loads((tmp_path / "results.json").read_text())
    assert copy == tmp_path / "results" / "2026-02-03T040506Z.json"
    assert json.loads(copy.read_text()) == kept
    assert kept["masked_read"].keys() == {"c1", "c8", "c64"}
    assert kept["masked_read"]["c8"]["rps_ratio"] == 0.8
    assert {"rps_ratio", "cpu_ratio", "p50_ratio", "p99_ratio"} <= kept["masked_read"]["c64"].keys()


def test_the_floor_reads_records_and_answers(vault: Vault, controller_id: str) -> None:
    register(vault, controller_id, "t1")
    person = make_subject(vault, controller_id, {"given_name": "Giulia", "email": "giulia@example.it"})
    desk = make_context(controller_id, "t1", ticket=make_ticket(vault, controller_id, person.subject_id, "t1"))
    lane = vault.audit.open_lane(controller_id)
    try:
        answers = Floor().disclose_all(vault, [Ask(desk, person.subject_id, ("email",))] * 3, lane.record_all)
    finally:
        lane.close()
    shown = [one for one in answers if not isinstance(one, VaultError)]
    assert len({one.entry_id for one in shown}) == 3
    assert {json.loads(one.encoded())["subject_id"] for one in shown} == {person.subject_id}


def test_deciding_is_measured_in_ratios_of_one_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """One round of few acts: that there are figures, and that a hit is cheaper than a miss by far."""
    for name, few in {"ROUNDS": 1, "SINGLE": 3, "MISSES": 1, "HITS": 20}.items():
        monkeypatch.setattr(decisions, name, few)
    found = decisions.measure_decisions()
    assert (found["fields"], found["rounds"]) == (30, 1)
    assert found["miss_in_singles"] > 1
    assert found["hits_in_a_miss"] > 50
    assert {one.gate.path[1] for one in judge({"policy": found}) if one.outcome != "not run"} == {
        "miss_in_singles", "hits_in_a_miss",
    }  # fmt: skip
