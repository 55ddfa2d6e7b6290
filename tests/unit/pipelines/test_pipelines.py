"""Pipelines as users write them: the same run durably, in a child process, and called directly."""

from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from falaj.definitions.pipeline import trace_of
from falaj.governance.audit import list_records
from falaj.kernel.errors import DefinitionError, InputError
from falaj.pipelines.capacity import Capacity, Room
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import RunState, get_run, run_attempts
from falaj.pipelines.submission import retry
from falaj.pipelines.values import pack, unpack
from unit.pipelines import counted_pipelines as counted
from unit.pipelines import sample_pipelines as own
from unit.pipelines.worker_bench import ADA, Bench


def ledger_of(bench: Bench) -> Counter[str]:
    return Counter(bench.ledger.read_text().splitlines()) if bench.ledger.exists() else Counter()


def finish(bench: Bench, run_id: str) -> RunState:
    return bench.worker().run_one(run_id).state


def test_a_map_over_what_a_step_gives_and_a_condition_that_holds(bench: Bench) -> None:
    run_id = bench.start(counted.squares, ledger=str(bench.ledger), number=4)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    results = bench.results(run_id)
    assert (results["square"], results["square.3"], results["total"]) == ([0, 1, 4, 9], 9, {"sum": 14, "days": 4})
    assert results["report"] == "published 14" == counted.squares(str(bench.folder / "direct"), 4)
    assert set(ledger_of(bench).values()) == {1}
    names = [*bench.steps(run_id)]
    assert names == ["days", *(f"square.{at}" for at in range(4)), "square", "total", "publish", "report"]


def test_a_condition_that_does_not_hold_skips_what_cannot_do_without(bench: Bench) -> None:
    run_id = bench.start(counted.squares, ledger=str(bench.ledger), number=4, above=100)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    states = {name: str(step.state) for name, step in bench.steps(run_id).items()}
    assert (states["publish"], states["report"]) == ("SKIPPED", "SUCCEEDED")
    assert bench.results(run_id)["report"] == "nothing" == counted.squares(str(bench.folder / "direct"), 4, 100)
    assert ledger_of(bench)["publish"] == 0


@pytest.mark.parametrize("number", [0, 1])
def test_a_map_over_little(bench: Bench, number: int) -> None:
    run_id = bench.start(counted.squares, ledger=str(bench.ledger), number=number, above=-1)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    assert bench.results(run_id)["total"] == {"sum": 0, "days": number}


@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_map_within_a_map(bench: Bench, number: int) -> None:
    run_id = bench.start(own.triangles, ledger=str(bench.ledger), number=number)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    results, rows = bench.results(run_id), [[at * at for at in range(size)] for size in range(number)]
    assert results["square"] == rows
    assert results["total"] == [{"sum": sum(row), "days": len(row)} for row in rows]
    assert results["total"] == own.triangles(str(bench.folder / "direct"), number)
    assert bench.steps(run_id)["square"].spec.parts == sum(map(len, rows))


def test_a_part_of_a_map_within_a_map_is_done_anew(bench: Bench) -> None:
    run_id = bench.start(own.triangles, ledger=str(bench.ledger), number=4)
    finish(bench, run_id)
    before = bench.results(run_id)
    for step in ("square.3", "below"):
        retry(bench.db, bench.clock, run_id, by=ADA, step=step)
        assert finish(bench, run_id) is RunState.SUCCEEDED
        assert bench.results(run_id) == before


def test_a_map_within_a_map_needs_lists_of_lists(bench: Bench) -> None:
    trace, _ = trace_of("flat", lambda: own.plus.map_each(own.pair(1), more=1), {})
    run_id = bench.start_trace(trace)
    assert finish(bench, run_id) is RunState.FAILED
    assert "goes over 'number[0]', which is a int and no list" in (bench.steps(run_id)["plus"].error or "")
    with pytest.raises(InputError, match="lists of 2, 1 parts"):
        own.plus.map_each([[1, 2]], [[1]])


def test_parts_that_were_done_before_are_free(bench: Bench) -> None:
    finish(bench, bench.start(counted.squares, ledger=str(bench.ledger), number=3))
    second = bench.start(counted.squares, ledger=str(bench.ledger), number=5)
    assert finish(bench, second) is RunState.SUCCEEDED
    assert [ledger_of(bench)[f"square {day}"] for day in range(5)] == [1, 1, 1, 1, 1]
    assert [bench.steps(second)[f"square.{day}"].cached for day in range(5)] == [True, True, True, False, False]


