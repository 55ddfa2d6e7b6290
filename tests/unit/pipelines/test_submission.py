"""Runs are written down, looked at, cancelled and retried."""

import pytest

from falaj.governance.audit import list_records
from falaj.kernel.errors import Conflict, NotFound
from falaj.pipelines.graph import Graph
from falaj.pipelines.runs import RunState, follow, get_run, list_runs, run_outputs
from falaj.pipelines.submission import cancel, retry, submit, submit_in
from unit.pipelines.worker_bench import ADA, Bench


def test_a_submitted_run_waits_with_all_its_steps(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"), bench.step("b", "add", needs=("a",)), params={"model": "fraud"})
    run = get_run(bench.db, run_id)
    assert (run.state, run.actor, run.reason, run.params) == (RunState.PENDING, "ada", "test", {"model": "fraud"})
    assert [(step.name, step.state, step.epoch) for step in bench.steps(run_id).values()] == [
        ("a", RunState.PENDING, 0),
        ("b", RunState.PENDING, 0),
    ]
    assert [(record.action, record.resource) for record in list_records(bench.db)] == [("run.submit", run_id)]


def test_runs_can_be_listed(bench: Bench) -> None:
    first, second = bench.submit(bench.step("a", "add")), bench.submit(bench.step("a", "add"))
    cancel(bench.db, bench.clock, first, by=ADA)
    assert [run.id for run in list_runs(bench.db)] == [second, first]
    assert [run.id for run in list_runs(bench.db, states=[RunState.CANCELLED])] == [first]
    assert [run.id for run in list_runs(bench.db, limit=1)] == [second]
    assert list_runs(bench.db, pipeline="other") == []
    assert list_runs(bench.db, without=list_runs(bench.db)[0].pipeline[:2]) == []
    assert [run.id for run in list_runs(bench.db, without="%")] == [second, first]
    assert list_runs(bench.db, since_us=1 << 62) == []


def test_one_active_run_per_key(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"), dedup_key="train:fraud")
    with pytest.raises(Conflict, match=rf"run {run_id} of 'train:fraud' is active") as refused:
        bench.submit(bench.step("a", "add"), dedup_key="train:fraud")
    assert f"falaj runs resume {run_id}" in refused.value.hint  # nobody may be working on it
    bench.submit(bench.step("a", "add"), dedup_key="train:churn")
    bench.worker().run_until_idle()
    bench.submit(bench.step("a", "add"), dedup_key="train:fraud")


def test_a_run_stands_or_falls_with_the_transaction_that_caused_it(bench: Bench) -> None:
    graph = Graph("p", (bench.step("a", "add"),))
    with pytest.raises(ZeroDivisionError), bench.db.write() as connection:
        submit_in(connection, bench.clock, bench.new_id, graph, by=ADA, reason="drift")
        _ = 1 / 0
    assert list_runs(bench.db) == []


def test_what_does_not_exist_is_not_found(bench: Bench) -> None:
    for ask in (
        lambda: get_run(bench.db, "run_0"),
        lambda: bench.steps("run_0"),
        lambda: cancel(bench.db, bench.clock, "run_0", by=ADA),
        lambda: retry(bench.db, bench.clock, "run_0", by=ADA),
        lambda: next(follow(bench.db, "run_0")),
    ):
        with pytest.raises(NotFound, match="run 'run_0' does not exist"):
            ask()


def test_a_waiting_run_is_cancelled_at_once(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"), bench.step("b", "add", needs=("a",)))
    run = cancel(bench.db, bench.clock, run_id, by=ADA)
    assert (run.state, run.error) == (RunState.CANCELLED, "cancelled by ada")
    assert {step.state for step in bench.steps(run_id).values()} == {RunState.CANCELLED}
    assert bench.worker().run_until_idle() == 0
    with pytest.raises(Conflict, match="already CANCELLED"):
        cancel(bench.db, bench.clock, run_id, by=ADA)


def test_a_retried_run_goes_on_after_its_finished_steps(bench: Bench) -> None:
    steps = (bench.step("a", "add", params={"number": 1}), bench.step("b", "fail", needs=("a",)))
    run = bench.run(*steps, bench.step("c", "add", needs=("b",)))
    assert (run.state, run.error) == (RunState.FAILED, "step 'b': ValueError: the column is empty")
    assert {name: step.state for name, step in bench.steps(run.id).items()} == {
        "a": RunState.SUCCEEDED,
        "b": RunState.FAILED,
        "c": RunState.CANCELLED,
    }
    retry(bench.db, bench.clock, run.id, by=ADA)
    assert bench.worker().run_one(run.id).state is RunState.FAILED
    assert bench.executions() == ["a", "b", "b"]


def test_only_a_run_without_success_can_be_retried(bench: Bench) -> None:
    run = bench.run(bench.step("a", "add"))
    with pytest.raises(Conflict, match="is SUCCEEDED"):
        retry(bench.db, bench.clock, run.id, by=ADA)
    waiting = bench.submit(bench.step("a", "add"))
    with pytest.raises(Conflict, match="is PENDING"):
        retry(bench.db, bench.clock, waiting, by=ADA)


def test_a_retry_may_not_make_a_second_active_run(bench: Bench) -> None:
    graph = Graph("p", (bench.step("a", "add"),))
    first = submit(bench.db, bench.clock, bench.new_id, graph, by=ADA, reason="x", dedup_key="k")
    cancel(bench.db, bench.clock, first, by=ADA)
    second = submit(bench.db, bench.clock, bench.new_id, graph, by=ADA, reason="x", dedup_key="k")
    with pytest.raises(Conflict, match=second):
        retry(bench.db, bench.clock, first, by=ADA)


def test_following_yields_each_change_until_the_end(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add", params={"number": 3}))
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            bench.worker().run_until_idle()

    seen = [(run.state, steps[0].state) for run, steps in follow(bench.db, run_id, pause=pause)]
    assert seen == [(RunState.PENDING, RunState.PENDING), (RunState.SUCCEEDED, RunState.SUCCEEDED)]
    assert len(pauses) == 3
    assert run_outputs(bench.db, run_id) == {"a": {"sum": 3}}


def test_a_run_without_a_key_is_retried_whatever_else_is_active(bench: Bench) -> None:
    run = bench.run(bench.step("b", "fail"))
    bench.submit(bench.step("a", "add"))
    assert retry(bench.db, bench.clock, run.id, by=ADA).state is RunState.RUNNING
