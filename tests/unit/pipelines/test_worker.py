"""Workers: each step once, in order, from the cache where its key is known, and whatever becomes of other workers."""

import errno
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from falaj.cost.report import report
from falaj.governance.audit import list_records, verify
from falaj.kernel.clock import EPOCH, ManualClock
from falaj.kernel.settings import CostSettings
from falaj.pipelines.attempt import Result
from falaj.pipelines.context import EndState, StopSignal
from falaj.pipelines.lineage import sources, uses
from falaj.pipelines.process import WorkerId, process_start, this_host
from falaj.pipelines.runs import RunState, get_run, list_runs, run_attempts
from falaj.pipelines.submission import cancel
from falaj.pipelines.tables import ARTIFACT, ATTEMPT, LINEAGE, STEP
from falaj.pipelines.task import Report, Task
from falaj.pipelines.worker import Worker
from unit.pipelines.worker_bench import Bench


def _attempts(bench: Bench, step: str) -> list[str]:
    tries = [tried for run in list_runs(bench.db) for tried in run_attempts(bench.db, run.id) if tried.step == step]
    return [str(tried.state) for tried in tries]


def _give_to(bench: Bench, owner: WorkerId, lease_until: int = 1 << 62) -> None:
    """Make the running step look as if another worker had it."""
    with bench.db.write() as connection:
        connection.execute(STEP.update().values(owner=str(owner), lease_until=lease_until))


def _dead() -> WorkerId:
    return WorkerId(this_host(), 2**30, "long ago", "0")


def _alive_here() -> WorkerId:
    return WorkerId(this_host(), 1, process_start(1) or "", "0")


def test_steps_run_after_what_they_need_and_get_its_outputs(bench: Bench) -> None:
    run = bench.run(
        bench.step("d", "add", needs=("b", "c")),
        bench.step("b", "add", needs=("a",), params={"number": 10}),
        bench.step("c", "add", needs=("a",), params={"number": 100}),
        bench.step("a", "add", params={"number": 1}),
    )
    assert run.state is RunState.SUCCEEDED
    assert bench.steps(run.id)["d"].outputs["sum"].value == 112
    executed = bench.executions()
    assert (executed[0], executed[-1], len(executed)) == ("a", "d", 4)


def test_a_step_is_given_its_context(bench: Bench) -> None:
    run = bench.run(bench.step("a", "look", params={"trees": 150}))
    outputs = {name: output.value for name, output in bench.steps(run.id)["a"].outputs.items()}
    assert outputs["params"]["trees"] == 150
    assert outputs["resources"] == {"shared": True}
    assert (outputs["empty"], outputs["attempt"]) == (True, 1)
    log = Path(bench.steps(run.id)["a"].log or "").read_text()
    assert "looked around" in log


def test_files_are_kept_by_digest_and_given_to_those_who_need_them(bench: Bench) -> None:
    run = bench.run(
        bench.step("write", "write_file", params={"text": "trees"}), bench.step("read", "read_file", needs=("write",))
    )
    model = bench.steps(run.id)["write"].outputs["model"]
    assert model.blob is not None
    assert bench.blobs.get(model.blob) == b"trees"
    assert model.size_bytes == 5
    assert bench.steps(run.id)["read"].outputs["text"].value == "trees"
    assert list((bench.folder / "work").glob("**/*")) == []


def test_a_known_key_is_not_run_again_in_any_run(bench: Bench) -> None:
    steps = (bench.step("write", "write_file"), bench.step("read", "read_file", needs=("write",)))
    bench.run(*steps)
    again = bench.run(*steps)
    assert bench.executions() == ["write", "read"]
    assert all(step.cached for step in bench.steps(again.id).values())
    assert bench.steps(again.id)["read"].outputs["text"].value == "model"


def test_other_params_or_another_environment_run_again(bench: Bench) -> None:
    bench.run(bench.step("a", "add"))
    bench.run(bench.step("a", "add", params={"number": 1}))
    bench.worker(environment="other").run_one(bench.submit(bench.step("a", "add")))
    assert bench.executions() == ["a", "a", "a"]


def test_a_step_whose_inputs_came_out_the_same_is_not_run_again(bench: Bench) -> None:
    def steps(text: str) -> tuple[Any, ...]:
        # The first step changes, its output does not.
        return bench.step("write", "write_file", params={"note": text}), bench.step(
            "read", "read_file", needs=("write",)
        )

    bench.run(*steps("one"))
    bench.run(*steps("two"))
    assert bench.executions() == ["write", "read", "write"]