def test_tables_travel_as_every_library_has_them(bench: Bench) -> None:
    run_id = bench.start(own.tables, rows=6)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    assert bench.results(run_id)["numbers"] == [7, 9, 11] == own.tables(6)
    assert bench.results(run_id)["count"] == [3, 3]


@pytest.mark.parametrize("executor", ["in_process", "project"])
def test_files_dataclasses_and_dates_travel(bench: Bench, executor: Any) -> None:
    letter = bench.start(own.letters, executor, text="dear")
    assert finish(bench, letter) is RunState.SUCCEEDED, get_run(bench.db, letter).error
    assert bench.results(letter)["read"] == "letter.txt: dear" == own.letters("dear")
    scored = bench.start(own.scores, executor, on="2026-03-01")
    assert finish(bench, scored) is RunState.SUCCEEDED
    assert bench.results(scored)["month"] == 3 == own.scores(date(2026, 3, 1))
    assert get_run(bench.db, scored).params == {"on": "2026-03-01"}


def test_a_file_of_the_project_counts_by_its_bytes(bench: Bench) -> None:
    file = bench.folder / "in.txt"
    file.write_text("one")
    first = bench.start(own.from_project, file="in.txt")
    finish(bench, first)
    assert bench.results(first)["read"] == "in.txt: one"
    again = bench.start(own.from_project, file="in.txt")
    finish(bench, again)
    assert bench.steps(again)["read"].cached
    file.write_text("two")
    changed = bench.start(own.from_project, file="in.txt")
    finish(bench, changed)
    assert bench.results(changed)["read"] == "in.txt: two"
    gone = bench.start(own.from_project, file="absent.txt")
    assert finish(bench, gone) is RunState.FAILED
    assert "absent.txt does not exist" in (get_run(bench.db, gone).error or "")


@pytest.mark.parametrize("fails", [False, True])
def test_a_secret_is_used_and_shown_nowhere(bench: Bench, *, fails: bool) -> None:
    secrets = bench.folder / "secrets"
    secrets.mkdir()
    (secrets / "FALAJ_TEST_KEY").write_text("hunter2-hunter2\n")
    (secrets / "FALAJ_TEST_KEY").chmod(0o600)
    run_id = bench.start(own.asking, "project", fails=fails)
    assert finish(bench, run_id) is (RunState.FAILED if fails else RunState.SUCCEEDED)
    step = bench.steps(run_id)["ask"]
    if fails:
        assert step.error == "ValueError: 401 for ***"
    else:
        assert step.outputs["result"].value == len("hunter2-hunter2")
    assert "asking with ***, which prints as ***" in Path(step.log or "").read_text()
    kept = [path.read_text() for path in bench.folder.rglob("*") if path.is_file() and path.parent != secrets]
    kept += [
        repr(get_run(bench.db, run_id)),
        repr(step),
        repr(run_attempts(bench.db, run_id)),
        repr(list_records(bench.db)),
    ]
    assert "FALAJ_TEST_KEY" in "".join(kept)
    assert "hunter2" not in "".join(kept)


def test_a_secret_that_others_can_read_is_refused(bench: Bench) -> None:
    (bench.folder / "secrets").mkdir()
    (bench.folder / "secrets/FALAJ_TEST_KEY").write_text("hunter2-hunter2")
    (bench.folder / "secrets/FALAJ_TEST_KEY").chmod(0o644)
    run_id = bench.start(own.asking)
    assert finish(bench, run_id) is RunState.FAILED
    assert "can be read by others" in (get_run(bench.db, run_id).error or "")


def test_what_depends_on_chance_runs_in_each_run(bench: Bench) -> None:
    for _ in range(2):
        finish(bench, bench.start(own.drawing, ledger=str(bench.ledger)))
    assert ledger_of(bench) == {"draw": 2}


def test_a_step_that_needs_more_than_there_is_says_so_and_is_left(bench: Bench) -> None:
    bench.capacity = Capacity(Room(2, 4 << 30))
    run_id = bench.start(own.weighty, "project")
    assert bench.worker().run_until_idle() == 0
    step = bench.steps(run_id)["heavy"]
    assert (step.state, step.progress_text) == (RunState.PENDING, "needs 8 cores, of 2")
    assert (
        finish(bench, bench.submit(bench.step("own", "add"))) is RunState.SUCCEEDED
    )  # which keep nothing else waiting
    bench.capacity = Capacity(Room(0.5, 1 << 20))
    assert finish(bench, bench.submit(bench.step("other", "add"))) is RunState.SUCCEEDED  # and Falaj's own need no room
    bench.capacity = Capacity(Room(8, 4 << 30))
    assert finish(bench, run_id) is RunState.SUCCEEDED


