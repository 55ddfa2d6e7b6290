"""A real Ray of two nodes on this machine, which asks for a token; every process of it ends with its block.

The head has two cores, the other node one core and one (declared) graphics card. A step sees which one it is on in the
variable FALAJ_TEST_NODE.
"""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from falaj.pipelines.ray.jobs import Jobs
from support.waiting import until

_OBJECTS_BYTES = 80_000_000
"""Of the object store, which nothing here uses; Ray takes no less than 75 MB."""

_MEMORY_BYTES = 2_000_000_000
_MARK = "FALAJ_TEST_RAY"


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class RayCluster:
    """The cluster.

    Args:
        folder: Of its own, with a short name: it holds sockets.

    Attributes:
        address: Of its dashboard.
        token: What it asks for.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port, self._dashboard, *self._spare = _free_ports(4)
        self._mark = f"{_MARK}={secrets.token_hex(8)}"
        self._sessions: dict[str, int] = {}
        self.address = f"http://127.0.0.1:{self._dashboard}"
        self.token = secrets.token_hex(32)

    @property
    def jobs(self) -> Jobs:
        """What a person with the token can ask it."""
        return Jobs(self.address, lambda: self.token)

    def start(self) -> None:
        """Start both nodes."""
        agent, client = self._spare
        words = ["--head", f"--port={self._port}", f"--dashboard-port={self._dashboard}", "--dashboard-host=127.0.0.1"]
        words += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
        words += [f"--temp-dir={self._folder}", "--num-cpus=2", "--num-gpus=0"]
        self._begin("head", words)
        self.start_second()
        until(lambda: self.jobs.find("none") is None, "Ray answers")

    def start_second(self) -> None:
        """Start the node that has the card."""
        (agent,) = _free_ports(1)
        words = [f"--address=127.0.0.1:{self._port}", f"--dashboard-agent-listen-port={agent}"]
        self._begin("second", [*words, "--num-cpus=1", "--num-gpus=1"])

    def shown(self, what: str) -> str:
        """Return what the dashboard shows of the jobs that have something in their names, as JSON."""
        headers = {"Authorization": f"Bearer {self.token}"}
        connection = http.client.HTTPConnection("127.0.0.1", self._dashboard, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/api/jobs/", headers=headers)
            jobs = json.loads(connection.getresponse().read())
        return json.dumps([job for job in jobs if what in (job["submission_id"] or "")])

    def logs(self) -> list[Path]:
        """Return what Ray itself wrote of its jobs."""
        return [file for file in (self._folder / "session_latest" / "logs").glob("job*") if file.is_file()]

    def kill(self, node: str) -> None:
        """End a node as a cut of its power would: every process of it, and of its jobs, at once."""
        for pid in self._pids(node):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """End every process that was started, and return when none is left."""

        def none_left() -> bool:
            for node in self._sessions:
                self.kill(node)
            return not any(self._pids(node) for node in self._sessions)

        until(none_left, "every process of Ray has ended")

    def _begin(self, node: str, words: list[str]) -> None:
        command = [str(Path(sys.executable).parent / "ray"), "start", *words, "--node-ip-address=127.0.0.1"]
        command += [f"--memory={_MEMORY_BYTES}", f"--object-store-memory={_OBJECTS_BYTES}", "--disable-usage-stats"]
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        name, _, value = self._mark.partition("=")
        env = {key: text for key, text in os.environ.items() if not key.startswith("RAY_")}
        env |= {name: value, "FALAJ_TEST_NODE": node, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token}
        env |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        # A dead node is known to be dead after a second and a half, and not after half a minute.
        env |= {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
        env |= {"RAY_health_check_initial_delay_ms": "1000"}
        with (self._folder.parent / f"{node}.log").open("ab") as log:
            starting = subprocess.Popen(command, env=env, stdout=log, stderr=log, start_new_session=True)
            self._sessions[node] = starting.pid
            if starting.wait(120):
                pytest.fail((self._folder.parent / f"{node}.log").read_text())

    def _pids(self, node: str) -> list[int]:
        """Return the processes of a node: by their session, or by the variables that jobs inherit."""
        marks = {self._mark.encode(), f"FALAJ_TEST_NODE={node}".encode()}
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                with contextlib.suppress(OSError):
                    state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                    inherited = marks <= set((folder / "environ").read_bytes().split(b"\0"))
                    if state not in "ZX" and (int(session) == self._sessions[node] or inherited):
                        found.append(int(folder.name))
        return found


@contextlib.contextmanager
def ray_cluster() -> Iterator[RayCluster]:
    """Start a cluster; it ends with the block."""
    # Short, as the names of Ray's sockets may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as name:
        cluster = RayCluster(Path(name) / "t")
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


@pytest.fixture(scope="session")
def ray() -> Iterator[RayCluster]:
    """One cluster for all tests; a test that ends a node of it starts it again."""
    with ray_cluster() as cluster:
        yield cluster
