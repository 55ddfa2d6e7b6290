"""Training sets from frames: naive answers over several sources, batch by batch, under one digest everywhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import falaj as fj
from falaj.app.operation import perform
from falaj.app.values.dataset import BuildDataset
from falaj.data.columns import ARROW_TYPES
from falaj.data.dataset import Dataset
from falaj.data.given_frame import open_frame
from falaj.data.lineage import upstream
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.source import Source
from falaj.features.naive import Event, feature_value, known, winners
from falaj.governance.access import Actor, Role
from falaj.kernel.clock import to_us
from falaj.kernel.errors import AccessDenied, DataError, InputError, NotFound
from falaj.lifecycle import frame_dataset
from falaj.lifecycle.frame_dataset import FrameDataset
from falaj.lifecycle.joining import Joining
from support.feature_worlds import same_float
from support.rooms_world import ADA, CARD, START, World, definitions, endpoint, event, model, opened, source

US = pa.timestamp("us", "UTC")
MINUTE = timedelta(minutes=1)
VISITS = Source("visits", stream=fj.Push(), timestamp="at", created="known", delay="2m",
                schema={"card_id": "string", "at": "timestamp", "known": "timestamp", "pages": "int64"})  # fmt: skip
CARDS = Source("cards", stream=fj.Push(), schema={"card_id": "string", "country": "string"})
VIEWS = [
    FeatureView("spent", CARD, source(), {
        "seen": fj.count(window="5m"), "amount": fj.sum("amount", window="9m"), "latest": fj.column("amount"),
    }, ttl="4m"),
    FeatureView("visited", CARD, VISITS, {"pages": fj.column("pages"), "most": fj.max("pages", window="6m")}, ttl="5m"),
    FeatureView("later", CARD, VISITS, {"pages": fj.last("pages")}, delay="3m"),
    FeatureView("home", CARD, CARDS, {"country": fj.column("country")}),
]  # fmt: skip
SERVICE = fj.FeatureService("wide", [*VIEWS, fj.request("amount", "float64")])
WANTED = definitions(endpoint(of=model("fraud")), more=[SERVICE])
TIMES = pa.array([START + i * MINUTE for i in (3, 3, 9)], US)
FRAME = pa.table({"card_id": ["c1", "c2", "c1"], "event_timestamp": TIMES, "amount": [1.0, 2.0, None]})

minutes = st.integers(-3, 14)
CARD_IDS = st.sampled_from(["c1", "c2", None])
TX = st.fixed_dictionaries({"id": st.sampled_from(["t1", "t2", "t3", None]), "card_id": CARD_IDS, "at": minutes,
                            "known": st.none() | minutes, "amount": st.none() | st.floats(-9, 9)})  # fmt: skip
VISIT = st.fixed_dictionaries({"card_id": CARD_IDS, "at": minutes, "known": st.none() | minutes,
                               "pages": st.none() | st.integers(0, 9)})  # fmt: skip
HOME = st.fixed_dictionaries({"card_id": CARD_IDS, "country": st.sampled_from(["AE", "OM", None])})
ASKED = st.fixed_dictionaries({"card_id": st.sampled_from(["c1", "c2", "c3", None]), "event_timestamp": minutes,
                               "amount": st.none() | st.floats(-9, 9)})  # fmt: skip


@contextmanager
def project() -> Iterator[World]:
    with TemporaryDirectory() as folder, opened(Path(folder), WANTED) as world:
        yield world


@pytest.fixture(scope="module")
def empty() -> Iterator[World]:
    """A project whose frames are joined three rows at a time."""
    with pytest.MonkeyPatch.context() as patch, project() as found:
        patch.setattr(frame_dataset, "BATCH_ROWS", 3)
        yield found


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with project() as found:
        found.push(event(1), event(2, amount=30.0), event(8, card_id="c2"))
        found.push({"card_id": "c1", "at": START, "known": None, "pages": 4}, to="visits")
        found.push({"card_id": "c1", "country": "AE"}, to="cards")
        yield found


def build(world: World, rows: Any, name: str = "wide", actor: Actor = ADA, **more: Any) -> Dataset:
    """Build as the operation does, from rows or from SQL."""
    if isinstance(rows, str):
        found: Dataset = perform(world.rooms, actor, "dataset.build", BuildDataset(name, sql=rows, **more))
        return found
    with world.rooms.frames.keep(open_frame(rows)) as kept:
        made: Dataset = perform(world.rooms, actor, "dataset.build", BuildDataset(name, frame=kept, **more))
        return made


def rows_of(world: World, made: Dataset) -> list[dict[str, Any]]:
    return list(world.rooms.datasets.load(made.digest).to_pylist())


def instants(row: dict[str, Any]) -> dict[str, Any]:
    """Read numbers of minutes as instants."""
    named = {name: row[name] for name in ("at", "known", "event_timestamp") if row.get(name) is not None}
    return row | {name: START + number * MINUTE for name, number in named.items()}


def naive(
    spec: Any, rows: dict[str, list[dict[str, Any]]], asked: dict[str, Any], *, known_time: bool
) -> Iterator[tuple[str, Any]]:
    at_us = to_us(asked["event_timestamp"])
    for view in spec.views:
        versions = [
            Event(0 if view.timeless else to_us(row["at"]), to_us(row["known"]) if row.get("known") else None, seq, row,
                  row.get("id"))
            for seq, row in enumerate(rows[view.source], start=1)
        ]  # fmt: skip
        counting = known(versions, at_us - view.delay_us) if known_time else winners(versions)
        events = [e for e in counting if e.values["card_id"] == asked["card_id"] is not None]
        for feature in view.features:
            yield view.column_name(feature.name), feature_value(view, feature, events, at_us)


def overwrite(world: World, name: str, rows: list[dict[str, Any]]) -> None:
    """Put rows into a source's table; a push would refuse an event without its id."""
    schema = world.rooms.applied.document.schemas[name]
    times = "at" in schema
    columns = {
        column: pa.array([row.get(column) for row in rows], ARROW_TYPES[dtype]) for column, dtype in schema.items()
    }
    columns["_event_ts"] = columns["at"] if times else pa.array([0] * len(rows), US)
    columns["_created"] = columns["known"] if times else pa.nulls(len(rows), US)
    columns["_ingest_seq"] = pa.array(range(1, len(rows) + 1), pa.int64())
    world.rooms.tables.overwrite(f"source/{name}", pa.table(columns))


