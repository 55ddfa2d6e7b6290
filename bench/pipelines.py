"""What durable steps cost: `python bench/pipelines.py [STEPS]`.

Runs a pipeline of a user's own over STEPS tiny parts (300 by default) with 1, 2 and 8 worker processes, on SQLite and
on a PostgreSQL of its own where one is installed; steps in child processes, and on a Ray of its own; a worker that is
killed; and the command's own start. Each line `ratio: NAME VALUE` has its aim before it, where there is one.
"""

import contextlib
import itertools
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from shown import print_figure

from falaj.pipelines.runs import RunState, run_attempts, run_steps
from faults.pipelines.crashing_worker import open_worker, start_worker
from faults.pipelines.test_own_pipeline import begin
from support.postgres_server import postgres_server, programs
from support.ray_cluster import ray_cluster
from unit.pipelines import counted_pipelines as counted

_LEASE_S = 15.0
_ROUNDS = 5


@contextlib.contextmanager
def state(url: str = "") -> Iterator[Path]:
    """Give an empty folder for a run's state, with the address of its database."""
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = Path(name)
        if url:
            (folder / "database.url").write_text(url)
        yield folder


def steps_per_second(workers: int, steps: int, url: str = "") -> float:
    """Return how many tiny steps of one run worker processes do together in a second, their own start left out."""
    with state(url) as folder:
        db, run_id = begin(folder, counted.listed, number=steps)
        racing = [start_worker(folder, run_id=run_id) for _ in range(workers)]
        assert [one.wait() for one in racing] == [0] * workers
        attempts = [one for one in run_attempts(db, run_id) if one.step.startswith("square.")]
        seconds = (max(one.ended for one in attempts) - min(one.started for one in attempts)) / 1e6
        assert len(attempts) == steps
        db.close()
        return steps / seconds


def step_overhead_ms(executor: Any, steps: int) -> float:
    """Return what a step costs that does next to nothing, in one worker: the median from its begin to the next's."""
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(state())
        if executor == "ray":
            cluster = opened.enter_context(ray_cluster())
            (folder / "ray.address").write_text(f"{cluster.address} {cluster.token}")
        db, run_id = begin(folder, counted.listed, executor, number=steps)
        other, worker = open_worker(folder)
        assert worker.run_one(run_id).state is RunState.SUCCEEDED
        attempts = [one for one in run_attempts(db, run_id) if one.step.startswith("square.")]
        begins = sorted(one.started for one in attempts)
        other.close()
        db.close()
        return statistics.median((b - a) / 1000 for a, b in itertools.pairwise(begins))


def resume_s() -> float:
    """Return how long after kill -9 of the only worker the next one has the step that was under way."""
    with state() as folder:
        db, run_id = begin(folder, counted.holding)
        first, pause = start_worker(folder), threading.Event()
        while run_steps(db, run_id)[0].state is not RunState.RUNNING:
            pause.wait(0.01)
        first.send_signal(signal.SIGKILL)
        first.wait()
        killed = time.time()
        other, worker = open_worker(folder)
        assert worker.run_one(run_id).state is RunState.SUCCEEDED
        begun = next(one.started for one in run_attempts(db, run_id) if one.step == "hold" and one.epoch == 2)
        other.close()
        db.close()
        return begun / 1e6 - killed


def command_ms(*words: str) -> float:
    """Return how long a command of this interpreter takes, without the start of Python itself; the least of several."""

    def least(command: list[str]) -> float:
        return min(_timed(lambda: subprocess.run(command, check=True, capture_output=True)) for _ in range(_ROUNDS))

    bare = least([sys.executable, "-c", "pass"])
    return 1000 * (least([sys.executable, *words]) - bare)


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def main(steps: int = 300) -> None:
    """Print every figure."""
    print(f"machine: {os.cpu_count()} cores")
    print_figure("import_ms", command_ms("-c", "import falaj"), ".0f", "<= 100")
    print_figure("help_ms", command_ms("-m", "falaj.cli.main", "--help"), ".0f", "<= 200")
    print_figure("step_overhead_ms", step_overhead_ms("in_process", steps), ".1f", "<= 5")
    print_figure("child_step_overhead_ms", step_overhead_ms("project", 20), ".0f", "<= 150")
    print_figure("ray_step_overhead_ms", step_overhead_ms("ray", 10), ".0f", "-")
    print_figure("resume_s", resume_s(), ".2f", f"<= {_LEASE_S:g}, one lease")
    with contextlib.ExitStack() as server:
        urls = {"sqlite": ""}
        if programs() is not None:
            urls["postgres"] = server.enter_context(postgres_server())
        for kind, url in urls.items():
            for workers in (1, 2, 8):
                address = _own_schema(url) if url else ""
                found = steps_per_second(workers, steps, address)
                print_figure(f"steps_per_s_{kind}_{workers}", found, ".0f", "-")


def _own_schema(url: str) -> str:
    from support.databases import own_schema

    return own_schema(url)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
