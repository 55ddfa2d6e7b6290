"""Lines about steps: what a durable one costs, how many there are in a second, how soon a dead worker is succeeded."""

import contextlib
import itertools
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from peers.asked import Asked, asked
from peers.make import NotMade, python_of
from rounds import measure, print_missing, print_ratio
from shown import print_spread

from falaj.pipelines.runs import RunState, run_attempts, run_steps
from faults.pipelines.crashing_worker import open_worker, start_worker
from faults.pipelines.test_own_pipeline import begin
from support.databases import own_schema
from support.postgres_server import postgres_server, programs
from support.ray_cluster import ray_cluster
from unit.pipelines import counted_pipelines as counted

LEASE_S = 15.0
WORKERS = (1, 2, 8)
_IN_CHILDREN = 20
_ON_RAY = 10
_HERE = Path(__file__).parent / "peers"


def starts(rounds: int) -> None:
    """Measure `import_ms` and `help_ms`: what they take longer than Python that does nothing."""
    commands = {"bare": ["-c", "pass"], "import": ["-c", "import falaj"], "help": ["-m", "falaj.cli.main", "--help"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    cpu: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(3 * rounds):
        for name, words in commands.items():
            began, began_cpu = time.perf_counter(), _children_cpu_s()
            subprocess.run([sys.executable, *words], check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - began)
            cpu[name].append(_children_cpu_s() - began_cpu)
    for name, aim in (("import", 100), ("help", 200)):
        longer = [1000 * (a - b) for a, b in zip(seconds[name], seconds["bare"], strict=True)]
        print_spread(f"{name}_ms", longer, ".0f")
        more = [1000 * (a - b) for a, b in zip(cpu[name], cpu["bare"], strict=True)]
        print_spread(f"{name}_ms, of CPU", more, ".0f")
        print_ratio(f"{name}_ms", statistics.median(longer), f"<= {aim}", ".0f")


def overheads(rounds: int, steps: int, folder: Path) -> None:
    """Measure `step_overhead_ms` and `child_step_overhead_ms`, and what a step costs beside Prefect's and Metaflow's.

    Prefect calls tasks in its own process and keeps their states in SQLite behind a local server; it keeps no results
    unless it is asked to. Metaflow gives each step a process and keeps its state in files.

    Args:
        rounds: Turns that count.
        steps: Tiny steps of a run in one process.
        folder: Of the peers' environments.
    """
    with _peer("prefect", folder) as prefect, _peer("metaflow", folder) as metaflow:
        work = {"in process": lambda: step_s("in_process", steps), "child": lambda: step_s("project", _IN_CHILDREN)}
        if prefect is not None:
            work["Prefect"] = lambda: float(prefect.ask("steps", number=steps)["seconds"])
        if metaflow is not None:
            work["Metaflow"] = lambda: float(metaflow.ask("steps", number=_IN_CHILDREN)["seconds"])
        found = measure(work, rounds)
    for name, contender, aim, form in (("step", "in process", 5, ".1f"), ("child_step", "child", 150, ".0f")):
        print_spread(f"{name}_overhead_ms", [1000 * one for one in found.seconds[contender]], form)
        print_ratio(f"{name}_overhead_ms", 1000 * found.median(contender), f"<= {aim}", form)
    for name, ours in (("Prefect", "in process"), ("Metaflow", "child")):
        line = f"vs_{name.lower()}_step"
        if name in found.seconds:
            print_ratio(line, found.median(name) / found.median(ours), "> 1", ".2f")
        else:
            print_missing(line, f"{name} was not made")


def on_ray() -> None:
    """Measure `ray_step_overhead_ms`: what a step costs that runs as a job of a Ray of its own."""
    print_ratio("ray_step_overhead_ms", 1000 * step_s("ray", _ON_RAY), "-", ".0f")


def resume(rounds: int) -> None:
    """Measure `resume_s`: how long after kill -9 of the only worker the next one has the step that was under way."""
    found = [resume_s() for _ in range(rounds)]
    print_spread("resume_s", found, ".3f")
    print_ratio("resume_s", statistics.median(found), f"<= {LEASE_S:g}, one lease", ".3f")


def rates(rounds: int, steps: int) -> None:
    """Measure `steps_per_s_DATABASE_WORKERS`: tiny steps of one run that worker processes do together in a second."""
    with contextlib.ExitStack() as server:
        urls = {"sqlite": ""}
        if programs() is not None:
            urls["postgres"] = server.enter_context(postgres_server())
        for kind, url in urls.items():
            found: dict[int, list[float]] = {workers: [] for workers in WORKERS}
            for _ in range(rounds):
                for workers in WORKERS:
                    found[workers].append(steps_per_second(workers, steps, own_schema(url) if url else ""))
            for workers, each in found.items():
                print_spread(f"{kind}, {workers} workers", each, ".0f")
                print_ratio(f"steps_per_s_{kind}_{workers}", statistics.median(each), "-", ".0f")
        if "postgres" not in urls:
            print_missing("steps_per_s_postgres_*", "PostgreSQL is not installed")


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


def step_s(executor: Any, steps: int) -> float:
    """Return what a step costs that does next to nothing, in one worker: the median from its begin to the next's."""
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(state())
        if executor == "ray":
            cluster = opened.enter_context(ray_cluster())
            (folder / "ray.address").write_text(f"{cluster.address} {cluster.token}")
        db, run_id = begin(folder, counted.listed, executor, number=steps)
        other, worker = open_worker(folder)
        began_cpu = time.process_time() + _children_cpu_s()
        assert worker.run_one(run_id).state is RunState.SUCCEEDED
        cpu_ms = 1000 * (time.process_time() + _children_cpu_s() - began_cpu) / steps
        print(f"    {executor}: {cpu_ms:.1f} ms of CPU for a step, the run's other steps included")
        attempts = [one for one in run_attempts(db, run_id) if one.step.startswith("square.")]
        begins = sorted(one.started for one in attempts)
        other.close()
        db.close()
        return statistics.median((b - a) / 1e6 for a, b in itertools.pairwise(begins))


def resume_s() -> float:
    """Return how long after kill -9 of the only worker the next one has the step that was under way."""
    with state() as folder:
        db, run_id = begin(folder, counted.holding)
        first, pause = start_worker(folder), threading.Event()
        while run_steps(db, run_id)[0].state is not RunState.RUNNING:
            pause.wait(0.01)
        first.send_signal(signal.SIGKILL)
        killed = time.time()
        first.wait()
        other, worker = open_worker(folder)
        assert worker.run_one(run_id).state is RunState.SUCCEEDED
        begun = next(one.started for one in run_attempts(db, run_id) if one.step == "hold" and one.epoch == 2)
        other.close()
        db.close()
        return begun / 1e6 - killed


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextlib.contextmanager
def _peer(name: str, folder: Path) -> Iterator[Asked | None]:
    """Run a peer for as long as the block lasts; None where it was not made."""
    try:
        python = python_of(name, folder)
    except NotMade as error:
        print(f"{name}: {error}")
        yield None
        return
    with asked(python, _HERE / f"{name}_worker.py") as peer:
        print(f"{name} {peer.ask('version')['version']}")
        yield peer
