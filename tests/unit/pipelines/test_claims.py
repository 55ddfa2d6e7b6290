"""A claim holds by its epoch: renewed while it does, told that it is lost when it does not."""

import sqlalchemy as sa

from falaj.kernel.clock import EPOCH, ManualClock
from falaj.pipelines.attempt import Result
from falaj.pipelines.claims import Claims
from falaj.pipelines.completion import Completion
from falaj.pipelines.context import EndState
from falaj.pipelines.process import this_worker
from falaj.pipelines.submission import cancel
from falaj.pipelines.tables import STEP
from unit.pipelines.worker_bench import Bench


def test_a_lease_is_renewed_from_now(bench: Bench) -> None:
    bench.clock = clock = ManualClock(EPOCH)
    bench.submit(bench.step("a", "add"))
    claims = Claims(bench.db, clock, this_worker(), lease_s=15.0, executors=["in_process", "child"])
    claim = claims.take()
    assert claim is not None
    clock.advance(5)
    assert claims.renew(claim)
    with bench.db.read() as connection:
        assert connection.execute(sa.select(STEP.c.lease_until)).scalar() == 20_000_000


def test_one_step_is_claimed_once_and_runs_are_served_in_order(bench: Bench) -> None:
    first, second = bench.submit(bench.step("a", "add")), bench.submit(bench.step("a", "add"))
    claims = Claims(bench.db, bench.clock, this_worker(), lease_s=15.0, executors=["in_process", "child"])
    taken = [claims.take(), claims.take(), claims.take()]
    assert [claim and claim.run_id for claim in taken] == [first, second, None]
    assert claims.take(first) is None


def test_whoever_lost_a_step_can_neither_renew_nor_end_nor_report(bench: Bench) -> None:
    bench.clock = clock = ManualClock(EPOCH)
    run_id = bench.submit(bench.step("a", "add"))
    old, new = (
        Claims(bench.db, clock, this_worker(), lease_s=15.0, executors=["in_process", "child"]) for _ in range(2)
    )
    lost = old.take()
    assert lost is not None
    assert old.wanted_end(lost) is None
    clock.advance(16)
    completion = Completion(bench.db, clock, lambda _: None)
    assert completion.ended(new.lost()[0], Result(state=EndState.LOST))
    taken = new.take()
    assert taken is not None
    assert (lost.epoch, taken.epoch) == (1, 2)
    assert not old.renew(lost)
    assert old.wanted_end(lost) is EndState.LOST
    old.report(lost, 0.9, "late")
    assert not completion.ended(lost, Result(state=EndState.FAILED))
    assert not completion.succeeded(lost, "k" * 64, {}, Result(state=EndState.SUCCEEDED), cached=False, log="")
    step = bench.steps(run_id)["a"]
    assert (step.progress, step.failures, step.epoch, step.owner) == (0.0, 0, 2, taken.owner)
    assert new.renew(taken)


def test_cancelling_is_seen_by_the_holder(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"))
    claims = Claims(bench.db, bench.clock, this_worker(), lease_s=15.0, executors=["in_process", "child"])
    claim = claims.take()
    assert claim is not None
    cancel(bench.db, bench.clock, run_id, by=bench.actor)
    assert claims.wanted_end(claim) is EndState.CANCELLED
