"""Reconcilers: one holder each, short passes, errors kept and backed off."""

import threading
from collections.abc import Callable
from datetime import datetime

import pytest

from falaj.kernel.clock import EPOCH, ManualClock
from falaj.kernel.errors import Unavailable
from falaj.pipelines.process import WorkerId, this_worker
from falaj.pipelines.reconcile import MAX_PASSES_IN_A_ROW, ReconcilerLoop, reconciler_states
from falaj.pipelines.tables import RECONCILER
from unit.pipelines.worker_bench import Bench


class Counter:
    """Does a number of passes of work and may do something in each."""

    def __init__(self, work: int = 0, during: Callable[[], None] = lambda: None, name: str = "rollouts") -> None:
        self.name = name
        self.work = work
        self.during = during
        self.passes = 0
        self.seen = threading.Event()

    def run_pass(self, now: datetime) -> bool:
        assert now.tzinfo is not None
        self.passes += 1
        self.during()
        self.seen.set()
        self.work -= 1
        return self.work >= 0


@pytest.fixture
def clock(bench: Bench) -> ManualClock:
    bench.clock = ManualClock(EPOCH)
    return bench.clock


def _loop(bench: Bench, *reconcilers: Counter, owner: WorkerId | None = None) -> ReconcilerLoop:
    return ReconcilerLoop(bench.db, bench.clock, reconcilers, owner or this_worker(), pause_s=0.01)


def test_passes_follow_one_another_while_there_is_work(bench: Bench) -> None:
    counter, idle = Counter(work=3), Counter(name="idle")
    assert _loop(bench, idle, counter).run_once()
    assert (counter.passes, idle.passes) == (4, 1)
    states = {state.name: state for state in reconciler_states(bench.db)}
    assert (states["rollouts"].passes, states["rollouts"].owner) == (3, None)
    assert states["idle"].passes == 0
    assert not _loop(bench, idle).run_once()


def test_endless_work_is_bounded(bench: Bench) -> None:
    counter = Counter(work=10_000)
    assert _loop(bench, counter).run_once()
    assert counter.passes == MAX_PASSES_IN_A_ROW


def test_an_error_is_kept_backed_off_and_forgotten_after_a_success(bench: Bench, clock: ManualClock) -> None:
    def fail() -> None:
        raise Unavailable("the store is away", hint="start it")

    counter, other = Counter(during=fail), Counter(name="triggers")
    loop = _loop(bench, counter, other)
    passes = []
    for _ in range(12):
        loop.run_once()
        clock.advance(1)
        passes.append(counter.passes)
    # Tried at 0 s, then after pauses of 1, 2 and 4 s; the next would be at 15 s.
    assert passes == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 4]
    assert other.passes == 12
    state = next(state for state in reconciler_states(bench.db) if state.name == "rollouts")
    assert (state.failures, state.error, state.owner) == (4, "the store is away (start it)", None)
    counter.during = lambda: None
    clock.advance(3)
    loop.run_once()
    state = next(state for state in reconciler_states(bench.db) if state.name == "rollouts")
    assert (state.failures, state.error) == (0, None)


def test_the_pause_after_an_error_is_a_minute_at_most(bench: Bench, clock: ManualClock) -> None:
    def fail() -> None:
        raise ValueError

    counter = Counter(during=fail)
    loop = _loop(bench, counter)
    for tries in range(1, 15):
        loop.run_once()
        assert counter.passes == tries
        clock.advance(60)


def test_one_process_at_a_time_holds_a_reconciler(bench: Bench) -> None:
    inner = Counter()

    def another_tries() -> None:
        _loop(bench, inner).run_once()

    _loop(bench, Counter(during=another_tries)).run_once()
    assert inner.passes == 0
    _loop(bench, inner).run_once()
    assert inner.passes == 1


def _hold(bench: Bench, owner: WorkerId, lease_until: int) -> None:
    _loop(bench, Counter()).run_once()
    with bench.db.write() as connection:
        connection.execute(RECONCILER.update().values(owner=str(owner), lease_until=lease_until))


def test_a_dead_holder_here_is_succeeded_at_once_with_a_new_epoch(bench: Bench) -> None:
    _hold(bench, WorkerId(this_worker().host, 2**30, "long ago", "0"), lease_until=1 << 62)
    before = reconciler_states(bench.db)[0].epoch
    counter = Counter()
    _loop(bench, counter).run_once()
    assert counter.passes == 1
    assert reconciler_states(bench.db)[0].epoch == before + 1


def test_a_holder_elsewhere_is_succeeded_when_its_lease_is_over(bench: Bench, clock: ManualClock) -> None:
    _hold(bench, WorkerId("elsewhere", 1, "0", "0"), lease_until=15_000_000)
    counter = Counter()
    clock.advance(15)
    _loop(bench, counter).run_once()
    assert counter.passes == 0
    clock.advance(1)
    _loop(bench, counter).run_once()
    assert counter.passes == 1


def test_threads_run_until_stopped_and_give_the_lease_back(bench: Bench) -> None:
    counter, other = Counter(), Counter(name="triggers")
    loop = _loop(bench, counter, other)
    loop.start()
    for each in (counter, other):
        for _ in range(3):
            assert each.seen.wait(10)
            each.seen.clear()
            loop.wake()
    loop.stop()
    assert [state.owner for state in reconciler_states(bench.db)] == [None, None]
    assert counter.passes >= 3
