"""Idle: for how long a client may keep a stream open without asking anything."""

import asyncio

from falaj.kernel.errors import Timeout


class Idle:
    """Ends a task that waits for a client, once the client has been silent for too long.

    A timer looks now and then, so that a message costs one look at the clock.

    Args:
        within_s: How long it may be silent.

    Attributes:
        waiting: Messages that wait for their answers; a client that waits for us is not idle.
        expired: Whether the task was ended.
    """

    def __init__(self, within_s: float) -> None:
        self.waiting = 0
        self.expired = False
        self._within_s = within_s
        self._loop = asyncio.get_running_loop()
        self._active_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None

    def asked(self) -> None:
        """Note that a message has come."""
        self.waiting += 1

    def answered(self) -> None:
        """Note that its answer was sent."""
        self.waiting -= 1
        self._active_s = self._loop.time()

    def watch(self, task: "asyncio.Task[None]") -> None:
        """Begin to look.

        Args:
            task: What is ended.
        """
        quiet_s = 0.0 if self.waiting else self._loop.time() - self._active_s
        if quiet_s < self._within_s:
            self._timer = self._loop.call_later(self._within_s - quiet_s, self.watch, task)
        else:
            self.expired = True
            task.cancel()

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def error(self) -> Timeout:
        """Return what the client is told."""
        return Timeout(
            f"nothing was asked on the stream for {self._within_s:g} s",
            hint="open a stream when there is something to ask",
        )
