"""Checkpoints: one attempt has a key's folder at a time, and whoever comes after finds what was left in it."""

import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import falaj as fj
from falaj.pipelines.checkpoints import held_checkpoint
from falaj.pipelines.context import StepContext
from falaj.pipelines.runs import RunState, get_run
from unit.pipelines.worker_bench import Bench

BOTH_WROTE = threading.Barrier(2, timeout=30)
FIRST_ENDED = threading.Event()
ORDER = threading.Lock()


@fj.step
def search(context: StepContext) -> int:
    """Write trials down beside another run that does the same; the one that came second ends last."""
    trials = context.checkpoint / "trials"
    first = ORDER.acquire(blocking=False)
    trials.write_text(context.run_id)
    BOTH_WROTE.wait()
    if not first:
        assert FIRST_ENDED.wait(30)
    assert trials.read_text() == context.run_id
    return 1


@fj.pipeline
def searching() -> int:
    return search()


def test_two_runs_that_come_to_one_step_at_once_take_nothing_from_each_other(sqlite_bench: Bench) -> None:
    runs = [sqlite_bench.start(searching) for _ in range(2)]

    def work(run_id: str) -> None:
        sqlite_bench.worker().run_one(run_id)
        FIRST_ENDED.set()

    workers = [threading.Thread(target=work, args=(run_id,)) for run_id in runs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = [get_run(sqlite_bench.db, run_id) for run_id in runs]
    assert [run.state for run in found] == [RunState.SUCCEEDED] * 2, [run.error for run in found]
    assert [*(sqlite_bench.folder / "work" / "checkpoints").iterdir()] == []


def test_what_is_left_in_either_folder_is_found_again(tmp_path: Path) -> None:
    with (
        held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "one") as first,
        held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "two") as second,
    ):
        for place in (first, second):
            place.mkdir(parents=True)
            (place / "trials").write_text(place.name)
    with (
        held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "two") as again,
        held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "three") as third,
    ):
        assert ((again / "trials").read_text(), (third / "trials").read_text()) == ("k.two", "k")


def test_a_folder_in_which_nothing_was_left_is_removed(tmp_path: Path) -> None:
    with held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "one") as place:
        assert not place.exists()  # whoever wants one makes it
        place.mkdir(parents=True)
    assert [*(tmp_path / "kept").iterdir()] == []


def test_many_that_come_and_go_at_once_never_share_a_folder(tmp_path: Path) -> None:
    taken, faults = threading.Lock(), list[str]()
    inside = Counter[str]()

    def come_and_go(name: str) -> None:
        for _ in range(200):
            with held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", name) as place:
                with taken:
                    inside[place.name] += 1
                    if inside[place.name] > 1:
                        faults.append(place.name)
                place.mkdir(parents=True, exist_ok=True)
                with taken:
                    inside[place.name] -= 1

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(come_and_go, f"run_{number}") for number in range(8)]:
            done.result()
    assert faults == []


def test_the_folder_of_whoever_was_killed_is_free(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, pathlib\n"
        "from falaj.pipelines.checkpoints import held_checkpoint\n"
        "here = pathlib.Path(sys.argv[1])\n"
        "with held_checkpoint(here / 'kept', here / 'lock', 'k', 'one') as place:\n"
        "    place.mkdir(parents=True)\n"
        "    (place / 'trials').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == -9
    with held_checkpoint(tmp_path / "kept", tmp_path / "lock", "k", "two") as place:
        assert (place / "trials").read_text() == "half"