def test_a_part_that_failed_goes_on_alone(bench: Bench) -> None:
    run_id = bench.start(own.fragile, ledger=str(bench.ledger), number=4, bad=2)
    assert finish(bench, run_id) is RunState.FAILED
    assert get_run(bench.db, run_id).error == "step 'fails_on.2': ValueError: day 2 is broken"
    Path(f"{bench.ledger}.mended").touch()
    retry(bench.db, bench.clock, run_id, by=ADA)
    assert finish(bench, run_id) is RunState.SUCCEEDED
    assert bench.results(run_id)["total"] == {"sum": 6, "days": 4}
    assert ledger_of(bench) == {"days": 1, "try 0": 1, "try 1": 1, "try 2": 2, "try 3": 1, "total": 1}


@pytest.mark.parametrize("pipeline", [own.takes_a_look, own.goes_over])
def test_what_is_not_known_yet_cannot_be_asked_for(bench: Bench, pipeline: Any) -> None:
    with pytest.raises(DefinitionError, match="step 'days' has not run yet"):
        bench.start(pipeline, ledger="x")


def test_parameters_are_checked(bench: Bench) -> None:
    with pytest.raises(InputError, match="has no parameter 'numbr'"):
        bench.start(counted.squares, ledger="x", numbr=3)
    with pytest.raises(InputError, match="needs parameter 'ledger'"):
        bench.start(counted.squares)
    with pytest.raises(InputError, match="number='many'"):
        bench.start(counted.squares, ledger="x", number="many")


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_models_keep_their_own_formats(tmp_path: Path, library: str) -> None:
    matrix, labels = np.random.default_rng(7).random((200, 3)), np.arange(200) % 2
    model: Any
    if library == "lightgbm":
        asked: Any = matrix
        model = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(matrix, labels), 3)
    else:
        asked = xgboost.DMatrix(matrix, labels)
        model = xgboost.train({"nthread": 1}, asked, 3)
    outputs = pack({"model": model, "auc": np.float64(0.5)}, lambda: tmp_path)
    kept = outputs["result"]["model"]
    context = StepContext(
        run_id="r", step="s", attempt=1, params={}, inputs={}, folder=tmp_path, checkpoint=tmp_path,
        files={"d": outputs[kept["$output"]]},
    )  # fmt: skip
    loaded = unpack({**kept, "$digest": "d"}, Any, context, "model")
    assert np.array_equal(loaded.predict(asked), model.predict(asked))
    assert outputs["result"]["auc"] == 0.5


def test_what_cannot_be_kept_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="returned a object, which cannot be kept"):
        pack({"found": object()}, lambda: tmp_path)


# A pipeline drawn at random: each step adds up a literal and what some earlier steps give.
calls = st.lists(
    st.tuples(
        st.integers(-9, 9), st.sets(st.integers(0, 7), max_size=3), st.sampled_from(["call", "map", "each", "when"])
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls)
def test_a_run_gives_what_calling_the_pipeline_gives(sqlite_bench: Bench, drawn: list[Any]) -> None:
    """Whatever its shape: with branches, with maps over what a step gives, and with conditions."""

    def shape() -> list[Any]:
        given: list[Any] = []
        for number, needs, kind in drawn:
            used = [given[at] for at in sorted(needs) if at < len(given)]
            if kind == "map":
                given.append(own.add_up(own.plus.map(own.pair(number), more=number), used))
            elif kind == "each":
                rows = own.pair.map(own.pair(number))
                given.append(own.add_up(own.row_sum.map(own.plus.map_each(rows, more=number)), used))
            elif kind == "when" and used:
                given.append(own.add_up(number, used, when=used[0] > 0))
            else:
                given.append(own.add_up(number, used))
        return given

    trace, _ = trace_of("shape", shape, {})
    names = [step.name for step in trace.steps]
    assert len(set(names)) == len(names)
    assert all(names.index(need) < at for at, step in enumerate(trace.steps) for need in step.needs)
    run_id = sqlite_bench.start_trace(trace)
    assert finish(sqlite_bench, run_id) is RunState.SUCCEEDED
    steps = sqlite_bench.steps(run_id)
    durable = [
        steps[name].outputs["result"].value if steps[name].outputs else "skipped"
        for name in names
        if name.startswith("add_up")
    ]
    direct = own.directly_called(shape)
    assert durable == [one if isinstance(one, int) else "skipped" for one in direct]
