"""A real gateway under fuzz: no fault, no status that is not documented, no hang, no growing memory."""

import contextlib
import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def tensor_of(random_: random.Random, datatype: str) -> tuple[dict[str, Any], bytes]:
    """A tensor of two by two as it should be: what its JSON says, and its bytes."""
    block = random_.randbytes(4 * _WIDTHS[datatype])
    if datatype == "BOOL":
        block = bytes(b & 1 for b in block)
    if datatype == "BYTES":
        texts = [str(random_.random())[: random_.choice([0, 1, 9])].encode() for _ in range(4)]
        block = b"".join(bytes([len(text), 0, 0, 0]) + text for text in texts)
    parameters = {"binary_data_size": len(block)}
    return {"name": f"in_{datatype}", "datatype": datatype, "shape": [2, 2], "parameters": parameters}, block


def right_body(random_: random.Random) -> tuple[bytes, bytes, bytes]:
    """A binary request for `identity`, the length of its head, and the bytes that must come back."""
    made = [tensor_of(random_, datatype) for datatype in _WIDTHS]
    wanted = {"inputs": [told for told, _ in made], "id": "mine", "parameters": {"binary_data_output": True}}
    head, blocks = json.dumps(wanted).encode(), b"".join(block for _, block in made)
    return head + blocks, str(len(head)).encode(), blocks


_NESTED = json.loads("[" * 40 + "]" * 40)
_DAMAGES: dict[str, list[Any]] = {
    "shape": [
        [0], [1], [3, 2], [2**40, 2], [10**30], [-1, 2], [-1, -1], [2**32, 2**32], [], [[2], 2], ["2", 2], [2.0, 2],
        [True, 2], [None], None, 4, "2,2", {}, [1] * 33 + [4], [2, 2, 1], [4], _NESTED,
    ],
    "datatype": [
        "FP65", "fp32", "", "BF16", "STRING", "INT32 ", "\0", "\ud7ff", "x" * 5_000, None, 5, [], {"a": 1}, *_WIDTHS,
    ],
    "name": ["", "in_FP65", "in_FP32", "in_BYTES", "\0", "y" * 5_000, None, 3, ["in_BOOL"]],
    "parameters": [
        None, [], "8", {}, {"binary_data_size": 7}, {"binary_data_size": -1}, {"binary_data_size": 10**20},
        {"binary_data_size": True}, {"binary_data_size": "8"}, {"binary_data_size": 8.0}, {"binary_data_size": None},
        {"binary_data_size": [8]}, {"binary_data_size": 1 << 63}, {"shared_memory_region": "r"}, _NESTED,
    ],
    "data": [[], [1, 2, 3, 4], [[1, 2], [3, 4]], _NESTED, None, "1234", {}],
}  # fmt: skip
"""What stands in a tensor's place for what should, part by part."""

_LENGTHS = [
    b"0", b"-1", b"+8", b"1e3", b"0x10", b"8 8", b"1000000000", b"9" * 40, b"x", b"", b"\xb2", b"1_0", b"8, 8",
    b"00000000",
]  # fmt: skip
"""What stands in the header in place of the length of the JSON."""


def damaged_body(random_: random.Random) -> tuple[bytes, bytes]:
    """A binary request for `identity` that is almost right: damaged in one way, or in two."""
    made = [tensor_of(random_, datatype) for datatype in _WIDTHS]
    inputs, blocks = [told for told, _ in made], [block for _, block in made]
    kinds = random_.sample(["part", "inputs", "blocks", "depth", "outputs", "bytes", "cut", "length"], k=2)
    kinds = kinds[: random_.choice([1, 1, 2])]
    if "part" in kinds:
        part = random_.choice(list(_DAMAGES))
        random_.choice(inputs)[part] = random_.choice(_DAMAGES[part])
    if "inputs" in kinds:  # one is missing, is there twice, or stands in another's place
        number = random_.randrange(len(inputs))
        random_.choice([lambda: inputs.pop(number), lambda: inputs.append(inputs[number]), inputs.reverse])()
    if "blocks" in kinds:
        number = random_.randrange(len(blocks))
        blocks[number] = random_.choice([b"", blocks[number][:-1], blocks[number] + b"x", random_.randbytes(64)])
    wanted: dict[str, Any] = {"inputs": inputs, "id": "mine", "parameters": {}}
    if "outputs" in kinds:
        name = random_.choice(["out_FP32", "out_BYTES", "out_none", "", None])
        parameters: Any = random_.choice(
            [{"binary_data": True}, {"classification": 3}, {"binary_data": "yes"}, None, []]
        )
        wanted["outputs"] = random_.choice([[{"name": name, "parameters": parameters}] * 2, [], {}, None, [[]]])
    head = json.dumps(wanted).encode()
    if "depth" in kinds:
        depth = random_.choice([1, 10, 1_000, 5_000, 60_000])
        opening, closing = random_.choice([(b'{"a":', b"}"), (b"[", b"]")])
        head = head.replace(b'"parameters": {}}', b'"parameters": ' + opening * depth + b"1" + closing * depth + b"}")
    whole = bytearray(head + b"".join(blocks))
    if "bytes" in kinds:
        for _ in range(random_.choice([1, 3, 20])):
            whole[random_.randrange(len(whole))] = random_.randrange(256)
    if "cut" in kinds:
        del whole[random_.randrange(len(whole)) :]
    length = str(len(head)).encode()
    if "length" in kinds:
        length = random_.choice([*_LENGTHS, str(len(head) + 1).encode(), str(len(head) - 1).encode()])
    return bytes(whole), length


class Asking:
    """One kept connection to the gateway."""

    def __init__(self, port: int) -> None:
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._reader = self._connection.makefile("rb")

    def ask(self, body: bytes, length: bytes, model: str) -> tuple[int, bytes]:
        """Send a binary body; return the status and the answer's."""
        head = f"POST /v2/models/{model}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {TOKEN}\r\n".encode()
        head += b"content-length: %d\r\ninference-header-content-length: %b\r\n\r\n" % (len(body), length)
        self._connection.sendall(head + body)
        status, size = int(self._reader.readline().split()[1]), 0
        while (line := self._reader.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        return status, self._reader.read(size)

    def close(self) -> None:
        self._reader.close()
        self._connection.close()


def test_binary_bodies_of_every_damage_are_answered_and_right_ones_come_back(running: Running) -> None:
    random_ = random.Random(1)
    statuses: dict[int, int] = {}
    models = ["identity"] * 6 + ["fraud", "fraud%3Araw", "bare", "simple"]
    with contextlib.closing(Asking(running.port)) as asking:
        for number in range(15_000):
            body, length = damaged_body(random_)
            status, answer = asking.ask(body, length, random_.choice(models))
            statuses[status] = statuses.get(status, 0) + 1
            assert status == 200 or isinstance(json.loads(answer)["error"], str)
            if number % 5 == 0:  # what was wrong with others is nothing to one that is right
                body, length, blocks = right_body(random_)
                status, answer = asking.ask(body, length, "identity")
                assert (status, answer[-len(blocks) :]) == (200, blocks), answer
            if number == 3_000:
                settled = running.memory_kib()
    assert statuses.keys() <= {200, 400, 501}, statuses
    assert min(statuses[200], statuses[400]) > 200, statuses
    assert running.memory_kib() < settled + 20_000, (settled, running.memory_kib())
    assert "falaj_faults_total 0\n" in call(running.port, "GET", "/metrics", token=OWNER)[1]
