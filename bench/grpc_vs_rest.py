"""Measures decisions over gRPC beside the same decisions over HTTP, by one worker on one CPU with everything on.

`python bench/grpc_vs_rest.py` makes a project in a temporary folder, on free ports, and removes it; `bench/serving.py`
calls it too. Needs `wrk` and the extra `falaj[grpc]`. Both ways take turns at one running gateway, the load has a CPU
of its own, and every record in the prediction log is recounted. The load over gRPC is Python and may be the limit, so
the ratio of the server's CPU per request stands beside that of the rates.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from load import CONNECTIONS, Cpus, Run, child_of, closed_loop, cpu_s, cpus, pinned, python, server
from machine import print_machine
from project import Measured, free_port, prepare
from recount import Recount
from shown import compare, print_figure, print_ratio, print_run, print_spread

_HERE = Path(__file__).parent
_PATH = "/v1/endpoints/cards/predict"
_CHANNELS = 4


def measure(ready: Measured, places: Cpus, seconds: float, rounds: int) -> None:
    """Print the ratio of a prepared project.

    Args:
        ready: The project.
        places: Which CPU the server gets, and which the load.
        seconds: Length of one run.
        rounds: Runs of each.
    """
    print("gRPC: the native endpoint over both protocols, everything on", flush=True)
    port = free_port()
    os.environ["FALAJ_GATEWAY_GRPC_PORT"] = str(port)
    try:
        words = python("-m", "falaj.cli.main", "gateway", "--workers", "1", "--project", str(ready.folder))
        with server(places.server, words, f"http://127.0.0.1:{ready.port}/v2/health/ready") as supervisor:
            pid = child_of(supervisor, "falaj.app.gateway")
            _turns(ready, places, port, pid, seconds, rounds)
    finally:
        del os.environ["FALAJ_GATEWAY_GRPC_PORT"]


def _turns(ready: Measured, places: Cpus, port: int, pid: int, seconds: float, rounds: int) -> None:
    recount = Recount(ready.folder / ".falaj" / "log" / "predictions")
    rest = {"TOKEN": ready.token, "BODIES": str(ready.bodies), "PATH_": _PATH}
    url, address = f"http://127.0.0.1:{ready.port}", f"127.0.0.1:{port}"
    found: dict[str, list[Run]] = {"rest": [], "grpc": []}
    for number in range(rounds + 1):
        runs = {
            "rest": lambda: closed_loop(places.load, url, seconds, pid, rest),
            "grpc": lambda: _grpc(places.load, address, seconds, pid, ready),
        }
        for name, run in runs.items():
            recount.since()
            done = run()
            print_run(name, done)
            compare(done.answered, done.refused + done.broken, recount, in_flight=CONNECTIONS)
            found[name] += [done] if number else []  # the first turn warms
    for name, each in found.items():
        print_spread(f"{name} requests/s", [run.rate for run in each], ".0f")
        print_spread(f"{name} server CPU us/request", [run.server_us for run in each], ".1f")
    print_ratio("grpc_vs_rest", found["grpc"], found["rest"])
    per_cpu = [statistics.median(run.server_us for run in found[name]) for name in ("rest", "grpc")]
    print_figure("grpc_vs_rest_by_server_cpu", per_cpu[0] / per_cpu[1], ".3f", "-")


def _grpc(cpu: int | None, address: str, seconds: float, pid: int, ready: Measured) -> Run:
    words = python(str(_HERE / "grpc_load.py"), address, f"{seconds:g}", str(CONNECTIONS), str(_CHANNELS))
    environment = {**os.environ, "TOKEN": ready.token, "BODIES": str(ready.bodies), "MODEL": "cards"}
    before = cpu_s(pid)
    began = time.perf_counter()
    done = subprocess.run(pinned(cpu, words), env=environment, stdout=subprocess.PIPE, text=True, check=True)
    spent, took = cpu_s(pid) - before, time.perf_counter() - began
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    answered = found["requests"] - found["refused"] - found["broken"]
    share = spent / min(found["seconds"], took)
    return Run(
        answered, found["refused"], found["broken"], answered / found["seconds"], found["p50_ms"], found["p99_ms"],
        1e6 * spent / max(answered, 1), share,
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--cards", type=int, default=1_000, help="cards (default 1000)")
    options = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        project = Path(name) / "project"
        project.mkdir()
        measure(prepare(project, options.cards), cpus(), options.seconds, max(options.rounds, 1))


if __name__ == "__main__":
    main()