def test_a_step_that_may_not_be_cached_runs_in_each_run(bench: Bench) -> None:
    bench.run(bench.step("a", "add", cache=False))
    bench.run(bench.step("a", "add", cache=False))
    assert bench.executions() == ["a", "a"]


def test_a_cached_result_whose_file_is_gone_is_made_again(bench: Bench) -> None:
    first = bench.run(bench.step("write", "write_file"))
    digest = bench.steps(first.id)["write"].outputs["model"].blob
    assert digest is not None
    bench.blobs.delete(digest)
    second = bench.run(bench.step("write", "write_file"))
    assert bench.executions() == ["write", "write"]
    assert not bench.steps(second.id)["write"].cached
    assert bench.blobs.exists(digest)


def test_failures_are_tried_again_as_often_as_allowed(bench: Bench) -> None:
    run = bench.run(bench.step("a", "fail_twice", retries=2))
    assert run.state is RunState.SUCCEEDED
    assert bench.steps(run.id)["a"].outputs["tries"].value == 3
    assert _attempts(bench, "a") == ["FAILED", "FAILED", "SUCCEEDED"]
    short = bench.run(bench.step("a", "fail_twice", retries=1, cache=False))
    assert (short.state, short.error) == (RunState.FAILED, "step 'a': ValueError: try 2")


def test_a_retry_waits_for_its_pause(bench: Bench) -> None:
    clock = ManualClock(EPOCH)
    bench.clock = clock
    run_id = bench.submit(bench.step("a", "fail_twice", retries=2, retry_delay_s=10.0))
    worker = bench.worker()
    assert worker.run_until_idle() == 1
    clock.advance(9)
    assert worker.run_until_idle() == 0
    clock.advance(1)
    assert worker.run_until_idle() == 1
    clock.advance(19)
    assert worker.run_until_idle() == 0
    clock.advance(1)
    assert worker.run_until_idle() == 1
    assert get_run(bench.db, run_id).state is RunState.SUCCEEDED


def test_an_error_that_cannot_pass_is_not_tried_again(bench: Bench) -> None:
    run = bench.run(bench.step("a", "fail_for_good", retries=5))
    assert run.error == "step 'a': column 'amount' is missing (add it)"
    assert bench.executions() == ["a"]


def test_a_later_attempt_finds_the_checkpoint_of_an_earlier_one(bench: Bench) -> None:
    run = bench.run(bench.step("a", "go_on_from_checkpoint", retries=1))
    assert bench.steps(run.id)["a"].outputs["found"].value == "half"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("return_nonsense", "that is not plain JSON"),
        ("absent", "names no function"),
        ("leave", "SystemExit: 3"),
    ],
)
def test_a_step_that_does_wrong_fails_its_run_and_not_the_worker(bench: Bench, function: str, said: str) -> None:
    worker = bench.worker()
    run = worker.run_one(bench.submit(bench.step("a", function)))
    assert run.state is RunState.FAILED
    assert said in (run.error or "")
    assert worker.run_one(bench.submit(bench.step("b", "add"))).state is RunState.SUCCEEDED


def test_a_step_in_a_module_that_does_not_exist_fails_its_run(bench: Bench) -> None:
    step = bench.step("a", "add")
    run = bench.run(type(step)(name="a", function="no_such_module:f"))
    assert "cannot be found" in (run.error or "")


def test_in_process_a_timeout_takes_hold_where_the_step_checks(bench: Bench) -> None:
    run = bench.run(bench.step("a", "run_until_stopped", timeout_s=0.05, params={"started": str(bench.folder / "s")}))
    assert run.state is RunState.TIMED_OUT


