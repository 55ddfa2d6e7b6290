"""Small worlds of events and questions, and one answer to them per engine."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from falaj.definitions.aggregation import (
    ARITHMETIC,
    Aggregation,
    column,
    count,
    count_distinct,
    first,
    last,
    last_n,
    last_non_null,
    max,
    mean,
    min,
    quantile,
    sawtooth,
    std,
    sum,
    var,
)
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import FeatureSpec, ServiceSpec, ViewSpec
from falaj.definitions.source import Push, Source
from falaj.features.compile import compile_service
from falaj.features.engines.port import Engine
from falaj.features.materialise import apply_batch
from falaj.features.naive import Event, feature_value, known, visible, winners
from falaj.features.offline import training_frame
from falaj.features.online import OnlineReader, OnlineRows
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.memory import MemoryStore
from support.expression_worlds import calculate

SCHEMA = {
    "event": "string",
    "at": "timestamp",
    "known": "timestamp",
    "a": "string",
    "b": "string",
    "n": "int64",
    "amount": "float64",
    "points": "int64",
    "country": "string",
    "ok": "bool",
}
INSTANT = pa.timestamp("us", "UTC")
ARROW = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_(), "timestamp": INSTANT}
ENTITIES: dict[str, Entity | None] = {
    "all": None,
    "text": Entity("text", key="a"),
    "number": Entity("number", key="n", dtype="int64"),
    "pair": Entity("pair", key=("a", "b")),
}
WINDOWED = {
    "rows_10": count(window="10us"),
    "rows_25": count(window="25us"),
    "amounts": count("amount", window="25us"),
    "spent_10": sum("amount", window="10us"),
    "spent_25": sum("amount", window="25us"),
    "mean": mean("amount", window="25us"),
    "least": min("amount", window="10us"),
    "most": max("amount", window="25us"),
    "spread": std("amount", window="25us"),
    "points": sum("points", window="25us"),
    "points_mean": mean("points", window="10us"),
    "points_least": min("points", window="25us"),
    "points_spread": std("points", window="25us"),
    "oks": sum("ok", window="25us"),
    "any_ok": max("ok", window="10us"),
    "last_10": last("country", window="10us"),
}
UNWINDOWED = {"amount": column("amount"), "ok": column("ok"), "known": last("known"), "country": last("country")}
MORE = {
    "variance": var("amount", window="25us"),
    "points_variance": var("points", window="10us"),
    "first_25": first("country", window="25us"),
    "first_ever": first("amount"),
    "known_10": last_non_null("amount", window="10us"),
    "known_ever": last_non_null("country"),
    "three": last_n("amount", 3, window="25us"),
    "two": last_n("country", 2, window="10us"),
    "amounts": count_distinct("amount", window="25us"),
    "countries": count_distinct("country", window="10us"),
    "median": quantile("amount", 0.5, window="25us"),
    "high": quantile("points", 0.9, window="10us"),
}
FILTERED = {
    "rows": count(window="25us", where="ok"),
    "rows_ever": last("amount", where="points > 0"),
    "spent": sum("doubled", window="25us", where="ok AND amount > 0"),
    "spread": std("doubled", window="25us", where="country <> 'OM'"),
    "doubled": last("doubled"),
    "first": first("amount", window="25us", where="points > 0"),
    "first_ever": first("country", where="ok"),
    "latest": last("country", window="25us", where="ok"),
    "two": last_n("amount", 2, window="25us", where="ok IS NOT NULL"),
    "known": last_non_null("amount", where="ok"),
    "countries": count_distinct("country", window="25us", where="amount > 0 OR ok"),
    "least": min("points", window="10us", where="points >= 0"),
    "known_at": max("known", window="25us", where="known IS NOT NULL"),
}
TRANSFORM = {"doubled": "amount * 2 + coalesce(points, 0)"}
HOPS = {
    "rows": count(window=sawtooth("25us", hop="10us")),
    "spent": sum("amount", window=sawtooth("20us", hop="5us")),
    "mean": mean("points", window=sawtooth("25us", hop="10us")),
    "points": sum("points", window=sawtooth("25us", hop="5us")),
    "least": min("amount", window=sawtooth("25us", hop="10us")),
    "most": max("points", window=sawtooth("20us", hop="20us")),
    "any_ok": max("ok", window=sawtooth("20us", hop="20us")),
    "spread": std("amount", window=sawtooth("25us", hop="5us")),
    "variance": var("points", window=sawtooth("25us", hop="5us")),
    "first": first("country", window=sawtooth("25us", hop="10us")),
    "last": last("amount", window=sawtooth("25us", hop="10us")),
    "known": last_non_null("country", window=sawtooth("25us", hop="10us")),
    "countries": count_distinct("country", window=sawtooth("25us", hop="5us")),
    "amounts": count_distinct("amount", window=sawtooth("25us", hop="10us")),
    "if_ok": sum("amount", window=sawtooth("25us", hop="5us"), where="ok"),
    "first_ok": first("points", window=sawtooth("25us", hop="10us"), where="ok"),
}
PLAIN = {name: column(name) for name in ("amount", "points", "ok", "country", "known")}
SETS: dict[str, dict[str, Aggregation]] = {
    "windowed": WINDOWED | UNWINDOWED,
    "plain": PLAIN,
    "more": MORE,
    "filtered": FILTERED,
    "hops": HOPS,
    "both": HOPS | {"exact": sum("amount", window="15us"), "ever": first("points"), "now": last("points")},
}


@dataclass(frozen=True)
class World:
    """A service of one view, rows in the order of arrival, where to cut them into batches, and questions."""

    spec: ServiceSpec
    rows: list[dict[str, Any]]
    cuts: list[int]
    questions: list[tuple[dict[str, Any], int]]

    @property
    def view(self) -> ViewSpec:
        return self.spec.views[0]


def make_service(
    entity: str = "text",
    *,
    has_id: bool = True,
    lateness: str = "0s",
    ttl: str | None = None,
    delay: str | None = None,
    **features: Any,
) -> ServiceSpec:
    source = Source(
        "tx",
        stream=Push(),
        id="event" if has_id else None,
        timestamp="at",
        created="known",
        schema=SCHEMA,
        lateness=lateness,
    )
    view = FeatureView(
        "v",
        ENTITIES[entity],
        source,
        features or WINDOWED | UNWINDOWED,
        ttl=ttl,
        transform=TRANSFORM if features.keys() & FILTERED.keys() else {},
        delay=delay,
    )
    return compile_service(FeatureService("s", [view]), {"tx": SCHEMA})


def table(rows: Sequence[dict[str, Any]], first_seq: int = 1) -> pa.Table:
    """Return rows as the data room gives them."""
    columns = {name: pa.array([row[name] for row in rows], ARROW[dtype]) for name, dtype in SCHEMA.items()}
    columns["_event_ts"] = columns["at"]
    columns["_created"] = columns["known"]
    columns["_ingest_seq"] = pa.array(range(first_seq, first_seq + len(rows)), pa.int64())
    return pa.table(columns)


def online_store(world: World) -> MemoryStore:
    """Return a store to which the rows were applied, batch by batch."""
    kv = MemoryStore()
    apply_world(world, kv)
    return kv


def apply_world(world: World, kv: KeyValueStore) -> None:
    """Apply the rows to a store, batch by batch."""
    whole = table(world.rows)
    start = 0
    for end in [*world.cuts, len(world.rows)]:
        apply_batch(
            kv,
            world.spec.views,
            whole.slice(start, end - start),
            end,
            reread=lambda _view, _who, seq: whole.slice(0, seq),
        )
        start = end


def online(world: World, kv: KeyValueStore | None = None) -> OnlineRows:
    """Return what is read online; from a store in memory to which the rows were applied, or from one that is given."""
    entities = [entity for entity, _ in world.questions]
    return OnlineReader(kv or online_store(world)).read(world.spec, entities, [at for _, at in world.questions])


def offline(world: World, engine: Engine | None = None, *, known_time: bool = False) -> list[list[Any]]:
    keys = dict(world.spec.entity_keys)
    frame = {key: pa.array([e[key] for e, _ in world.questions], ARROW[dtype]) for key, dtype in keys.items()}
    frame["event_timestamp"] = pa.array([at for _, at in world.questions], INSTANT)
    tables = {"tx": table(world.rows)}
    result = training_frame(world.spec, pa.table(frame), tables, engine=engine, known_time=known_time)
    columns = []
    for name, dtype in world.spec.outputs:
        column = result[name]
        columns.append((column.cast(pa.int64()) if dtype == "timestamp" else column).to_pylist())
    return [list(row) for row in zip(*columns, strict=True)]


def events_of(world: World, entity: dict[str, Any], known_us: int | None = None) -> list[Event]:
    """Return an entity's events, one version each, in total order: all, or as they were known at an instant."""
    has_id = world.view.has_id
    derived = world.view.derived
    versions = [
        Event(
            row["at"],
            row["known"],
            seq,
            row | {column.name: calculate(column.expression, row) for column in derived},
            row["event"] if has_id else None,
        )
        for seq, row in enumerate(world.rows, start=1)
    ]
    keys = [name for name, _ in world.view.keys]
    if any(entity[key] is None for key in keys):
        return []
    events = winners(versions) if known_us is None else known(versions, known_us)
    return [e for e in events if all(e.values[key] == entity[key] for key in keys)]