@pytest.mark.parametrize("known_time", [False, True])
def test_what_was_acknowledged_is_in_the_next_training_set(known_time: bool) -> None:
    with project() as fresh:
        rooms = fresh.rooms
        for name, sent in (("tx", event(1)), ("visits", {"card_id": "c1", "at": START, "pages": 4}),
                           ("cards", {"card_id": "c1", "country": "AE"})):  # fmt: skip
            declared = rooms.definitions.source(name)
            rooms.events.accept(declared, rooms.applied.document.schemas[name], [sent])
        asked = build(fresh, 'SELECT card_id, "at" + INTERVAL 1 MINUTE AS event_timestamp, amount FROM tx')
        assert [(row["spent__seen"], row["home__country"]) for row in rows_of(fresh, asked)] == [(1, "AE")]
        rooms.events.accept(rooms.definitions.source("tx"), rooms.applied.document.schemas["tx"], [event(2)])
        made = build(fresh, FRAME, known_time=known_time)
        assert [row["spent__seen"] for row in rows_of(fresh, made)] == [2, 0, 0]


@given(st.lists(TX, max_size=9), st.lists(VISIT, max_size=9), st.lists(HOME, max_size=4), st.lists(ASKED, max_size=8),
       st.booleans())  # fmt: skip
@settings(max_examples=30, deadline=None)
def test_every_row_is_answered_as_the_naive_definition_says(
    empty: World, tx: Any, visits: Any, homes: Any, asked: Any, known_time: bool
) -> None:
    rows = {"tx": [instants(row) for row in tx], "visits": [instants(row) for row in visits], "cards": homes}
    questions = [instants(row) for row in asked]
    for name, events in rows.items():
        overwrite(empty, name, events)
    spec = empty.rooms.applied.document.services["wide"]
    schema = pa.schema([("card_id", pa.string()), ("event_timestamp", US), ("amount", pa.float64())])
    made = build(empty, pa.Table.from_pylist(questions, schema), known_time=known_time)
    found = rows_of(empty, made)
    assert list(made.columns) == [*schema.names, *(name for name, _ in spec.outputs if name != "amount")]
    assert [{name: row[name] for name in schema.names} for row in found] == questions
    for got, question in zip(found, questions, strict=True):
        for column, want in naive(spec, rows, question, known_time=known_time):
            value = got[column]
            close = isinstance(want, float) and value is not None and abs(value - want) <= 1e-7
            assert close or same_float(value, want), (column, question, value, want)