def test_the_third_death_of_a_step_fails_the_run(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"), bench.step("b", "add", needs=("a",)))
    for death in range(3):
        bench.worker()._claims.take()
        _give_to(bench, _dead())
        assert bench.worker().recover() == 1
        assert bench.steps(run_id)["a"].crashes == death + 1
    run = get_run(bench.db, run_id)
    assert run.state is RunState.FAILED
    assert "killed its process 3 times" in (run.error or "")
    assert _attempts(bench, "a") == ["LOST", "LOST", "LOST"]
    assert bench.executions() == []


def test_a_dead_worker_here_is_succeeded_at_once_and_a_live_one_keeps_its_lease(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"))
    bench.worker()._claims.take()
    _give_to(bench, _alive_here())
    assert bench.worker().recover() == 0
    _give_to(bench, WorkerId("elsewhere", 2**30, "0", "0"))
    assert bench.worker().recover() == 0
    _give_to(bench, _dead())
    assert bench.worker().run_until_idle() == 1
    assert get_run(bench.db, run_id).state is RunState.SUCCEEDED


def test_a_worker_elsewhere_is_succeeded_when_its_lease_is_over(bench: Bench) -> None:
    clock = ManualClock(EPOCH)
    bench.clock = clock
    bench.submit(bench.step("a", "add"))
    bench.worker()._claims.take()
    _give_to(bench, WorkerId("elsewhere", 2**30, "0", "0"), lease_until=15_000_000)
    clock.advance(15)
    assert bench.worker().run_until_idle() == 0
    clock.advance(0.000001)
    assert bench.worker().run_until_idle() == 1


class Interrupted:
    """An executor during whose work something happens."""

    def __init__(self, happen: Any, state: EndState = EndState.SUCCEEDED) -> None:
        self.happen = happen
        self.state = state

    def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
        del task, stop, report
        self.happen()
        return Result(state=self.state, outputs={"sum": -1})


def _with_executor(bench: Bench, executor: Any) -> Worker:
    worker = bench.worker()
    worker._executors = {"in_process": executor}
    return worker


def test_a_revived_worker_cannot_overwrite_its_successor(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add", params={"number": 5}))

    def another_takes_the_step() -> None:
        _give_to(bench, _dead())
        assert bench.worker().run_until_idle() == 1

    late = _with_executor(bench, Interrupted(another_takes_the_step))
    late.run_until_idle()
    assert bench.steps(run_id)["a"].outputs["sum"].value == 5
    assert _attempts(bench, "a") == ["LOST", "SUCCEEDED"]
    with bench.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(ARTIFACT)).scalar() == 1


def test_a_worker_that_is_stopped_gives_its_step_back_without_spending_anything(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"))
    for _ in range(4):
        stop = threading.Event()
        _with_executor(bench, Interrupted(stop.set, EndState.PREEMPTED)).run_until_idle(stop)
    step = bench.steps(run_id)["a"]
    assert (step.state, step.failures, step.crashes, step.epoch) == (RunState.PENDING, 0, 0, 4)
    assert bench.worker().run_one(run_id).state is RunState.SUCCEEDED


def test_control_c_gives_the_step_back(bench: Bench) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    run_id = bench.submit(bench.step("a", "add"))
    with pytest.raises(KeyboardInterrupt):
        _with_executor(bench, Interrupted(press)).run_one(run_id)
    assert _attempts(bench, "a") == ["PREEMPTED"]
    assert bench.worker().run_one(run_id).state is RunState.SUCCEEDED


def test_a_run_cancelled_during_a_step_ends_with_it(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"), bench.step("b", "add", needs=("a",)))

    def cancel_now() -> None:
        cancel(bench.db, bench.clock, run_id, by=bench.actor)
        assert get_run(bench.db, run_id).state is RunState.RUNNING

    run = _with_executor(bench, Interrupted(cancel_now, EndState.CANCELLED)).run_one(run_id)
    assert run.state is RunState.CANCELLED
    assert {step.state for step in bench.steps(run_id).values()} == {RunState.CANCELLED}


def test_a_dead_worker_of_a_cancelled_run_ends_the_run(bench: Bench) -> None:
    run_id = bench.submit(bench.step("a", "add"))
    bench.worker()._claims.take()
    cancel(bench.db, bench.clock, run_id, by=bench.actor)
    _give_to(bench, _dead())
    assert bench.worker().run_one(run_id).state is RunState.CANCELLED
    assert bench.executions() == []


def test_everything_about_a_success_is_in_one_transaction(bench: Bench) -> None:
    class Cut(Exception):
        pass

    def cut(point: str) -> None:
        if point == "completing":
            raise Cut

    run_id = bench.submit(bench.step("write", "write_file"))
    records = len(list_records(bench.db))
    with pytest.raises(Cut):
        bench.worker(crash_at=cut).run_until_idle()
    with bench.db.read() as connection:
        for table in (ARTIFACT, LINEAGE, ATTEMPT):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0
    assert len(list_records(bench.db)) == records
    assert report(bench.db, CostSettings()) == []
    assert bench.steps(run_id)["write"].state is RunState.RUNNING


def test_lineage_audit_and_usage_of_a_run(bench: Bench) -> None:
    run = bench.run(
        bench.step("write", "write_file"),
        bench.step("read", "read_file", needs=("write",)),
        bench.step("use", "use_datasets"),
    )
    steps = bench.steps(run.id)
    keys = {name: step.key or "" for name, step in steps.items()}
    blob = steps["write"].outputs["model"].blob or ""
    with bench.db.read() as connection:
        edges = {(row.from_digest, row.to_digest) for row in connection.execute(sa.select(LINEAGE))}
    assert edges == {
        (keys["write"], blob),
        (keys["write"], keys["read"]),
        (blob, keys["read"]),
        ("d" * 64, keys["use"]),
        (keys["use"], "e" * 64),
    }
    assert {edge.from_digest for edge in sources(bench.db, keys["read"])} == {keys["write"], blob}
    assert {edge.to_digest for edge in uses(bench.db, keys["write"])} == {blob, keys["read"]}
    assert sources(bench.db, keys["write"]) == uses(bench.db, "e" * 64) == []
    assert [record.resource for record in list_records(bench.db, action="run.step")][-1] == f"{run.id}/write"
    assert verify(bench.db).records == 4
    used = report(bench.db, CostSettings())[0].used
    assert (used.kind, used.subject) == ("pipeline", "p")
    assert used.wall_seconds > 0


def test_a_full_disk_fails_the_step_and_not_the_worker(bench: Bench) -> None:
    class Full:
        def run(self, task: Task, stop: StopSignal, report: Report) -> Result:
            del task, stop, report
            raise OSError(errno.ENOSPC, "No space left on device")

    run_id = bench.submit(bench.step("a", "add", retries=1))
    assert _with_executor(bench, Full()).run_until_idle() == 2
    assert get_run(bench.db, run_id).error == (
        "step 'a': its working files: No space left on device (free some space; nothing acknowledged was lost)"
    )


def test_a_worker_that_fails_itself_goes_on(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    stop, run_id = threading.Event(), bench.submit(bench.step("a", "add"))
    failed = False

    def fail_once(point: str) -> None:
        nonlocal failed
        if point == "completed":
            stop.set()
        elif not failed:
            failed = True
            _give_to(bench, _dead())
            raise ZeroDivisionError(point)

    bench.worker(crash_at=fail_once).run_forever(stop)
    assert get_run(bench.db, run_id).state is RunState.SUCCEEDED
    assert "failed and goes on" in caplog.text


def test_progress_is_written_down(bench: Bench) -> None:
    seen: list[tuple[float, str]] = []
    run_id = bench.submit(bench.step("a", "tell_progress"))
    worker = bench.worker()
    report_to_database = worker._claims.report

    def spy(claim: Any, share: float, text: str) -> None:
        report_to_database(claim, share, text)
        step = bench.steps(run_id)["a"]
        seen.append((step.progress, step.progress_text))

    worker._claims.report = spy  # type: ignore[method-assign]
    worker.run_until_idle()
    # The second follows within half a second and is not worth a transaction.
    assert seen == [(0.25, "a quarter")]


def test_run_forever_ends_when_told(bench: Bench) -> None:
    stop, run_id = threading.Event(), bench.submit(bench.step("a", "add"))
    thread = threading.Thread(target=bench.worker().run_forever, args=(stop,))
    thread.start()
    ended = threading.Event()
    while not get_run(bench.db, run_id).state.ended:
        ended.wait(0.01)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


SCRIPT = """
import sys
from pathlib import Path
from falaj.kernel.clock import SystemClock
from falaj.pipelines.keys import StepKeys
from falaj.pipelines.worker import Worker
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.metadata.database import Database

folder, db = Path(sys.argv[1]), Database.memory()
Worker(db, LocalBlobs(folder), SystemClock(), StepKeys([], ""), {}, work=folder, logs=folder)
print("sqlalchemy.orm" in sys.modules, "mlflow" in sys.modules)
db.close()
"""


def test_what_mlflow_brings_along_is_whole_before_any_thread_uses_the_database(tmp_path: Path) -> None:
    started = f"import sys; sys.path[:] = {sys.path!r}\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", started, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False"], done.stderr
