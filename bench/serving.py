"""Measures the gateway with everything on, beside model servers that only run the model.

`python bench/serving.py` makes a project in a temporary folder, on free ports, and removes it; name lines to measure
only those. Needs `wrk`; the peers need `python bench/peers/make.py mlserver litserve bentoml ray_serve`, and what
cannot be measured is said to be not measured. Ours takes entity keys, fetches twelve features of which six are windows,
computes two more, and logs every decision, which is recounted. Theirs get twelve floats and only run the model.

Server and load are pinned to one CPU each but for the open loop, where both share two. Ours and theirs take turns.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc_vs_rest
import numpy as np
from load import CONNECTIONS, Cpus, Run, child_of, closed_loop, cpus, open_loop, python, server, shared
from machine import print_machine
from peers.make import NotMade
from project import Measured, free_port, prepare
from recount import Recount
from serving_peers import make_model, running
from shown import compare, print_figure, print_ratio, print_run, print_spread

_HERE = Path(__file__).parent
_PATH = "/v1/endpoints/cards/predict"
_RAW = "/v2/models/cards:raw/infer"
_PEERS = {"mlserver": 25, "litserve": 20, "bentoml": 50, "ray_serve": 100}
_RATES = {5_000: 2, 20_000: 5}
_ROWS = 1_000
_SOAK = 1_000_000
_LIMIT_MS = 5.0
_USED = 0.7
_CORES = 2


class Ours(NamedTuple):
    """Our gateway while it runs.

    Attributes:
        ready: The project.
        url: Where it is.
        pid: Its worker.
        recount: Counts its log.
    """

    ready: Measured
    url: str
    pid: int
    recount: Recount


class Bench:
    """One measurement after the other, over one project.

    Args:
        ready: The project.
        places: Which CPU the server gets, and which the load.
        options: Of the command line.
        folder: For what peers write.
    """

    def __init__(self, ready: Measured, places: Cpus, options: argparse.Namespace, folder: Path) -> None:
        self.ready = ready
        self.places = places
        self.options = options
        self.folder = folder
        self.recount = Recount(ready.folder / ".falaj" / "log" / "predictions")
        self.rates: list[Run] = []

    @contextmanager
    def ours(self, cpu: int | None) -> Iterator[Ours]:
        """Run our gateway with one worker."""
        words = python("-m", "falaj.cli.main", "gateway", "--workers", "1", "--project", str(self.ready.folder))
        url = f"http://127.0.0.1:{self.ready.port}"
        with server(cpu, words, f"{url}/v2/health/ready") as supervisor:
            yield Ours(self.ready, url, child_of(supervisor, "falaj.app.gateway"), self.recount)

    def ask(self, ours: Ours, seconds: float) -> Run:
        """Load our gateway and see that what was answered was logged."""
        self.recount.since()
        environment = {"TOKEN": self.ready.token, "BODIES": str(self.ready.bodies), "PATH_": _PATH}
        run = closed_loop(self.places.load, ours.url, seconds, ours.pid, environment)
        print_run("falaj", run)
        compare(run.answered, run.refused + run.broken, self.recount, in_flight=CONNECTIONS)
        return run

    def beside(self, name: str, url: str, pid: int, environment: dict[str, str]) -> tuple[list[Run], list[Run]]:
        """Load ours and another server in turns."""
        found: tuple[list[Run], list[Run]] = ([], [])
        with self.ours(self.places.server) as ours:
            closed_loop(self.places.load, url, 1, pid, environment)
            self.ask(ours, 1)
            for _ in range(self.options.rounds):
                found[0].append(self.ask(ours, self.options.seconds))
                run = closed_loop(self.places.load, url, self.options.seconds, pid, environment)
                print_run(name, run)
                if run.refused or run.broken:
                    print(f"    {name}: {run.refused} refused, {run.broken} broken")
                found[1].append(run)
        self.rates += found[0]
        return found

    def peer(self, name: str, aim: int) -> None:
        """Print the ratio to one model server."""
        print(f"{name}: the model alone, beside ours with everything on", flush=True)
        try:
            with running(name, make_model(self.folder / "model"), self.folder / name, self.places) as peer:
                environment = {"TOKEN": "none", "BODIES": str(peer.bodies), "PATH_": peer.path}
                ours, theirs = self.beside(name, peer.url, peer.pid, environment)
        except (NotMade, FileNotFoundError) as error:
            print(f"not measured: vs_{name}: {error}")
            return
        print_spread(f"{name} requests/s", [run.rate for run in theirs], ".0f")
        print_ratio(f"vs_{name}", ours, theirs, f">= {aim}")

    def echo(self, name: str, script: str, aim: float) -> None:
        """Print the ratio to an echo."""
        print(f"{name}: a constant answer, beside ours with everything on", flush=True)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with server(self.places.server, python(str(_HERE / script), str(port)), url) as pid:
            environment = {"TOKEN": "none", "BODIES": str(self.ready.bodies), "PATH_": _PATH}
            ours, theirs = self.beside(name, url, pid, environment)
        print_spread(f"{name} requests/s", [run.rate for run in theirs], ".0f")
        print_ratio(f"vs_{name}", ours, theirs, f">= {aim}")

    def rate(self) -> None:
        """Print what one worker on one CPU answers, how many pods a million takes, and what a request is spent on."""
        if not self.rates:
            with self.ours(self.places.server) as ours:
                self.ask(ours, 1)
                self.rates = [self.ask(ours, self.options.seconds) for _ in range(self.options.rounds)]
        rates = [run.rate for run in self.rates]
        print_spread("falaj requests/s", rates, ".0f")
        print_spread("falaj CPU us/request", [run.server_us for run in self.rates], ".2f")
        print_figure("full_path_rps_per_core", statistics.median(rates), ".0f", ">= 40000")
        p99_ms = statistics.median(run.p99_ms for run in self.rates)
        print(f"  p99 at that rate, {CONNECTIONS} connections, the load on the other CPU: {p99_ms:.2f} ms")
        pods = math.ceil(1e6 / (_CORES * statistics.median(rates) * _USED))
        within = "within" if p99_ms < _LIMIT_MS else "NOT within"
        print(f"  pods: 1,000,000 / ({_CORES} cores x the rate x {_USED:.0%} used), p99 {within} {_LIMIT_MS:g} ms")
        print_figure("pods_for_1m_rps", pods, "d", "<= 20")
        share = _features_us(self.ready) / statistics.median(run.server_us for run in self.rates)
        print_figure("features_share", share, ".2f", "-")

    def open(self) -> None:
        """Print latencies on a fixed schedule, server and load sharing all CPUs."""
        script = shared("open_loop.py")
        if script is None:
            print("not measured: p99_ms_at_*: ../shared/bench/open_loop.py is not beside the project")
            return
        with self.ours(None) as ours:
            self.ask(ours, 1)
            for rate, aim in _RATES.items():
                found = []
                for _ in range(self.options.rounds):
                    self.recount.since()
                    one = open_loop(
                        None, script, ours.url + _PATH, rate, self.options.seconds, self.ready.token, self.ready.bodies
                    )
                    print(f"  {json.dumps(one)}", flush=True)
                    compare(one["answered"], one["errors"], self.recount, in_flight=one["unanswered"])
                    found.append(one)
                for name in ("p50_ms", "p99_ms", "late_p99_ms"):
                    print_spread(f"open loop {rate}/s {name}", [one[name] for one in found], ".3f")
                p99_ms = statistics.median(one["p99_ms"] for one in found)
                print_figure(f"p99_ms_at_{rate}_rps", p99_ms, ".2f", f"< {aim}")

    def binary(self) -> None:
        """Print rows a second of requests that bring a thousand rows of features as bytes."""
        with self.ours(self.places.server) as ours:
            body, head = _binary_body(self.folder / "rows.bin", self.options.columns)
            environment = {"TOKEN": self.ready.token, "BODY": str(body), "JSON_BYTES": str(head), "PATH_": _RAW}
            runs = []
            for number in range(self.options.rounds + 1):
                self.recount.since()
                run = closed_loop(
                    self.places.load, ours.url, self.options.seconds, ours.pid, environment, script="binary.lua",
                    connections=8,
                )  # fmt: skip
                print_run("binary", run)
                logged = self.recount.since().total() / _ROWS
                print(f"    answered {run.answered}, failed {run.refused + run.broken}, logged {logged:.0f}")
                runs += [run] if number else []
        print_figure("binary_batch_rows_per_s", statistics.median(run.rate * _ROWS for run in runs), ".0f", ">= 700000")
        per_cpu_s = statistics.median(
            1e6 * _ROWS / run.server_us for run in runs
        )  # what the machine's other work hides
        print_figure("binary_batch_rows_per_cpu_s", per_cpu_s, ".0f", "-")

    def grpc(self) -> None:
        """Print what gRPC answers beside HTTP."""
        grpc_vs_rest.measure(self.ready, self.places, self.options.seconds, self.options.rounds)

    def start(self) -> None:
        """Print how long a gateway takes until it is ready, and how much memory its worker has after a load."""
        took, sizes = [], []
        for _ in range(self.options.rounds):
            began = time.perf_counter()
            with self.ours(self.places.server) as ours:
                took.append(time.perf_counter() - began)
                self.ask(ours, 1)
                sizes.append(_resident_mb(ours.pid))
        print_spread("start to ready, s", took, ".2f")
        print_figure("cold_start_s", statistics.median(took), ".2f", "-")
        print_figure("rss_mb_per_worker", statistics.median(sizes), ".0f", "-")

    def soak(self) -> None:
        """Print the worker's memory after each tenth of a million requests."""
        with self.ours(self.places.server) as ours:
            sizes, answered = [], 0
            while answered < _SOAK:
                answered += self.ask(ours, self.options.seconds).answered
                if answered >= len(sizes) * _SOAK / 10:
                    sizes.append(_resident_mb(ours.pid))
        shown = ", ".join(f"{size:.0f}" for size in sizes)
        print(f"  {answered:,} requests answered, MB after each tenth: {shown}")
        print_figure("soak_growth_mb", sizes[-1] - sizes[0], ".1f", "flat")