def test_rows_that_nobody_knows_are_answered_too(world: World) -> None:
    found = rows_of(world, build(world, FRAME))
    assert [row["spent__seen"] for row in found] == [2, 0, 0]
    assert [row["spent__latest"] for row in found] == [30.0, None, None]
    assert [row["home__country"] for row in found] == ["AE", None, "AE"]


def test_the_same_request_has_one_digest_whatever_holds_the_rows(world: World) -> None:
    made = build(world, FRAME)
    again = [
        pa.concat_tables([FRAME.slice(0, 2), FRAME.slice(2)]),
        FRAME.set_column(0, "card_id", FRAME["card_id"].dictionary_encode()),
        FRAME.to_pandas(),
    ]
    assert [build(world, each) for each in again] == [made] * 3
    others = [
        build(world, FRAME.slice(0, 2)).digest,
        build(world, pa.concat_tables([FRAME, FRAME.slice(0, 1)])).digest,
        build(world, FRAME.take([1, 0, 2])).digest,
        build(world, FRAME, "fraud").digest,
        build(world, FRAME, known_time=True).digest,
    ]
    assert len({made.digest, *others}) == 6
    assert (made.rows, made.split, made.created_by) == (3, {}, "ada")
    assert list(made.inputs) == ["cards", "tx", "visits"]
    with world.rooms.db.read() as connection:
        assert {edge.upstream.kind for edge in upstream(connection, made.digest)} == {"view", "source"}


def test_another_project_with_the_same_rows_has_the_same_digest() -> None:
    events = [event(i, amount=float(i)) for i in range(6)]
    home = {"card_id": "c1", "country": "AE"}
    visit = {"card_id": "c1", "at": START, "known": None, "pages": 4}
    digests, versions = [], []
    for batches in ([events], [events[:2], events[2:5], events[5:]], [[*events, event(50)]], [events[::-1]]):
        with project() as world:
            order = ("cards", "visits") if len(batches) == 1 else ("visits", "cards")
            for name in order:
                world.push({"cards": home, "visits": visit}[name], to=name)
            for batch in batches:
                world.push(*batch)
            made = build(world, FRAME)
            digests.append(made.digest)
            versions.append(made.inputs["tx"]["table_version"])
    assert digests[0] == digests[1]
    assert versions[0] != versions[1]
    assert len(set(digests)) == 3, "one row more, or another order, is another request"


def test_a_query_over_the_sources_is_a_frame(world: World) -> None:
    made = build(world, 'SELECT card_id, "at" + INTERVAL 1 SECOND AS event_timestamp, amount, id FROM tx ORDER BY "at"')
    found = rows_of(world, made)
    assert [(row["id"], row["spent__latest"]) for row in found] == [("t1", 10.0), ("t2", 30.0), ("t8", 10.0)]
    with pytest.raises(InputError, match="SQL text"):
        build(world, "SELECT * FROM '/etc/passwd'")
    narrow = Actor("ada", Role.ENGINEER, ("dataset.*", "source.read@visits"))
    with pytest.raises(AccessDenied, match=r"source\.read on 'tx'"):
        build(world, "SELECT * FROM tx", actor=narrow)


