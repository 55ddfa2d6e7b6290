"""Measures the loop: one gateway worker with everything on beside the same server's echo, then each stage of the demo.

`python bench/loop.py` does it all: makes a project in a temporary folder, on free ports, and removes it. Needs `wrk`.
Every figure that others may read stands on a line `ratio: NAME VALUE` or `stage: NAME SECONDS`; a slow ratio is no
failure. Server and load are pinned to one CPU each, the servers take turns, and medians and ranges are printed.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from load import CONNECTIONS, Cpus, Run, child_of, closed_loop, cpus, open_loop, python, server, shared
from machine import print_machine
from project import EVENTS_PER_CARD, Measured, free_port, prepare
from recount import Recount
from shown import compare, print_ratio, print_run, print_spread

_HERE = Path(__file__).parent
_RATES = (2_000, 5_000)
_PATH = "/v1/endpoints/cards/predict"


class Target(NamedTuple):
    """A running server."""

    name: str
    url: str
    pid: int


def main() -> None:
    """Measure and print."""
    options = _options()
    if shutil.which("wrk") is None:
        raise SystemExit("bench: wrk is not installed; install it first, for example: sudo apt-get install wrk")
    places = cpus()
    print_machine()
    _print_pinning(places)
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = Path(name)
        project = folder / "project"
        project.mkdir()
        measure(prepare(project, options.cards), places, options.seconds, max(options.rounds, 1))
        if not options.skip_demo:
            demo(folder / "demo")


def measure(ready: Measured, places: Cpus, seconds: float, rounds: int) -> None:
    """Print the ratios of a prepared project."""
    ports = [free_port(), free_port()]
    urls = [f"http://127.0.0.1:{port}" for port in (*ports, ready.port)]
    bare = shared("echo.py") or _HERE / "bare_echo.py"
    gateway = python("-m", "falaj.cli.main", "gateway", "--workers", "1", "--project", str(ready.folder))
    with (
        server(places.server, python(str(bare), str(ports[0])), urls[0]) as bare_pid,
        server(places.server, python(str(_HERE / "echo.py"), str(ports[1])), urls[1]) as echo_pid,
        server(places.server, gateway, f"{urls[2]}/v2/health/ready") as supervisor,
    ):
        targets = [
            Target("bare_echo", urls[0], bare_pid),
            Target("echo", urls[1], echo_pid),
            Target("serve", urls[2], child_of(supervisor, "falaj.app.gateway")),
        ]
        recount = Recount(ready.folder / ".falaj" / "log" / "predictions")
        environment = {"TOKEN": ready.token, "BODIES": str(ready.bodies), "PATH_": _PATH}
        _closed(targets, places, seconds, rounds, environment, recount)
        _open(targets[2], ready, places, seconds, rounds, recount)


def demo(folder: Path) -> None:
    """Print the demo's time per stage."""
    words = ["falaj", "demo", "fraud", "--into", str(folder), "--json"]
    print(f"$ {' '.join(words)}", flush=True)
    began = time.perf_counter()
    done = subprocess.run(python("-m", "falaj.cli.main", *words[1:]), stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"bench: the demo ended with {done.returncode}")
    for stage in json.loads(done.stdout)["stages"]:
        print(f"stage: {stage['name']} {stage['seconds']:.1f}")
    print(f"the demo took {time.perf_counter() - began:.1f} s in all")


def _closed(
    targets: Sequence[Target], places: Cpus, seconds: float, rounds: int, environment: dict[str, str], recount: Recount
) -> None:
    print(f"closed loop: wrk -t1 -c{CONNECTIONS} -d{seconds:g}s, {rounds} rounds, the servers take turns")
    for target in targets:
        closed_loop(places.load, target.url, 1, target.pid, environment)
    recount.since()
    runs: dict[str, list[Run]] = {target.name: [] for target in targets}
    for _ in range(rounds):
        for target in targets:
            run = closed_loop(places.load, target.url, seconds, target.pid, environment)
            runs[target.name].append(run)
            print_run(target.name, run)
            if target.name == "serve":
                compare(run.answered, run.refused + run.broken, recount, in_flight=CONNECTIONS)
    for name, found in runs.items():
        print_spread(f"{name} requests/s", [run.rate for run in found], ".0f")
        print_spread(f"{name} server CPU us/request", [run.server_us for run in found], ".2f")
    print_ratio("serve_vs_echo", runs["serve"], runs["echo"])
    print_ratio("serve_vs_bare_echo", runs["serve"], runs["bare_echo"])
    print_ratio("echo_vs_bare_echo", runs["echo"], runs["bare_echo"])


def _open(target: Target, ready: Measured, places: Cpus, seconds: float, rounds: int, recount: Recount) -> None:
    script = shared("open_loop.py")
    if script is None:
        print("open loop: left out, since ../shared/bench/open_loop.py is not beside the project")
        return
    for rate in _RATES:
        found = []
        for _ in range(rounds):
            one = open_loop(places.load, script, target.url + _PATH, rate, seconds, ready.token, ready.bodies)
            print(f"  {json.dumps(one)}", flush=True)
            compare(one["answered"], one["errors"], recount, in_flight=one["unanswered"])
            found.append(one)
        for name in ("p50_ms", "p99_ms", "late_p99_ms"):
            print_spread(f"open loop {rate}/s {name}", [one[name] for one in found], ".3f")
        for name in ("p50_ms", "p99_ms"):
            print(f"latency: open_{rate}_{name} {statistics.median(one[name] for one in found):.3f}")


def _print_pinning(places: Cpus) -> None:
    if places.server is None:
        print("pinning: none, since there is only one CPU or no taskset")
    else:
        print(f"pinning: servers to CPU {places.server}, load to CPU {places.load}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each server (default 3)")
    parser.add_argument(
        "--cards", type=int, default=1_000, help=f"cards with {EVENTS_PER_CARD} events each (default 1000)"
    )
    parser.add_argument("--skip-demo", action="store_true", help="measure the gateway only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
