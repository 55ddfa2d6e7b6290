"""A real gateway under fuzz: no fault, no status that is not documented, no hang, no growing memory."""

import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.serving.openapi import document
from support.gateway_process import Project, WorkerProcess, call
from support.onnx_models import add_any_file, identity_file, simple_file
from support.serving_world import OWNER, TOKEN, route, tensor_route
from support.waiting import until

_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", "501", "504"]
"""
_NAMES = ["fraud", "fraud:raw", "bare", "bare:raw", "simple", "identity", "add", "nobody"]
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


class Running:
    """A worker with an endpoint, one that takes its features, and bare models."""

    def __init__(self, root: Path) -> None:
        self.project = Project(root)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.files = {"simple": simple_file(), "identity": identity_file(), "add": add_any_file()}
        for file in self.files.values():
            self.project.blobs.put(file)
        bare = (tensor_route(name, file) for name, file in self.files.items())
        self.project.publish(route(self.project.variant(1)), self.project.bare_route(), *bare)
        self.worker = WorkerProcess(self.project, self.socket)
        self.port = self.worker.port
        until(lambda: call(self.port, "GET", "/v2/health/ready")[0] == 200, "the worker is ready")

    def memory_kib(self) -> int:
        status = Path(f"/proc/{self.worker.process.pid}/status").read_text()
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")))

    def end(self) -> None:
        self.worker.end()
        self.socket.close()
        self.project.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("fuzzed"))
    yield made
    made.end()


def test_schemathesis_finds_no_fault_and_no_undocumented_status(running: Running, tmp_path: Path) -> None:
    status, described = call(running.port, "GET", "/v1/openapi.json", token=OWNER)
    assert (status, described["paths"].keys()) == (200, document()["paths"].keys())
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "name":
                    parameter["schema"] = {"anyOf": [{"enum": _NAMES}, {"type": "string"}]}
                if parameter["name"] == "service":
                    parameter["schema"] = {"enum": ["fraud", "other"]}
    (tmp_path / "gateway.json").write_text(json.dumps(described))
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    words = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run",
        "gateway.json", "--url", f"http://127.0.0.1:{running.port}", "--header", f"authorization:Bearer {OWNER}",
        "--checks", _CHECKS, "--max-examples", "40", "--seed", "1", "--no-color", "--phases",
        "examples,coverage,fuzzing", "--continue-on-failure",
    ]  # fmt: skip
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None
    assert counted[1] == counted[2]
    assert int(counted[1]) > 500
    assert running.worker.process.poll() is None


_WIDTHS = {
    "BOOL": 1, "UINT8": 1, "UINT16": 2, "UINT32": 4, "UINT64": 8, "INT8": 1, "INT16": 2, "INT32": 4, "INT64": 8,
    "FP16": 2, "FP32": 4, "FP64": 8, "BYTES": 8,
}  # fmt: skip


def body_of(random_: random.Random) -> tuple[bytes, bytes]:
    """A binary request for `identity` that is right, or almost."""
    inputs, blocks = [], []
    for datatype, width in _WIDTHS.items():
        shape = [random_.choice([0, 1, 3, 2**40, 10**30, -1]) if random_.random() < 0.02 else 2, 2]
        block = random_.randbytes(4 * width)
        if datatype == "BOOL":
            block = bytes(b & 1 for b in block)
        if datatype == "BYTES":
            block = b"".join(bytes([4, 0, 0, 0]) + b"text" for _ in range(4))
        size = random_.choice([len(block) - 1, -1, 10**20, True, "8", None]) if random_.random() < 0.02 else len(block)
        blocks.append(block)
        parameters = {"binary_data_size": size}
        inputs.append({"name": f"in_{datatype}", "datatype": datatype, "shape": shape, "parameters": parameters})
    depth = random_.choice([0, 0, 0, 1, 10, 5_000])
    head = json.dumps({"inputs": inputs, "id": "mine", "parameters": {}}).encode()
    if depth:
        head = head.replace(b'"parameters": {}}', b'"parameters": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}")
    whole = bytearray(head + b"".join(blocks))
    for _ in range(random_.choice([0, 0, 0, 1, 3])):
        whole[random_.randrange(len(whole))] = random_.randrange(256)
    del whole[random_.choice([len(whole)] * 4 + [random_.randrange(len(whole))]) :]
    length = random_.choice([len(head)] * 8 + [0, len(head) + 1, 10**9])
    return bytes(whole), str(length).encode()


def test_binary_bodies_of_every_damage_are_answered(running: Running) -> None:
    random_ = random.Random(1)
    statuses: dict[int, int] = {}
    models = ["identity"] * 6 + ["fraud", "fraud%3Araw", "bare", "simple"]
    with (
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as connection,
        connection.makefile("rb") as reader,
    ):

        def ask(body: bytes, length: bytes, model: str) -> int:
            head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n"
            head += f"content-length: {len(body)}\r\ninference-header-content-length: {length.decode()}\r\n\r\n"
            connection.sendall(head.encode() + body)
            status = int(reader.readline().split()[1])
            size = 0
            while (line := reader.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            reader.read(size)
            return status

        for number in range(3_000):
            status = ask(*body_of(random_), random_.choice(models))
            statuses[status] = statuses.get(status, 0) + 1
            if number == 1_000:
                settled = running.memory_kib()
    assert statuses.keys() <= {200, 400, 501}, statuses
    assert min(statuses[200], statuses[400]) > 200, statuses
    assert running.memory_kib() < settled + 20_000, (settled, running.memory_kib())
