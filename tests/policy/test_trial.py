"""A bundle on trial: what a slip in a policy makes fail, and that a sound bundle passes."""

from dataclasses import replace
from typing import Any

import pytest

from tests.policy.makers import bundle, candidate
from vault.policy.cedar import compiled
from vault.policy.mutation import Mutant, Mutations, _bounds, mutants, mutation
from vault.policy.rows import Verdict
from vault.policy.trial import Candidate, Check, failing, invariant_checks, matrix_checks, tried

CHECKS = list(matrix_checks(bundle()))
INVARIANTS = list(invariant_checks(bundle()))


def without(*names: str) -> Candidate:
    return candidate().with_policies({name: one for name, one in bundle().policies.items() if name not in names})


def failed(made: Candidate, checks: list[Check]) -> str:
    return "\n".join(one for check in checks for one in failing(made, check))


def test_the_shipped_bundle_passes() -> None:
    advanced: list[int] = []
    outcome = tried(candidate(), [*CHECKS, *INVARIANTS], advanced.append)
    assert outcome.failed == ()
    assert outcome.cases == outcome.passed == sum(advanced)
    assert outcome.cases >= 1_200


def test_a_case_that_comes_out_otherwise_is_named() -> None:
    found = failed(without("t1-contact"), [one for one in CHECKS if one.name.startswith("retail/t1")])
    assert found.splitlines()[0].startswith("retail/t1/email: expected masked email_domain support-t1-contact, got ")


def test_a_case_that_asks_for_what_there_is_not_fails() -> None:
    files = dict(bundle().files)
    files["tests/matrix/more.yaml"] = b"""schema: riserbo-matrix/1
cases: [{name: nobody, from: nobody, agreements: [retail@1], expect: {email: [clear, null, role]}}]
requests: [{from: t1, field: shoe_size, action: view_clear, allowed: false}]
laws: [{from: t1, agreement: retail@9, field: email, allowed: false}]
"""
    more = replace(bundle(), files=files)
    found = [
        one
        for check in matrix_checks(more)
        if "more" in check.name or check.name == "nobody"
        for one in failing(Candidate.of(more), check)
    ]
    assert found == [
        f"{name}: asks for what is not in the bundle"
        for name in ("nobody", "tests/matrix/more.yaml, request 1", "tests/matrix/more.yaml, law 1")
    ]


def test_an_engine_that_errs_fails_every_kind_of_check() -> None:
    class Erring:
        def evaluate(self, _: Any, requests: Any) -> list[Verdict]:
            return [Verdict(allowed=True, by=(), failed=True)] * len(requests)

    erring = Candidate.of(bundle(), Erring())
    assert {one.name for one in [*CHECKS, *INVARIANTS] if not failing(erring, one)} == LAWS_WITH_PARTIES


LAWS_WITH_PARTIES = {  # asked of an engine of their own
    *(f"tests/matrix/requests.yaml, law {number}" for number in range(2, 7)),
    "tests/matrix/second.yaml, law 7",
}


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("special data are for care", ("deny-special-outside-care",)),
        ("what is not lawful", ("deny-no-lawful-basis",)),
        ("a chat shows no more", ()),
        ("an asserted ticket shows no more", ()),
        ("dpo and operator see nothing", ("deny-office",)),
    ],
)
def test_each_invariant_can_fail(rule: str, broken: tuple[str, ...]) -> None:
    """Permits for everybody take the place of what the roles' policies happen not to permit."""
    everything = 'permit (principal, action in Vault::Action::"view_any", resource)'
    made = with_permit(everything if broken else PERVERSE, broken)
    found = [one for one in INVARIANTS if one.name.startswith(rule) and failing(made, one)]
    assert found


PERVERSE = (
    'permit (principal, action in Vault::Action::"view_any", resource) when'
    ' { context.channel == "chat" || (context has ticket && !context.ticket.verified) }'
)


def with_permit(text: str, dropped: tuple[str, ...] = ()) -> Candidate:
    added = compiled(f'@id("added")\n@reason("agreed")\n@owner("nobody")\n{text};\n')
    caps = {"deny-open-channel", "deny-weak-ticket", "deny-no-ticket"} if not dropped else set()
    kept = {name: one for name, one in bundle().policies.items() if name not in dropped and name not in caps}
    return candidate().with_policies({**kept, **added})


def test_each_way_of_slipping_is_tried() -> None:
    names = [one.name for one in mutants(bundle().policies)]
    assert len(names) == len(set(names))
    assert {f"{name}: dropped" for name in bundle().policies} <= set(names)
    assert "deny-restricted: its exemption dropped" in names
    assert "deny-restricted: its `unless` negated" in names
    assert "t1-contact: its `when` negated" in names
    assert "t1-contact: on view_clear instead" in names
    bounds = [one for one in names if one.startswith("deny-self-level: its bound")]
    assert [one.rpartition("bound ")[2] for one in bounds] == ["1 (2) at 1", "1 (2) at 3", "2 (3) at 2", "2 (3) at 4"]
    assert not [one for one in names if one.startswith("gate1-") and "instead" in one]


def test_a_slip_is_noticed_where_a_case_checks_its_policy_and_survives_elsewhere() -> None:
    only = [one for one in CHECKS if one.name.startswith("retail/t1")]
    slips = [one for one in mutants(bundle().policies) if one.policy in ("t1-contact", "billing-contact")]
    advanced: list[int] = []
    found = mutation(candidate(), only, slips, advanced.append)
    assert found.total == len(advanced) == len(slips)
    assert set(found.survivors) == {one.name for one in slips if one.policy == "billing-contact"}
    assert found.killed == 3


def test_a_slip_that_no_engine_takes_is_noticed() -> None:
    unfit = Mutant("x", "t1-contact", {"t1-contact": {**bundle().policies["t1-contact"], "effect": "perhaps"}})
    assert mutation(candidate(), [], [unfit]).survivors == ()


def test_a_moved_bound_is_one_policy_with_another_number() -> None:
    lower, *_, last = [one for one in mutants(bundle().policies) if one.name.startswith("deny-self-level: its bound")]
    for slip, bounds in ((lower, [1, 3]), (last, [2, 4])):
        assert _bounds(slip.policies["deny-self-level"]["conditions"]) == bounds
        assert {name for name, one in slip.policies.items() if one != bundle().policies[name]} == {"deny-self-level"}


SLIPS = list(mutants(bundle().policies))
SURVIVORS: dict[str, str] = {}  # which slip no case notices, and why that is no harm; there is none


def test_the_cases_notice_every_slip_in_a_sample() -> None:
    """`riserbo policy test` tries them all; here each policy of gate 1 dropped, and every tenth of the others."""
    lawful = [one for one in SLIPS if one.policy.startswith("gate1-")]
    dropped = [one for one in lawful if one.name.endswith(": dropped")]
    found = mutation(candidate(), CHECKS, [*dropped, *[one for one in SLIPS if one not in lawful][::10]])
    assert found.survivors == ()


@pytest.mark.drill
def test_no_slip_goes_unnoticed_but_those_that_do_no_harm() -> None:
    found = mutation(candidate(), CHECKS, SLIPS)
    assert found.enough
    assert set(found.survivors) == SURVIVORS.keys()


def test_enough_is_95_in_a_hundred_and_every_prohibition_of_gate_one() -> None:
    assert Mutations(100, tuple(map(str, range(5)))).enough
    assert not Mutations(100, tuple(map(str, range(6)))).enough
    assert not Mutations(1_000, ("gate1-consent: dropped",)).enough
    assert Mutations(0, ()).enough
