"""The whole way of an event, from a push to an online read, against the definition: late, early, torn and repeated."""

import itertools
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.kernel.clock import ManualClock, from_us
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.data_room import DataRoom
from support.feature_worlds import SCHEMA, World, agree, naive, worlds

STEPS = st.sampled_from(["land", "advance", "backfill", "die", "die unacknowledged", "clock back"])


class Pushed:
    """A project's push path on real stores, that can die and come back."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.clock = ManualClock(from_us(1_000))
        has_id = world.view.has_id
        self.source = fj.Source(
            "tx", stream=fj.Push(), id="event" if has_id else None, timestamp="at", created="known", schema=SCHEMA
        )
        self.accepted: list[dict[str, Any]] = []
        self.open()

    def open(self) -> None:
        self.room = DataRoom.embedded(self.folder, self.folder)
        self.room.clock = self.clock
        self.kv = LmdbStore.open(self.folder / "online", 0.01)
        self.applier = Applier(self.kv, self._read_from, self.world.spec.views, self.clock)

    def close(self) -> None:
        self.kv.close()
        self.room.close()

    def _read_from(self, source: str, seq: int, limit: int) -> Any:
        return self.room.reader.read_from(source, SCHEMA, seq, limit)

    def push(self, rows: list[dict[str, Any]]) -> None:
        done = self.room.events.accept(self.source, SCHEMA, rows)
        refused = {place for place, _ in done.rejected}
        self.accepted += [row for place, row in enumerate(rows) if place not in refused]

    def step(self, name: str, last: list[dict[str, Any]]) -> None:
        if name == "land":
            self.room.events.truncate("tx", self.room.events.land("tx", SCHEMA, limit=2))
        elif name == "advance":
            self.applier.advance_once("tx", limit=2)
        elif name == "backfill":
            self.applier.backfill("tx", limit=2)
        elif name == "clock back":
            self.clock.set(from_us(-500))
        else:
            self.close()
            self.open()
            if name == "die unacknowledged" and self.world.view.has_id:
                self.push(last)  # the producer heard nothing, and sends it again

    def answers(self) -> list[list[Any]]:
        self.applier.catch_up("tx")
        entities = [entity for entity, _ in self.world.questions]
        at = [at for _, at in self.world.questions]
        return OnlineReader(self.kv).read(self.world.spec, entities, at).values


@contextmanager
def pushed(world: World) -> Iterator[Pushed]:
    with tempfile.TemporaryDirectory() as folder:
        path = Pushed(world, Path(folder))
        try:
            yield path
        finally:
            path.close()


@settings(deadline=None, max_examples=60)
@given(worlds(lateness="1h"), st.lists(STEPS, max_size=8))
def test_what_is_pushed_is_what_is_read(world: World, steps: list[str]) -> None:
    with pushed(world) as path:
        cuts = [0, *world.cuts, len(world.rows)]
        todo = iter(steps)
        for start, end in itertools.pairwise(cuts):
            path.push(world.rows[start:end])
            for name in (next(todo, None), next(todo, None)):
                if name is not None:
                    path.step(name, world.rows[start:end])
        told = World(world.spec, path.accepted, [], world.questions)
        for question, got_row, want_row in zip(world.questions, path.answers(), naive(told), strict=True):
            for feature, got, want in zip(world.view.features, got_row, want_row, strict=True):
                assert agree(told, feature, question, got, want), (feature, question, got, want)