def naive(world: World, *, known_time: bool = False) -> list[list[Any]]:
    values = []
    for entity, at in world.questions:
        events = events_of(world, entity, at - world.view.delay_us if known_time else None)
        values.append([feature_value(world.view, f, events, at) for f in world.view.features])
    return values


def check(world: World, engine: Engine, *, known_time: bool = False) -> None:
    """Hold an engine's answers against the definition's."""
    answers, expected = offline(world, engine, known_time=known_time), naive(world, known_time=known_time)
    for question, got_row, want_row in zip(world.questions, answers, expected, strict=True):
        for feature, got, want in zip(world.view.features, got_row, want_row, strict=True):
            same = agree(world, feature, question, got, want, known_time=known_time)
            assert same, (engine.name, feature, question, got, want)


def agree(
    world: World,
    feature: FeatureSpec,
    question: tuple[dict[str, Any], int],
    one: Any,
    two: Any,
    *,
    known_time: bool = False,
) -> bool:
    """Whether two engines' answers are the same: exactly, and floats to 1e-9 of the sum of absolute values.

    The squares of what is below 1e-150 vanish, so a standard deviation may be zero there.
    """
    if one is None or two is None or feature.dtype not in ("float64", "list[float64]"):
        return bool(one == two) and type(one) is type(two)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(same_float, one, two))
    if feature.function not in ARITHMETIC or not (math.isfinite(one) and math.isfinite(two)):
        return same_float(one, two)
    entity, at = question
    known_us = at - world.view.delay_us if known_time else None
    rows = visible(world.view, feature, events_of(world, entity, known_us), at)
    inside = [abs(v) for e in rows if (v := e.values[feature.column or ""]) is not None]
    vanishing = 1e-150 if feature.function in ("std", "var") else 0.0
    scale = math.fsum(v * v for v in inside) if feature.function == "var" else math.fsum(inside)
    return bool(abs(one - two) <= 1e-9 * scale + vanishing)


