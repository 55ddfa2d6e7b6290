"""What follows from each way an attempt can end."""

import pytest

from falaj.pipelines.attempt import Result, Verdict, judge
from falaj.pipelines.context import EndState
from falaj.pipelines.graph import Step

STEP = Step(name="a", function="m:f", retries=2, retry_delay_s=1.5)


def _judge(
    state: EndState, *, failures: int = 0, crashes: int = 0, over: bool = False, retryable: bool = True
) -> Verdict:
    result = Result(state=state, error="why", retryable=retryable)
    return judge(STEP, result, failures=failures, crashes=crashes, run_over=over)


@pytest.mark.parametrize("state", [EndState.FAILED, EndState.TIMED_OUT])
def test_failures_and_timeouts_spend_the_retries_with_growing_pauses(state: EndState) -> None:
    assert _judge(state) == Verdict(None, 1, 0, 1.5, "why")
    assert _judge(state, failures=1) == Verdict(None, 2, 0, 3.0, "why")
    assert _judge(state, failures=2) == Verdict(state, 3, 0, 0.0, "why")


def test_what_cannot_get_better_is_not_tried_again() -> None:
    assert _judge(EndState.FAILED, retryable=False).state is EndState.FAILED


def test_preemption_spends_nothing() -> None:
    assert _judge(EndState.PREEMPTED, failures=2, crashes=2) == Verdict(None, 2, 2, 0.0, "why")


def test_the_third_death_is_a_failure() -> None:
    assert _judge(EndState.LOST, failures=2) == Verdict(None, 2, 1, 0.0, "why")
    assert _judge(EndState.LOST, crashes=1).state is None
    third = _judge(EndState.LOST, crashes=2)
    assert third.state is EndState.FAILED
    assert third.error == "the step killed its process 3 times; the last time: why"


@pytest.mark.parametrize("state", [EndState.LOST, EndState.PREEMPTED, EndState.CANCELLED])
def test_in_a_run_that_is_over_nothing_is_tried_again(state: EndState) -> None:
    assert _judge(state, over=True).state is EndState.CANCELLED


def test_a_failure_in_a_cancelled_run_stays_a_failure() -> None:
    assert _judge(EndState.FAILED, over=True).state is EndState.FAILED
