"""Feeds: take the events that wait outside into their sources, each once, no faster than they are applied."""

import logging
import threading

from falaj.data.events import Taken
from falaj.definitions.source import Push, Source
from falaj.kernel.errors import Overloaded
from falaj.lifecycle.apply import schema_of
from falaj.lifecycle.back_pressure import admit
from falaj.lifecycle.each import for_each
from falaj.lifecycle.rooms import Rooms

log = logging.getLogger("falaj.feeds")
TAKE_EVENTS = 2_000
"""Events of one append: enough that its flush is shared, few enough that the first is soon visible."""


def fed_sources(rooms: Rooms) -> dict[str, Source]:
    """Return the sources whose events come by a feed."""
    return {
        name: source
        for name, source in rooms.definitions.sources.items()
        if source.stream is not None and not isinstance(source.stream, Push)
    }


class TakeFeeds:
    """Takes what waits outside, pass after pass, and says once what keeps a partition from being taken.

    Args:
        rooms: The project.
    """

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._said: set[tuple[str, str, str]] = set()

    def take(self, stop: threading.Event, *, wait_s: float) -> bool:
        """Take what comes next into every source that has a feed; return whether anything came.

        A source of which too much waits to be applied is passed over: what is not taken stays where it is.

        Args:
            stop: Set when the process ends.
            wait_s: How long to wait for events, over all sources.
        """
        sources = fed_sources(self._rooms)
        self._rooms.feeds.keep(sources)

        def take(name: str) -> bool:
            if stop.is_set():
                return False
            try:
                admit(self._rooms, name)
            except Overloaded:
                return False
            taken = take_some(self._rooms, sources[name], timeout_s=wait_s / len(sources))
            self._say(sources[name])
            return bool(taken.count)

        return for_each(sources, take)

    def _say(self, source: Source) -> None:
        found = {(source.name, place, problem) for place, problem in self._rooms.feeds.problems(source).items()}
        for name, place, problem in sorted(found - self._said):
            log.error("source %r: %s %s", name, place, problem)
        self._said = {said for said in self._said if said[0] != source.name} | found


def take_some(rooms: Rooms, source: Source, *, timeout_s: float) -> Taken:
    """Take what comes next into a source, without asking whether it can be applied."""
    taken = rooms.feeds.take(source, schema_of(rooms, source.name), limit=TAKE_EVENTS, timeout_s=timeout_s)
    if taken.last_seq:
        rooms.applier.wake()
    return taken
