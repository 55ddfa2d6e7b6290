"""Real Redis servers: one, or a cluster of three, without persistence, in a temporary folder."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from support.waiting import until


def need_redis() -> None:
    """Skip the test where no Redis is installed."""
    for program in ("redis-server", "redis-cli"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


def free_ports(count: int) -> list[int]:
    """Return ports whose bus ports, 10,000 above them, are free too."""
    found: list[int] = []
    while len(found) < count:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        if port < 55_000 and port not in found:
            with socket.socket() as bus:
                if bus.connect_ex(("127.0.0.1", port + 10_000)):
                    found.append(port)
    return found


class RedisServer:
    """One server, which can be killed and started again on its port."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        self.folder = folder
        self.port = port
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def start(self) -> None:
        words = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [*words, "--dir", str(self.folder), *self._options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "redis-server answers")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the process without ending it, as a machine that hangs."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)):
                return False
            probe.sendall(b"PING\r\n")
            return bool(probe.recv(64))


class RedisCluster:
    """A cluster of three primaries."""

    def __init__(self, folder: Path) -> None:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
        ports = free_ports(3)
        self.nodes = [RedisServer(folder / str(p), p, *options, "--cluster-require-full-coverage", "no") for p in ports]
        addresses = [f"127.0.0.1:{port}" for port in ports]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-yes"],
            check=True,
            capture_output=True,
            timeout=60,
        )
        until(lambda: all(b"cluster_state:ok" in self._info(node) for node in self.nodes), "the cluster agrees")

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def flush(self) -> None:
        for node in self.nodes:
            node.client().flushall()

    def close(self) -> None:
        for node in self.nodes:
            node.kill()

    @staticmethod
    def _info(node: RedisServer) -> bytes:
        command = ["redis-cli", "-p", str(node.port), "cluster", "info"]
        return subprocess.run(command, check=True, capture_output=True).stdout


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    need_redis()
    server = RedisServer(folder, free_ports(1)[0], *options)
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def redis_cluster(folder: Path) -> Iterator[RedisCluster]:
    """Run a cluster until the block ends."""
    need_redis()
    cluster = RedisCluster(folder)
    try:
        yield cluster
    finally:
        cluster.close()
