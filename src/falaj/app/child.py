"""Child: one supervised process, started, watched, restarted after a pause and ended."""

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from falaj.app.refusal import EXIT, told
from falaj.kernel.errors import FalajError

_BACKOFF_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_STABLE_S = 30.0
_LISTENS_S = 3.0
_MOST_BYTES = 1 << 20
DRAIN_S = 20.0


class Child:
    """One supervised process.

    Args:
        name: "control" or "gateway-0", ...
        command: The words that start it.
        log: The file that takes what it prints.
        pass_fds: Descriptors that it inherits.

    Attributes:
        process: While it runs.
        failures: How often it has ended, in quick succession.
        refusal: Why it did not start, as it said itself; None once it has run for long.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path, pass_fds: Sequence[int] = ()) -> None:
        self.pass_fds = tuple(pass_fds)
        self.name = name
        self.command = list(command)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None
        self.failures = 0
        self.refusal: FalajError | None = None
        self._proven = False
        self._printed = 0
        self._started = 0.0
        self._restart_at = 0.0
        self._kill_at = 0.0

    def start(self) -> None:
        """Start it, in a process group of its own so that a Ctrl-C in the terminal reaches the supervisor only."""
        with self.log.open("ab") as log:
            self._printed = log.tell()
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
        stable = now - self._started > _STABLE_S
        self._proven |= stable
        self.failures = 1 if stable else self.failures + 1
        self.refusal = self._said() if code == EXIT and not self._proven else None
        pause_s = _BACKOFF_S[min(self.failures, len(_BACKOFF_S)) - 1]
        self.process, self._restart_at = None, now + pause_s
        how = f"ended with {_ended(code)}"
        if self.refusal is not None:
            how = "; ".join(filter(None, (f"does not start: {self.refusal.message}", self.refusal.hint)))
        return f"{self.name} {how}; back in {pause_s:g} s (see {self.log})"

    def _said(self) -> FalajError | None:
        try:
            with self.log.open("rb") as log:
                log.seek(self._printed)
                return told(log.read(_MOST_BYTES).decode(errors="replace"))
        except OSError:
            return None

    def retire(self, now: float) -> None:
        """Ask it to drain and end, and return at once; `ended` says when it has."""
        self._kill_at = now + DRAIN_S
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()

    def ended(self, now: float) -> bool:
        """Return whether a retired process has ended; one that does not in time is killed."""
        if self.process is None or self.process.poll() is not None:
            return True
        if now >= self._kill_at:
            os.killpg(self.process.pid, signal.SIGKILL)
        return False

    def tell(self, number: signal.Signals, now: float) -> None:
        """Send it a signal, if it runs and has had the time to listen to it: one that begins would be ended by it."""
        if self.process is not None and self.process.poll() is None and now - self._started > _LISTENS_S:
            self.process.send_signal(number)

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
