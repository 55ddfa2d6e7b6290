"""A lease that is renewed beside the work it protects."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from falaj.kernel.errors import StorageError, Timeout


class Heartbeat:
    """Renews a lease every third of its length, in a thread, for as long as the block runs.

    Args:
        lease_s: The lease's length.
        renew: Renews it; False if it is lost.
        lost: Called once if it is.

    Example:
        >>> with Heartbeat(15.0, renew=lambda: True, lost=lambda: None):
        ...     worked = True
    """

    def __init__(self, lease_s: float, renew: Callable[[], bool], lost: Callable[[], None]) -> None:
        self._every_s = lease_s / 3
        self._renew = renew
        self._lost = lost
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="falaj-heartbeat", daemon=True)

    def _beat(self) -> None:
        while not self._done.wait(self._every_s):
            try:
                held = self._renew()
            except (StorageError, Timeout):
                # A full disk or a long writer may pass before the lease does; two more beats are left to try.
                continue
            if not held:
                self._lost()
                return

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
