"""Stopping, and what a step may ask for."""

import threading
from pathlib import Path

import pytest

from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import NotFound
from falaj.pipelines.context import EndState, StepContext, StepStopped, StopSignal


class Asked:
    """Counts how often it is looked at."""

    def __init__(self) -> None:
        self.answer: EndState | None = None
        self.looks = 0

    def __call__(self) -> EndState | None:
        self.looks += 1
        return self.answer


def _context(stop: StopSignal | None = None) -> StepContext:
    return StepContext(
        run_id="run_1",
        step="train",
        attempt=1,
        params={},
        inputs={"features": {"table": "d" * 64, "rows": 10}},
        folder=Path("work"),
        checkpoint=Path("checkpoint"),
        files={"d" * 64: Path("blob")},
        stop=stop,
    )


def test_the_database_is_asked_at_most_four_times_a_second() -> None:
    clock, asked = ManualClock(), Asked()
    signal = StopSignal(asked, clock.monotonic)
    for _ in range(1000):
        clock.advance(0.001)
        signal.poll()
    assert asked.looks == 4


def test_timeout_cancel_and_shutdown_each_give_their_reason() -> None:
    clock, asked, shutdown = ManualClock(), Asked(), threading.Event()
    assert StopSignal(asked, clock.monotonic, shutdown=shutdown).poll() is None
    timed = StopSignal(asked, clock.monotonic, timeout_s=5.0)
    cancelled = StopSignal(asked, clock.monotonic)
    clock.advance(5)
    assert timed.poll() is EndState.TIMED_OUT
    asked.answer = EndState.CANCELLED
    assert cancelled.poll() is EndState.CANCELLED
    shutdown.set()
    assert StopSignal(asked, clock.monotonic, shutdown=shutdown).poll() is EndState.PREEMPTED


def test_the_first_reason_stays() -> None:
    clock = ManualClock()
    signal = StopSignal(lambda: None, clock.monotonic, timeout_s=1.0)
    signal.end(EndState.LOST)
    clock.advance(2)
    signal.end(EndState.CANCELLED)
    assert signal.poll() is EndState.LOST


def test_a_stopped_step_is_left_past_its_own_except_clauses() -> None:
    clock = ManualClock()
    signal = StopSignal(lambda: None, clock.monotonic)
    context = _context(signal)
    context.check()
    signal.end(EndState.CANCELLED)
    with pytest.raises(StepStopped):
        try:
            context.progress(0.5)
        except Exception:  # noqa: BLE001 what a step must not be able to do
            pytest.fail("a step's own except clause caught the stop")


def test_inputs_by_name_and_by_digest() -> None:
    context = _context()
    assert context.input("features", "rows") == 10
    assert context.path(context.input("features", "table")) == Path("blob")


def test_a_missing_input_is_named_with_what_there_is() -> None:
    for ask in (lambda: _context().input("features", "colums"), lambda: _context().path("f" * 64)):
        with pytest.raises(NotFound, match="step 'train' has no input") as error:
            ask()
        assert error.value.hint == "its inputs are: features.table, features.rows"
