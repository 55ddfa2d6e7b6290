"""A step done anew: it, and what comes after it, and nothing else."""

from pathlib import Path

import pytest

from falaj.kernel.errors import Conflict, NotFound
from falaj.pipelines.runs import RunState
from falaj.pipelines.submission import retry
from unit.pipelines import counted_pipelines as counted
from unit.pipelines import sample_pipelines as own
from unit.pipelines.test_pipelines import finish, ledger_of
from unit.pipelines.worker_bench import ADA, Bench


def again(bench: Bench, run_id: str, step: str) -> dict[str, int]:
    """Do a step anew, and return what was done besides what had been done."""
    before = ledger_of(bench)
    retry(bench.db, bench.clock, run_id, by=ADA, step=step)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    return dict(ledger_of(bench) - before)


@pytest.fixture
def done(bench: Bench) -> str:
    run_id = bench.start(counted.squares, ledger=str(bench.ledger), number=3)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    return run_id


def test_from_a_step_in_the_middle(bench: Bench, done: str) -> None:
    assert again(bench, done, "total") == {"total": 1, "publish": 1, "report": 1}
    assert again(bench, done, "total") == {"total": 1, "publish": 1, "report": 1}


def test_from_a_step_that_goes_over_a_list(bench: Bench, done: str) -> None:
    parts = {f"square {day}": 1 for day in range(3)}
    assert again(bench, done, "square") == {**parts, "total": 1, "publish": 1, "report": 1}
    assert bench.results(done)["square"] == [0, 1, 4]


def test_from_one_part(bench: Bench, done: str) -> None:
    assert again(bench, done, "square.1") == {"square 1": 1, "total": 1, "publish": 1, "report": 1}
    assert bench.results(done)["square"] == [0, 1, 4]


def test_from_the_beginning(bench: Bench, done: str) -> None:
    found = again(bench, done, "days")
    assert found == {"days": 1, **{f"square {day}": 1 for day in range(3)}, "total": 1, "publish": 1, "report": 1}


def test_after_a_failure_too(bench: Bench) -> None:
    run_id = bench.start(own.fragile, ledger=str(bench.ledger), number=3, bad=1)
    assert finish(bench, run_id) is RunState.FAILED
    Path(f"{bench.ledger}.mended").touch()
    assert again(bench, run_id, "days") == {"days": 1, "try 0": 1, "try 1": 1, "try 2": 1, "total": 1}


def test_only_of_a_run_that_has_ended_and_a_step_that_is_there(bench: Bench, done: str) -> None:
    with pytest.raises(NotFound, match="has no step 'totla'"):
        retry(bench.db, bench.clock, done, by=ADA, step="totla")
    with pytest.raises(Conflict, match="is SUCCEEDED"):
        retry(bench.db, bench.clock, done, by=ADA)
    waiting = bench.start(counted.squares, ledger=str(bench.ledger), number=1)
    with pytest.raises(Conflict, match="is PENDING"):
        retry(bench.db, bench.clock, waiting, by=ADA, step="days")
