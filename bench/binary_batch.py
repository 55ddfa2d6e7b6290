"""Measures rows sent in bulk: 1,000 rows of 12 FP32 features in one binary request, in process and over HTTP.

`python bench/binary_batch.py` trains the shared model (150 trees), serves it with one gateway worker, pinned, every row
in the prediction log, which is counted again. Needs `wrk`. Figures stand on lines `ratio: NAME VALUE`.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from load import cpu_s, cpus, pinned, python, server, shared
from machine import print_machine
from project import free_port
from recount import Recount

from falaj.app.online import open_online_reader, open_online_writer
from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, RoutingTable, Variant
from falaj.definitions.signature import InputSpec, Signature
from falaj.governance.access import Role
from falaj.governance.tokens import TokenEntry, TokenSnapshot, hash_token
from falaj.kernel.codec import to_msgpack
from falaj.kernel.settings import Settings
from falaj.models.runtimes.load import load_runtime
from falaj.serving.columns import given_matrix
from falaj.serving.gateway import GatewayConfig, run_worker
from falaj.serving.rest_codec import decode_request
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.keyvalue.snapshots import write_snapshots

FEATURES = 12
_CONNECTIONS = 8
_HERE = Path(__file__).parent
_TOKEN = "flj_bench"  # noqa: S105 - it opens nothing but this
_PATH = "/v2/models/trees:raw/infer"
_SETTINGS = msgspec.convert({"storage": {"online_map_gib": 1}}, Settings)
_FILES = {"xgboost": "booster.json", "onnx": "model.onnx"}
SIGNATURE = Signature(tuple(InputSpec(f"f{i}", "float64") for i in range(FEATURES)))


def main() -> None:
    """Measure and print; with `--serve`, be the worker."""
    options = _options()
    if options.serve:
        serve(Path(options.serve), options.port)
        return
    print_machine()
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = Path(name)
        script = shared("model.py")
        if script is None:
            raise SystemExit("bench: ../shared/bench/model.py is not beside the project")
        subprocess.run(python(str(script), str(folder / "model")), check=True, stdout=subprocess.DEVNULL)
        body, length = request(options.rows)
        (folder / "body").write_bytes(body)
        for runtime, file in _FILES.items():
            steps(folder / "model" / file, runtime, body, length, options.rows)
            over_http(folder, folder / "model" / file, runtime, length, options)


def request(rows: int) -> tuple[bytes, int]:
    """Return a binary request of random rows, and the length of its JSON part."""
    matrix = np.random.default_rng(1).normal(size=(rows, FEATURES)).astype("<f4")
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, FEATURES]}
    tensor["parameters"] = {"binary_data_size": matrix.nbytes}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + matrix.tobytes(), len(head)


def steps(file: Path, runtime: str, body: bytes, length: int, rows: int) -> None:
    """Print what reading a request and the model alone cost, in this process."""
    model = load_runtime(file, runtime, FEATURES)
    header = str(length).encode()
    matrix = given_matrix(SIGNATURE, decode_request(body, header).inputs)
    read_us = _best_us(lambda: given_matrix(SIGNATURE, decode_request(body, header).inputs))
    model_us = _best_us(lambda: model.predict(matrix))
    print(f"{runtime}: read {read_us:.0f} us, model {model_us:.0f} us for {rows} rows")
    print(f"ratio: model_alone_rows_per_s_{runtime} {rows / model_us * 1e6:.0f}")


def over_http(folder: Path, file: Path, runtime: str, length: int, options: Any) -> None:
    """Print the rows per second of one pinned worker."""
    places = cpus()
    root = folder / runtime
    root.mkdir()
    publish(root, file, runtime)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    words = python(__file__, "--serve", str(root), "--port", str(port))
    with server(places.server, words, f"{url}/v2/health/ready") as pid:
        recount = Recount(root / "log")
        wrk = [
            "wrk",
            "-t1",
            f"-c{_CONNECTIONS}",
            f"-d{options.seconds:g}s",
            "-s",
            str(_HERE / "binary.lua"),
            url,
        ]
        told = {"TOKEN": _TOKEN, "BODY": str(folder / "body"), "JSON_BYTES": str(length), "PATH_": _PATH}
        rates, per_cpu = [], []
        for _ in range(options.rounds):
            before, began = cpu_s(pid), time.perf_counter()
            out = subprocess.run(
                pinned(places.load, wrk), env={**os.environ, **told}, capture_output=True, text=True, check=True
            )
            spent, took = cpu_s(pid) - before, time.perf_counter() - began
            found = json.loads(out.stdout.strip().splitlines()[-1])
            rates.append(found["requests"] / found["seconds"] * options.rows)
            per_cpu.append(found["requests"] * options.rows / spent)
            logged = recount.since().total()
            print(
                f"  {runtime} {rates[-1]:,.0f} rows/s, p99 {found['p99_ms']:.2f} ms, {spent / took:.0%} of its CPU; "
                f"answered {found['requests'] * options.rows}, refused {found['refused']}, logged {logged}"
            )
    print(f"ratio: binary_batch_rows_per_s_{runtime} {statistics.median(rates):.0f}")
    print(f"ratio: binary_batch_rows_per_cpu_s_{runtime} {statistics.median(per_cpu):.0f}", flush=True)


def publish(root: Path, file: Path, runtime: Any) -> None:
    """Write the worker's folders: the model, one endpoint that takes its features, one token."""
    digest = LocalBlobs(root / "blobs").put(file.read_bytes())
    variant = Variant("champion", "trees", 1, 10_000, "live", ArtifactRef(digest, runtime), SIGNATURE)
    table = RoutingTable(1, {"trees": EndpointRoute("trees", 1, "salt", (variant,))})
    tokens = TokenSnapshot({hash_token(_TOKEN): TokenEntry("tok_1", "bench", Role.SERVICE, ("*",))})
    store = open_online_writer(root / "online", _SETTINGS)
    write_snapshots(store, {"routing": to_msgpack(table), "tokens": to_msgpack(tokens)}, 1)
    store.close()


def serve(root: Path, port: int) -> None:
    """Run one gateway worker."""
    config = GatewayConfig(
        worker="gateway-0", blobs=root / "blobs", log=root / "log", stats=root / "stats", port=port, ready_grace_s=0.0
    )
    run_worker(config, lambda: open_online_reader(root / "online", _SETTINGS))


def _best_us(work: Callable[[], object], times: int = 200) -> float:
    """Return the quickest of many runs: the rest is the machine's."""
    best = float("inf")
    for _ in range(times):
        began = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", default="")
    parser.add_argument("--port", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
