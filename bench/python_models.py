"""What a request to a trivial Python model costs beside the same to an ONNX model, in one gateway worker.

Both add two request fields by the native form; every decision is in the prediction log. The worker has one CPU,
its model's process and the load the other. CPU is counted for worker and process apart.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import numpy as np
import onnx
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, Variant  # noqa: E402
from falaj.kernel.python_settings import PythonSettings  # noqa: E402
from falaj.models.python.package import PythonPackage  # noqa: E402
from support.gateway_process import Project, WorkerProcess, call  # noqa: E402
from support.serving_world import BARE, TOKEN, route  # noqa: E402

CODE = b"""
class Sum:
    def load(self, folder):
        pass

    def predict(self, matrix):
        return matrix.sum(axis=1)
"""


def sum_model() -> bytes:
    """The same as ONNX."""
    given = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", 2])
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 2])
    ones = helper.make_tensor("weights", TensorProto.FLOAT, [2, 2], np.ones(4, np.float32))
    graph = helper.make_graph([helper.make_node("MatMul", ["features", "weights"], ["probabilities"])], "sum",
                              [given], [output], [ones])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def routes(project: Project) -> list[EndpointRoute]:
    """Two endpoints: python and onnx."""
    package = PythonPackage("sum:Sum", {}, {"sum.py": CODE}).encode()
    files = {"python": package, "onnx": sum_model()}
    return [
        route(Variant("champion", name, 1, 10_000, "live", ArtifactRef(project.blobs.put(raw), name), BARE),  # type: ignore[arg-type]
              endpoint=name)
        for name, raw in files.items()
    ]  # fmt: skip


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Processes that a process started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(one) for one in found.stdout.split()]


def load(port: int, endpoint: str, seconds: int, connections: int) -> float:
    """Return requests per second under closed-loop load."""
    body = json.dumps({"request": {"x": 1.0, "y": 2.0}})
    script = (
        f'wrk.method = "POST"\nwrk.body = [[{body}]]\n'
        f'wrk.headers["authorization"] = "Bearer {TOKEN}"\nwrk.headers["content-type"] = "application/json"\n'
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        url = f"http://127.0.0.1:{port}/v1/endpoints/{endpoint}/predict"
        words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", file.name, url]
        out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in out, out
    return float(next(line.split()[1] for line in out.splitlines() if line.startswith("Requests/sec")))


def main() -> None:
    """Measure in turns, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 64])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        project = Project(Path(folder))
        project.publish(*routes(project))
        limits = msgspec.to_builtins(PythonSettings())
        worker = WorkerProcess(project, server, python=limits, python_folder=str(project.root / "python"))
        body = {"request": {"x": 1.0, "y": 2.0}}
        for endpoint in ("python", "onnx"):
            assert call(worker.port, "POST", f"/v1/endpoints/{endpoint}/predict", body)[1]["prediction"] == 3.0
        os.sched_setaffinity(worker.process.pid, {0})
        (model,) = children(worker.process.pid)
        os.sched_setaffinity(model, {1})
        for connections in given.connections:
            _measure(worker, model, connections, given.seconds, given.rounds)
        worker.end()
        project.close()


def _measure(worker: WorkerProcess, model: int, connections: int, seconds: int, rounds: int) -> None:
    rates: dict[str, list[float]] = {"python": [], "onnx": []}
    costs: dict[str, list[tuple[float, float]]] = {"python": [], "onnx": []}
    for _ in range(rounds):
        for endpoint in rates:
            before = cpu_s(worker.process.pid), cpu_s(model)
            rate = load(worker.port, endpoint, seconds, connections)
            after = cpu_s(worker.process.pid), cpu_s(model)
            rates[endpoint].append(rate)
            costs[endpoint].append(tuple((b - a) * 1e6 / (rate * seconds) for a, b in zip(before, after, strict=True)))  # type: ignore[arg-type]
    for endpoint, found in rates.items():
        own = statistics.median(cost[0] for cost in costs[endpoint])
        process = statistics.median(cost[1] for cost in costs[endpoint])
        print(
            f"{endpoint}, {connections} connections: {statistics.median(found):,.0f} requests/s, "
            f"{own:.1f} us of the worker's CPU and {process:.1f} us of the model's process per request"
        )
    ratio = statistics.median(rates["python"]) / statistics.median(rates["onnx"])
    print(f"ratio: python_vs_onnx_{connections} {ratio:.3f}")


if __name__ == "__main__":
    main()
