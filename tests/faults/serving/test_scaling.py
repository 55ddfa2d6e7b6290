"""Workers killed, added and ended under steady load: nothing acknowledged is lost, each decision is logged once."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.gateway_load import Load, check_decisions
from support.gateway_process import Project, call
from support.serving_world import OWNER
from support.telling_model import telling_project

SUPERVISE = """
import socket, sys, time
from pathlib import Path
from falaj.app.scaling import Load, Scaling, read_load
from falaj.app.supervisor import Supervisor
root, listener = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
decisions = slow = 0
def look(numbers):  # what the workers say of themselves, but for how slow they are
    global decisions, slow
    decisions += 1000
    slow += {"slow": 1000, "quick": 0}.get((root / "phase").read_text(), 1)  # one in a thousand: no worker is ended
    names = [f"gateway-{number}" for number in numbers]
    return Load(decisions, slow, live=read_load(root / "run" / "stats", names, 5.0, time.time_ns() // 1000).live)
scaling = Scaling(1, 3, target_ms=5.0, shrink_s=2.0)
Supervisor(root, root, listener, workers=2, with_control=False, say=lambda text: print(text, flush=True),
           scaling=scaling, look=look).run()
"""


class Site:
    """A supervised gateway over a project's folders."""

    def __init__(self, root: Path, listening: socket.socket) -> None:
        self.project = telling_project(Project(root))
        (root / "falaj.toml").write_text('[storage]\npath = "."\nonline_map_gib = 1\n')
        for folder in ("run", "log"):
            (root / folder).mkdir(exist_ok=True)
        self.phase("steady")
        self.port = int(listening.getsockname()[1])
        words = [sys.executable, "-c", SUPERVISE, str(root), str(listening.fileno())]
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
        self.supervisor = subprocess.Popen(
            words, pass_fds=(listening.fileno(),), stdout=subprocess.PIPE, env=env, text=True
        )

    def phase(self, name: str) -> None:
        (self.project.root / "phase").write_text(name)

    def workers(self) -> dict[str, int]:
        """Process ids by worker number."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"falaj.app.gateway" in words and str(self.project.root).encode() in words:
                found[words[words.index(b"falaj.app.gateway") + 2].decode()] = int(path.name)
        return found

    def live(self) -> int:
        """How many workers serve and say so."""
        try:
            text = call(self.port, "GET", "/metrics", token=OWNER)[1]
        except OSError:
            return 0
        return int(float(next(line.split()[-1] for line in text.splitlines() if line.startswith("falaj_workers "))))

    def end(self) -> str:
        if self.supervisor.poll() is None:
            self.supervisor.send_signal(signal.SIGTERM)
        said, _ = self.supervisor.communicate(timeout=60)
        self.project.close()
        return said


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        made = Site(tmp_path, listening)
        yield made
        made.end()


async def until_live(site: Site, workers: int, load: Load) -> None:
    async with asyncio.timeout(60):
        while len(site.workers()) != workers or await asyncio.to_thread(site.live) != workers:
            await load.reach(5)


def test_nothing_acknowledged_is_lost_whatever_happens_to_workers(site: Site) -> None:
    load = Load(site.port)

    async def main() -> None:
        while site.live() != 2:
            await asyncio.sleep(0.05)
        running = asyncio.create_task(load.run())
        await load.reach(300)
        load.killing = True
        os.kill(site.workers()["0"], signal.SIGKILL)
        await load.reach(300)  # the other goes on
        await until_live(site, 2, load)
        load.killing = False
        site.phase("slow")
        await until_live(site, 3, load)
        added = site.project.root / "log/predictions/gateway-2-00000001.open"
        async with asyncio.timeout(60):
            while not added.stat().st_size:  # kept connections would never come to it
                await load.reach(5)
        site.phase("quick")
        await until_live(site, 1, load)
        await load.reach(300)
        load.stopping = True
        await asyncio.wait_for(running, 20)

    asyncio.run(main())
    said = site.end()
    assert "gateway-0 ended with signal SIGKILL" in said
    assert "gateway-2 is added, for decisions are slow: 3 now" in said
    assert "gateway-1 is ended, for little is asked: 1 are left" in said
    assert load.failures == []
    assert len(load.cut_off) <= 8  # one of each caller at most: what the killed worker had
    check_decisions(load.answered, site.project.records("log/predictions"))
    by_worker = {path.name.rpartition("-")[0] for path in (site.project.root / "log/predictions").glob("*.seg")}
    assert by_worker == {"gateway-0", "gateway-1", "gateway-2"}  # the one that was added took its part