def test_bad_requests_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_dataset, "BATCH_ROWS", 2)
    with pytest.raises(NotFound, match="no model and no feature service 'wid'") as caught:
        build(world, FRAME, "wid")
    assert "wide" in caught.value.hint
    with pytest.raises(InputError, match="'wide' has no rows of its own"):
        perform(world.rooms, ADA, "dataset.build", BuildDataset("wide"))
    late = FRAME.set_column(1, "event_timestamp", pa.array([START, START, None], US))
    with pytest.raises(InputError, match="row 2 of the frame has no event_timestamp"):
        build(world, late)
    with pytest.raises(NotFound, match="frame"):
        perform(world.rooms, ADA, "dataset.build", BuildDataset("wide", frame="0" * 32))
    for engine, why in [("duck", "engine 'duck' does not exist"), ("postgres", "no server is named")]:
        with pytest.raises(InputError, match=why):
            build(world, FRAME, engine=engine)
    with pytest.raises(InputError, match="a frame and SQL text"):
        perform(world.rooms, ADA, "dataset.build", BuildDataset("wide", frame="0" * 32, sql="SELECT 1"))


def test_what_became_known_later_is_not_seen_in_known_time() -> None:
    late = event(1, amount=70.0, id="t1b", known=START + 9 * MINUTE)
    with project() as other:
        other.push(event(1), late)
        other.push({"card_id": "c1", "at": START, "known": None, "pages": 4}, to="visits")
        other.push({"card_id": "c1", "country": "AE"}, to="cards")
        asked = FRAME.slice(0, 1)
        assert rows_of(other, build(other, asked))[0]["spent__amount"] == 80.0
        then = build(other, asked, known_time=True)
        assert rows_of(other, then)[0]["spent__amount"] == 10.0
        assert then.request.known_time


def test_a_source_without_rows_is_named() -> None:
    with project() as world, pytest.raises(DataError, match="source 'cards' has no rows yet"):
        FrameDataset(world.rooms, "wide", ADA)


def test_a_frame_without_rows_gives_the_columns(world: World) -> None:
    made = build(world, FRAME.slice(0, 0))
    assert made.rows == 0
    assert made.columns == build(world, FRAME).columns


def test_a_join_that_fails_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before, files = world.rooms.datasets.list(), sorted(world.rooms.state.frames.iterdir())
    joins: list[int] = []
    join = Joining.join

    def fails(self: Any, frame: pa.Table) -> pa.Table:
        joins.append(frame.num_rows)
        if len(joins) == 2:
            raise DataError("the engine stopped")
        return join(self, frame)

    monkeypatch.setattr(frame_dataset, "BATCH_ROWS", 1)
    monkeypatch.setattr(Joining, "join", fails)
    with pytest.raises(DataError, match="the engine stopped"):
        build(world, FRAME.take([2, 2, 2]))
    assert joins == [1, 1]
    assert (world.rooms.datasets.list(), sorted(world.rooms.state.frames.iterdir())) == (before, files)


def test_known_time_is_refused_where_a_source_does_not_tell_it(tmp_path: Path) -> None:
    silent = Source("clicks", stream=fj.Push(), timestamp="at", schema={"card_id": "string", "at": "timestamp"})
    service = fj.FeatureService("silent", [FeatureView("clicked", CARD, silent, {"n": fj.count(window="5m")})])
    with opened(tmp_path, definitions(endpoint(of=model("fraud")), more=[SERVICE, service])) as world:
        world.push({"card_id": "c1", "at": START}, to="clicks")
        assert rows_of(world, build(world, FRAME, "silent"))[0]["clicked__n"] == 1
        with pytest.raises(InputError, match=r"'clicks' does not say .* view 'clicked' null") as error:
            build(world, FRAME, "silent", known_time=True)
        assert "created=..." in error.value.hint
