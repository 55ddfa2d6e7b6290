"""A gateway worker as a real process, on a real store, with a real model."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from falaj.app.online import open_online_writer
from falaj.definitions.prediction_record import LogRecord
from falaj.definitions.routing_table import ArtifactRef, EndpointRoute, RoutingTable, Variant
from falaj.features.materialise import apply_batch
from falaj.kernel.codec import from_msgpack, to_msgpack
from falaj.kernel.settings import Settings
from falaj.storage.blobs.local import LocalBlobs
from falaj.storage.eventlog.segments import finish_abandoned, read_segment
from falaj.storage.keyvalue.snapshots import write_snapshots
from support.serving_world import BARE, SERVICE, SIGNATURE, TOKEN, events, route, tokens

_RUN = """
import json, pathlib, signal, sys
import msgspec
from falaj.app.online import open_online_reader
from falaj.kernel.settings import Settings
from falaj.serving.gateway import GatewayConfig, run_worker
config = msgspec.json.decode(sys.argv[1], type=GatewayConfig, dec_hook=lambda kind, value: kind(value))
modules = pathlib.Path(sys.argv[2])
signal.signal(signal.SIGUSR1, lambda *_: modules.write_text(json.dumps(sorted(sys.modules))))
folder, settings = json.loads(sys.argv[3])
settings = msgspec.convert(settings, Settings)
run_worker(config, lambda: open_online_reader(pathlib.Path(folder), settings))
"""


def train_model(features: int, seed: int = 1) -> bytes:
    """A LightGBM model of a few trees."""
    import lightgbm

    random = np.random.default_rng(seed)
    rows = random.normal(size=(400, features))
    data = lightgbm.Dataset(rows, rows.sum(axis=1) > 0)
    params = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": seed, "deterministic": True}
    return str(lightgbm.train(params, data, 5).model_to_string()).encode()


class Project:
    """The folders of a project with an online store, models and a published route."""

    def __init__(self, root: Path, settings: dict[str, Any] | None = None) -> None:
        self.root = root
        self.settings = settings or {"storage": {"online_map_gib": 1}}
        self.blobs = LocalBlobs(root / "blobs")
        self.store = open_online_writer(root / "online", msgspec.convert(self.settings, Settings))
        apply_batch(self.store, SERVICE.views, events(("c1", 30, 8.0, "OM"), ("c1", 2, 4.0, "AE")), 2)
        self.epoch = 0
        self.digests = {seed: self.blobs.put(train_model(len(SIGNATURE.inputs), seed)) for seed in (1, 2)}

    def variant(self, version: int, weight: int = 10_000) -> Variant:
        artifact = ArtifactRef(self.digests[version], "lightgbm")
        return Variant("champion", "fraud_model", version, weight, "live", artifact, SIGNATURE, SERVICE)

    def bare_route(self) -> EndpointRoute:
        artifact = ArtifactRef(self.blobs.put(train_model(2)), "lightgbm")
        return route(Variant("champion", "bare_model", 1, 10_000, "live", artifact, BARE), endpoint="bare")

    def publish(self, *routes: EndpointRoute) -> None:
        self.epoch += 1
        table = RoutingTable(self.epoch, {r.endpoint: r for r in routes})
        # No expiry by the tests' own clock: this process looks at the wall's.
        entries = {key: entry for key, entry in tokens().tokens.items() if entry.expires_us is None}
        snapshot = msgspec.structs.replace(tokens(), tokens=entries)
        write_snapshots(self.store, {"routing": to_msgpack(table), "tokens": to_msgpack(snapshot)}, self.epoch)

    def records(self, folder: str = "log") -> list[Any]:
        """All records of the log, after the worker has ended."""
        log = self.root / folder
        assert finish_abandoned(log)
        found: list[Any] = []
        for path in sorted(log.glob("*.seg")):
            found += [from_msgpack(raw, LogRecord) for raw in read_segment(path)[0]]  # type: ignore[arg-type]
        return found

    def close(self) -> None:
        self.store.close()


class WorkerProcess:
    """One worker on a listening socket that outlives it."""

    def __init__(self, project: Project, listening: socket.socket, **more: Any) -> None:
        folders = {name: str(project.root / name) for name in ("blobs", "log", "stats")}
        config = folders | {"worker": "gateway-0", "listen_fd": listening.fileno(), "ready_grace_s": 0.05} | more
        online = str(project.root / "online"), project.settings
        self.modules_file = project.root / "modules.json"
        self.port = int(listening.getsockname()[1])
        self.grpc_port = int(more.get("grpc_port", 0))
        self.output = (project.root / "worker.out").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-c", _RUN, json.dumps(config), str(self.modules_file), json.dumps(online)],
            pass_fds=[listening.fileno(), *([more["grpc_listen_fd"]] if "grpc_listen_fd" in more else [])],
            stdout=self.output,
            stderr=self.output,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
        )

    def modules(self) -> set[str]:
        """What the running worker has loaded."""
        self.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.modules_file.exists() and self.modules_file.stat().st_size:
                return set(json.loads(self.modules_file.read_text()))
            time.sleep(0.02)
        raise AssertionError("the worker did not say what it has loaded")

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return how the process ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(20)
        self.output.close()
        return code


def resident_mib(worker: WorkerProcess) -> float:
    """Return how much memory the worker holds."""
    pages = int(Path(f"/proc/{worker.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def call(port: int, method: str, path: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
    """Send one request on a connection of its own; waits as long as the socket keeps it."""
    raw = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    first, _, rest = answer.partition(b"\r\n\r\n")
    text = rest.decode()
    return int(first.split(b" ")[1]), json.loads(text) if text.startswith(("{", "[")) else text
