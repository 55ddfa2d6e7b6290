"""Leases that are renewed beside the work they protect."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from falaj.kernel.errors import FalajError

_LOG = logging.getLogger(__name__)


class Heartbeats:
    """Renews the leases of what is done one after another, every third of their length.

    One thread serves them all, as starting one costs more than a tiny step; it ends when it finds nothing to do.

    Args:
        lease_s: The leases' length.

    Example:
        >>> heartbeats = Heartbeats(15.0)
        >>> with heartbeats.during(renew=lambda: True, lost=lambda: None):
        ...     worked = True
    """

    def __init__(self, lease_s: float) -> None:
        self._every_s = lease_s / 3
        self._lock = threading.Lock()
        self._beat: tuple[Callable[[], bool], Callable[[], None]] | None = None
        self._thread: threading.Thread | None = None
        self._said = ""

    @contextmanager
    def during(self, renew: Callable[[], bool], lost: Callable[[], None]) -> Iterator[None]:
        """Renew a lease for as long as the block runs.

        Args:
            renew: Renews it; False if it is lost. Whatever it raises is said in the log, and the next beat tries again.
            lost: Called once if it is.
        """
        with self._lock:
            self._beat = renew, lost
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="falaj-heartbeat", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:  # also waits for a renewal that is under way: what it needs may go now
                self._beat = None

    def _run(self) -> None:
        pause = threading.Event()
        try:
            # By the clock and not by when a lease began: each is renewed within a third of its length all the same.
            while not pause.wait(self._every_s):
                with self._lock:
                    if self._beat is None:
                        self._thread = None
                        return
                    self._beat = self._renewed(*self._beat)
        finally:  # whatever ended it: the next lease has another, which may have begun already
            with self._lock:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _renewed(
        self, renew: Callable[[], bool], lost: Callable[[], None]
    ) -> tuple[Callable[[], bool], Callable[[], None]] | None:
        try:
            held = renew()
        except Exception as error:  # noqa: BLE001 the top of a thread: who no longer renews has lost what it works on
            # A full disk or a long writer may pass before the lease does; two more beats are left to try.
            self._say(error)
            return renew, lost
        self._said = ""
        if held:
            return renew, lost
        lost()
        return None

    def _say(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._said:  # once, not at each beat for as long as a disk is full
            self._said = text
            _LOG.error(
                "a lease was not renewed, which is tried again: %s", text, exc_info=not isinstance(error, FalajError)
            )
