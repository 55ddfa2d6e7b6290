"""The supervisor: one control and N gateway workers, started, watched, restarted and stopped in order."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from falaj.app.running import folder_mark
from falaj.kernel.errors import Conflict, Unavailable
from falaj.pipelines.process import process_start

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 30.0
DRAIN_S = 20.0


class Supervised(msgspec.Struct, frozen=True):
    """The supervisor of a project, as other commands find it.

    Attributes:
        pid: Its process id.
        started: When it began, in the system's own terms.
    """

    pid: int
    started: str


class Child:
    """One supervised process.

    Args:
        name: "control" or "gateway-0", ...
        command: The words that start it.
        log: The file that takes what it prints.
        pass_fds: Descriptors that it inherits.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, pass_fds: Sequence[int] = ()) -> None:
        self.pass_fds = tuple(pass_fds)
        self.name = name
        self.command = list(command)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self._started = 0.0
        self._restart_at = 0.0

    def start(self) -> None:
        """Start it, in a process group of its own so that a Ctrl-C in the terminal reaches the supervisor only."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self.pass_fds,
            )
        self._started = time.monotonic()

    def watch(self, now: float) -> str | None:
        """Restart it if it died, after a pause that grows; return what happened, as a sentence."""
        if self.process is None:
            if now >= self._restart_at:
                self.start()
                return f"{self.name} restarted"
            return None
        code = self.process.poll()
        if code is None:
            return None
        self.failures = 1 if now - self._started > _STABLE_S else self.failures + 1
        pause_s = _BACKOFF_S[min(self.failures, len(_BACKOFF_S)) - 1]
        self.process, self._restart_at = None, now + pause_s
        return f"{self.name} ended with {_ended(code)}; back in {pause_s:g} s (see {self.log})"

    def stop(self, *, within_s: float) -> None:
        """Ask it to drain and end, and kill it when it does not."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _ended(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


class Supervisor:
    """Runs the processes of a project.

    Args:
        state: The state folder.
        folder: The project's folder.
        listener: The gateway's listening socket. It belongs to the supervisor, so that connections wait in it while
            a worker restarts, and none is refused.
        workers: Number of gateway workers.
        with_control: Whether to run control too.
        say: Takes each event, as a sentence.
    """

    def __init__(
        self,
        state: Path,
        folder: Path,
        listener: socket.socket,
        *,
        workers: int,
        with_control: bool,
        say: Callable[[str], None],
    ) -> None:
        self._state = state
        self._say = say
        self._stop = threading.Event()
        self._mark: tuple[int, int] | None = None
        logs = state / "log"
        python, me = [sys.executable, "-m"], str(os.getpid())
        self.control = (
            Child("control", [*python, "falaj.cli.control_main", str(folder), me], logs / "control.log")
            if with_control
            else None
        )
        fd = listener.fileno()
        self.gateways = [
            Child(
                f"gateway-{i}",
                [*python, "falaj.app.gateway", str(folder), str(i), str(fd), me],
                logs / f"gateway-{i}.log",
                [fd],
            )
            for i in range(workers)
        ]

    @property
    def children(self) -> list[Child]:
        """All processes, in starting order."""
        return [*([self.control] if self.control else []), *self.gateways]

    def run(self) -> None:
        """Start everything, watch it until asked to stop, then stop: gateways drain first, control ends last."""
        claim(self._state)
        self._mark = folder_mark(self._state)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        try:
            for child in self.children:
                child.start()
            while not self._stop.wait(0.1):
                if not self._still_ours():
                    self._say(f"{self._state} was removed or taken over: ending")
                    break
                for child in self.children:
                    event = child.watch(time.monotonic())
                    if event:
                        self._say(event)
        finally:
            self._stop_all()
            if self._still_ours():
                _pid_file(self._state).unlink(missing_ok=True)

    def _still_ours(self) -> bool:
        """Whether the state folder is the one that was claimed: processes without it would serve and hold their ports
        unseen by every command."""
        running = find_supervisor(self._state)
        return running is not None and running.pid == os.getpid() and folder_mark(self._state) == self._mark

    def _stop_all(self) -> None:
        drains = [threading.Thread(target=g.stop, kwargs={"within_s": DRAIN_S}) for g in self.gateways]
        for drain in drains:
            drain.start()
        for drain in drains:
            drain.join()
        if self.control:
            self.control.stop(within_s=DRAIN_S)


def _pid_file(state: Path) -> Path:
    return state / "run" / "supervisor.json"


def find_supervisor(state: Path) -> Supervised | None:
    """Return the project's supervisor if it is alive."""
    try:
        found = msgspec.json.decode(_pid_file(state).read_bytes(), type=Supervised)
    except (OSError, msgspec.DecodeError):
        return None
    return found if process_start(found.pid) == found.started else None


def claim(state: Path) -> None:
    """Write down that this process supervises the project.

    Raises:
        Conflict: Another one does.
    """
    running = find_supervisor(state)
    if running is not None and running.pid != os.getpid():
        raise Conflict(f"Falaj already runs here (process {running.pid})", hint="stop it with 'falaj down'")
    me = Supervised(os.getpid(), process_start(os.getpid()) or "")
    _pid_file(state).write_bytes(msgspec.json.encode(me))


def stop_supervisor(state: Path, *, within_s: float = 2 * DRAIN_S + 5) -> bool:
    """Stop the project's supervisor and wait until it has gone; False when none runs.

    Raises:
        Unavailable: It does not end in time.
    """
    running = find_supervisor(state)
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while process_start(running.pid) == running.started:
        if time.monotonic() > deadline:
            raise Unavailable(f"process {running.pid} does not end", hint=f"end it with: kill -9 {running.pid}")
        time.sleep(0.05)
    return True
