"""Feeds: what waits outside, brought into sources; and how far each partition was taken."""

import threading
from collections.abc import Callable, Mapping

from falaj.data.events import Events, Taken
from falaj.data.report import FeedState, Partition
from falaj.definitions.source import Source
from falaj.storage.feeds import Feed


class Feeds:
    """The feeds of all sources, each opened when it is first needed.

    Args:
        events: Logs what is taken and knows up to where.
        open_feed: Opens the feed of a source.
    """

    def __init__(self, events: Events, open_feed: Callable[[Source], Feed]) -> None:
        self._events = events
        self._open_feed = open_feed
        self._open: dict[str, tuple[Source, Feed]] = {}
        self._turn = threading.Lock()

    def take(self, source: Source, schema: Mapping[str, str], *, limit: int, timeout_s: float) -> Taken:
        """Take what comes next into a source; returns when it is durable.

        Args:
            source: The definition.
            schema: Column to dtype.
            limit: Most events.
            timeout_s: How long to wait for the first.
        """
        with self._turn:
            feed = self._feed(source)
            kept = False
            try:
                taken = self._events.take(source, schema, feed.poll(limit, timeout_s))
                kept = True
            finally:
                if not kept:  # the feed is ahead of what was kept: the next one begins where that ends
                    self._close(source.name)
            return taken

    def state(self, source: Source) -> FeedState:
        """Return how far a source's feed was taken."""
        with self._turn:
            feed = self._feed(source)
            ends, taken = feed.ends(), self._events.positions(source.name)
            names = sorted(ends.keys() | taken.keys())
            partitions = tuple(Partition(name, taken.get(name, 0), ends.get(name)) for name in names)
            return FeedState(partitions, feed.problems())

    def problems(self, source: Source) -> dict[str, str]:
        """Return what keeps partitions from being taken, as of the last look."""
        with self._turn:
            return self._feed(source).problems()

    def keep(self, sources: Mapping[str, Source]) -> None:
        """Close the feeds of sources that are gone or that are fed by something else now."""
        with self._turn:
            for name, (source, _) in list(self._open.items()):
                if name not in sources or sources[name].stream != source.stream:
                    self._close(name)

    def close(self) -> None:
        """Close all feeds."""
        with self._turn:
            for name in list(self._open):
                self._close(name)

    def _feed(self, source: Source) -> Feed:
        known = self._open.get(source.name)
        if known is not None and known[0].stream == source.stream:
            return known[1]
        self._close(source.name)
        feed = self._open_feed(source)
        feed.seek(self._events.positions(source.name))
        self._open[source.name] = (source, feed)
        return feed

    def _close(self, name: str) -> None:
        known = self._open.pop(name, None)
        if known is not None:
            known[1].close()
