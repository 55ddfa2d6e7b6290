"""Turns: no run waits for all of another, and Falaj's own steps wait for none of a user's."""

from collections.abc import Iterator

import pytest

from falaj.pipelines.attempt import Result
from falaj.pipelines.claims import Claim, Claims
from falaj.pipelines.completion import Completion
from falaj.pipelines.context import EndState
from falaj.pipelines.process import this_worker
from falaj.pipelines.submission import cancel, retry
from unit.pipelines.counted_pipelines import squares
from unit.pipelines.worker_bench import Bench


class Row:
    """A worker that does nothing, which shows in what order steps are taken."""

    def __init__(self, bench: Bench, *executors: str) -> None:
        self.bench = bench
        self.claims = Claims(bench.db, bench.clock, this_worker(), lease_s=15.0, executors=executors)
        self.completion = Completion(bench.db, bench.clock, lambda _: None)

    def take(self) -> Claim:
        claim = self.claims.take()
        assert claim is not None
        return claim

    def end(self, claim: Claim) -> None:
        assert self.completion.succeeded(
            claim, f"{claim.run_id}/{claim.step.name}".ljust(64)[:64], {}, Result(state=EndState.SUCCEEDED),
            cached=True, log="",
        )  # fmt: skip

    def taken(self) -> Iterator[Claim]:
        """Give the claims, and end each as soon as the next is asked for."""
        while (claim := self.claims.take()) is not None:
            yield claim
            self.end(claim)


def many(bench: Bench, count: int, executor: str = "project") -> str:
    return bench.submit(*(bench.step(f"s{at:02}", "add", executor=executor) for at in range(count)))


def test_a_run_alternates_with_a_larger_one_that_came_before(bench: Bench) -> None:
    row, large = Row(bench, "project"), many(bench, 20)
    served = row.taken()
    assert [next(served).run_id for _ in range(5)] == [large] * 5
    small = many(bench, 3)
    assert [claim.run_id for claim in served] == [*[large, small] * 3, *[large] * 12]


def test_several_at_work_leave_the_next_turn_to_who_came_last(bench: Bench) -> None:
    row, large = Row(bench, "project"), many(bench, 20)
    held = [row.take() for _ in range(4)]
    small = many(bench, 2)
    for claim in held:
        row.end(claim)
    assert [claim.run_id for claim in row.taken()][:5] == [large, small, large, small, large]


def test_without_a_worker_at_work_runs_alternate_too(bench: Bench) -> None:
    first, second = many(bench, 3), many(bench, 3)
    assert [claim.run_id for claim in Row(bench, "project").taken()] == [first, second] * 3


def test_the_parts_of_a_list_alternate_with_another_run(bench: Bench) -> None:
    divided = bench.start(squares, "project", ledger=str(bench.ledger), number=4)
    row = Row(bench, "project")
    days = row.take()
    row.end(days)
    whole = row.take()
    assert whole.step.mapped
    parts = [bench.step(f"{whole.step.name}.{at}", "add", executor="project") for at in range(4)]
    assert row.completion.divided(whole, whole.step, parts)
    other = many(bench, 2)
    assert [claim.run_id for claim in row.taken()][:5] == [divided, other, divided, other, divided]


def test_own_steps_go_in_order_and_wait_for_no_users_step(bench: Bench) -> None:
    users = many(bench, 5)
    first, second = many(bench, 2, "in_process"), many(bench, 2, "child")
    own = Row(bench, "in_process", "child")
    assert [claim.run_id for claim in own.taken()] == [first, first, second, second]
    assert [claim.run_id for claim in Row(bench, "project").taken()] == [users] * 5


def test_a_run_that_goes_on_takes_its_turn_anew(bench: Bench) -> None:
    old, row = many(bench, 5), Row(bench, "project")
    row.end(row.take())
    cancel(bench.db, bench.clock, old, by=bench.actor)
    large = many(bench, 20)
    served = row.taken()
    assert [next(served).run_id for _ in range(10)] == [large] * 10
    retry(bench.db, bench.clock, old, by=bench.actor)
    assert [next(served).run_id for _ in range(8)] == [old, large] * 4  # the older one first


@pytest.mark.parametrize("executors", [("in_process", "child", "project"), ("project",), ("child",)])
def test_a_worker_takes_all_that_it_can_do_and_nothing_else(bench: Bench, executors: tuple[str, ...]) -> None:
    runs = {executor: many(bench, 2, executor) for executor in ("in_process", "child", "project")}
    assert sorted(claim.run_id for claim in Row(bench, *executors).taken()) == sorted(
        runs[executor] for executor in executors for _ in range(2)
    )
