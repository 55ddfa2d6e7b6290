"""The supervisor: one control and N gateway workers, started, watched, restarted and stopped in order."""

import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from falaj.app.child import DRAIN_S, Child
from falaj.app.running import folder_mark
from falaj.app.scaling import EVERY_S, Load, Scaling
from falaj.kernel.errors import Conflict, Locked, Unavailable
from falaj.pipelines.process import process_start
from falaj.serving.signals import SHED

_LOCKED_S = 20.0
"""How long what another process holds is waited for at the start: one whose supervisor was killed drains as long."""


class Supervised(msgspec.Struct, frozen=True):
    """The supervisor of a project, as other commands find it.

    Attributes:
        pid: Its process id.
        started: When it began, in the system's own terms.
    """

    pid: int
    started: str


class Supervisor:
    """Runs the processes of a project.

    Args:
        state: The state folder.
        folder: The project's folder.
        listener: The gateway's listening socket. It belongs to the supervisor, so that connections wait in it while
            a worker restarts, and none is refused.
        workers: Number of gateway workers at the start.
        with_control: Whether to run control too.
        say: Takes each event, as a sentence.
        scaling: Says how many workers there should be; None for always as many.
        look: Returns what the workers of these numbers counted; asked where `scaling` is given.
        grpc_listener: The same as `listener` for gRPC, where that is on.
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
        scaling: Scaling | None = None,
        look: Callable[[Sequence[int]], Load] = lambda _numbers: Load(),
        grpc_listener: socket.socket | None = None,
    ) -> None:
        self._state = state
        self._say = say
        self._stop = threading.Event()
        self._mark: tuple[int, int] | None = None
        self._folder = folder
        self._listeners = [listener] if grpc_listener is None else [listener, grpc_listener]
        self._scaling, self._look = scaling, look
        self._next_look = 0.0
        self._arriving: set[int] = set()
        self._retiring: dict[int, Child] = {}
        python, me = [sys.executable, "-m"], str(os.getpid())
        self.control = (
            Child("control", [*python, "falaj.cli.control_main", str(folder), me], state / "log" / "control.log")
            if with_control
            else None
        )
        self._gateways = {number: self._gateway(number) for number in range(workers)}

    def _gateway(self, number: int) -> Child:
        fds = [listener.fileno() for listener in self._listeners]
        words = [sys.executable, "-m", "falaj.app.gateway", str(self._folder), str(number), str(os.getpid())]
        log = self._state / "log" / f"gateway-{number}.log"
        return Child(f"gateway-{number}", [*words, *map(str, fds)], log, fds)

    @property
    def gateways(self) -> list[Child]:
        """The gateway workers that are to serve."""
        return list(self._gateways.values())

    @property
    def children(self) -> list[Child]:
        """All processes, in starting order."""
        return [*([self.control] if self.control else []), *self.gateways]

    def run(self) -> None:
        """Start everything, watch it until asked to stop, then stop: gateways drain first, control ends last.

        Raises:
            FalajError: What the first start of one of them was refused for; the others have been stopped.
        """
        claim(self._state)
        begun_s = time.monotonic()
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
                    refusal = child.refusal
                    waits = isinstance(refusal, Locked) and time.monotonic() - begun_s < _LOCKED_S
                    if refusal is not None and not waits:
                        raise refusal
                self._scale(time.monotonic())
        finally:
            self._stop_all()
            if self._still_ours():
                _pid_file(self._state).unlink(missing_ok=True)

    def _scale(self, now: float) -> None:
        """Let as many workers serve as the load asks for."""
        self._retiring = {number: child for number, child in self._retiring.items() if not child.ended(now)}
        if self._scaling is None or now < self._next_look:
            return
        self._next_look = now + EVERY_S
        running = len(self._gateways)
        wanted = self._scaling.wanted(now, running, self._look(sorted(self._gateways)))
        if wanted > running:
            self._grow(wanted)
        elif wanted < running:
            number = max(self._gateways)
            child = self._retiring[number] = self._gateways.pop(number)
            self._arriving.discard(number)
            child.retire(now)
            self._say(f"{child.name} is ended, for little is asked: {wanted} are left")
        self._welcome(now)

    def _grow(self, wanted: int) -> None:
        free = (number for number in itertools.count() if number not in self._gateways | self._retiring)
        while len(self._gateways) < wanted:
            number = next(free)
            child = self._gateways[number] = self._gateway(number)
            child.start()
            self._arriving.add(number)
            self._say(f"{child.name} is added, for decisions are slow: {len(self._gateways)} now")

    def _welcome(self, now: float) -> None:
        """Once a new worker serves, let the others' clients connect anew: kept connections would never come to it."""
        ready = {number for number in self._arriving if self._look([number]).live}
        if not ready:
            return
        self._arriving -= ready
        for number, child in self._gateways.items():
            if number not in ready and self._look([number]).live:
                child.tell(SHED, now)

    def _still_ours(self) -> bool:
        """Whether the state folder is the one that was claimed: processes without it would serve and hold their ports
        unseen by every command."""
        running = find_supervisor(self._state)
        return running is not None and running.pid == os.getpid() and folder_mark(self._state) == self._mark

    def _stop_all(self) -> None:
        leaving = [*self.gateways, *self._retiring.values()]
        drains = [threading.Thread(target=g.stop, kwargs={"within_s": DRAIN_S}) for g in leaving]
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
