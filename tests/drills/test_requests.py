"""Two thousand requests of fifty steps each, against the model."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.rights.test_moves import Requests


@pytest.mark.drill
def test_two_thousand_requests_move_as_the_model_does() -> None:
    run_state_machine_as_test(Requests, settings=settings(max_examples=2_000, stateful_step_count=50, deadline=None))