def same_float(one: float | None, two: float | None) -> bool:
    """Whether two floats are the same, NaN and null included."""
    if one is None or two is None:
        return one is two
    return one == two or (one != one and two != two)


AMOUNTS = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 0.1, 57.16, 1e-9, 1e15, -3.25, math.nan, math.inf, -math.inf]),
    st.floats(-1e6, 1e6),
)
POINTS = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([(1 << 62), -(1 << 62), (1 << 53) + 1]))
CREATED = st.one_of(st.none(), st.integers(-1, 1))
KNOWN = st.one_of(st.none(), st.integers(-40, 60))
"""Created times all over the instants that are asked for."""
TIMES = st.one_of(st.sampled_from([0, 5, 10]), st.integers(-40, 40))


@st.composite
def worlds(
    draw: st.DrawFn,
    lateness: str = "0s",
    sets: Sequence[str] = (),
    *,
    most_rows: int = 16,
    most_questions: int = 6,
    created: st.SearchStrategy[int | None] = CREATED,
) -> World:
    """Late, duplicated, corrected, moved and tied events with nulls and NaN, asked at every edge."""
    entity = draw(st.sampled_from(sorted(ENTITIES)))
    ttl = draw(st.sampled_from([None, "15us"]))
    delay = draw(st.sampled_from([None, "7us"]))
    features = SETS[draw(st.sampled_from(sets or sorted(SETS)))]
    spec = make_service(entity, has_id=draw(st.booleans()), lateness=lateness, ttl=ttl, delay=delay, **features)
    row: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
        {
            "event": st.sampled_from(["e1", "e2", "e3", "e4", "e5", None]),
            "at": TIMES,
            "known": created,
            "a": st.sampled_from(["1", "12", None]),
            "b": st.sampled_from(["23", "3", None]),
            "n": st.sampled_from([1, -1, None]),
            "amount": AMOUNTS,
            "points": POINTS,
            "country": st.sampled_from(["AE", "OM", "سلام", "", None]),
            "ok": st.sampled_from([True, False, None]),
        }
    )
    rows = draw(st.lists(row, max_size=most_rows))
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    key = st.fixed_dictionaries(
        {
            "a": st.sampled_from(["1", "12", "absent", None]),
            "b": st.sampled_from(["23", "3"]),
            "n": st.sampled_from([1, -1, 7, None]),
        }
    )
    edges = [r["at"] + later for r in rows for later in (0, 1, 10, 15, 25)]
    at = st.one_of(st.integers(-60, 80), st.sampled_from(edges)) if edges else st.integers(-60, 80)
    questions = draw(st.lists(st.tuples(key, at), min_size=1, max_size=most_questions))
    return World(spec, rows, cuts, questions)


def row(event: str | None = None, at: int = 0, **values: Any) -> dict[str, Any]:
    """Return a row of the source; what is not given is null, but `a`, which is "1"."""
    return dict.fromkeys(SCHEMA, None) | {"a": "1", "event": event, "at": at} | values


def ask(
    spec: ServiceSpec, rows: list[dict[str, Any]], *questions: tuple[dict[str, Any], int], cuts: Sequence[int] = ()
) -> list[list[Any]]:
    """Return what every engine answers, after seeing that they agree.

    Args:
        spec: A service of one view.
        rows: Rows in the order of arrival.
        questions: Entities and instants.
        cuts: Where batches end.
    """
    world = World(spec, rows, list(cuts), list(questions))
    expected = naive(world)
    for answers in (offline(world), online(world).values):
        for question, got_row, want_row in zip(questions, answers, expected, strict=True):
            for feature, got, want in zip(world.view.features, got_row, want_row, strict=True):
                assert agree(world, feature, question, got, want), (feature, question, got, want)
    return expected