def _features_us(ready: Measured) -> float:
    """Return the microseconds that one row's stored features take in process, in batches of 32."""
    from falaj.features.online import OnlineReader
    from falaj.lifecycle.applied import read_applied
    from falaj.storage.keyvalue.lmdb import LmdbStore
    from falaj.storage.metadata.database import Database

    database = Database.sqlite(ready.folder / ".falaj" / "falaj.db")
    service = read_applied(database).document.services["cards"]
    database.close()
    store = LmdbStore.open(ready.folder / ".falaj" / "online", readonly=True)
    reader = OnlineReader(store)
    entities = [json.loads(line)["entities"] for line in ready.bodies.read_text().splitlines()]
    batches = [entities[at : at + 32] for at in range(0, len(entities) - 31, 32)]
    now = [time.time_ns() // 1000] * 32
    best = math.inf
    for _ in range(5):
        began = time.process_time()
        for batch in batches:
            reader.read(service, batch, now)
        best = min(best, time.process_time() - began)
    store.close()
    return 1e6 * best / (32 * len(batches))


def _binary_body(path: Path, columns: int) -> tuple[Path, int]:
    rows = np.random.default_rng(3).normal(size=(_ROWS, columns)).astype(np.float32)
    tensor = {"name": "x", "shape": [_ROWS, columns], "datatype": "FP32"}
    asked = {"inputs": [{**tensor, "parameters": {"binary_data_size": rows.nbytes}}]}
    head = json.dumps(asked | {"parameters": {"binary_data_output": True}}).encode()
    path.write_bytes(head + rows.tobytes())
    return path, len(head)


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> None:
    """Measure and print."""
    options = _options()
    if shutil.which("wrk") is None:
        raise SystemExit("bench: wrk is not installed; install it first, for example: sudo apt-get install wrk")
    places = cpus()
    print_machine()
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        project = Path(name) / "project"
        project.mkdir()
        bench = Bench(prepare(project, options.cards), places, options, Path(name))
        lines: dict[str, Callable[[], None]] = {
            "own_echo": lambda: bench.echo("own_echo", "echo.py", 0.3),
            "granian_echo": lambda: bench.echo("granian_echo", "granian_echo.py", 1),
            **{peer: lambda peer=peer, aim=aim: bench.peer(peer, aim) for peer, aim in _PEERS.items()},  # type: ignore[misc]
            "rate": bench.rate,
            "open": bench.open,
            "binary": bench.binary,
            "grpc": bench.grpc,
            "start": bench.start,
            "soak": bench.soak,
        }
        for line in options.lines or lines:
            if line not in lines:
                raise SystemExit(f"bench: no line is called {line!r}; there are {', '.join(lines)}")
            lines[line]()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lines", nargs="*", help="what to measure (default: everything)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (default 3)")
    parser.add_argument("--cards", type=int, default=1_000, help="cards (default 1000)")
    parser.add_argument("--columns", type=int, default=15, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
