"""What random worlds seldom hold: no rows, huge and tiny numbers, awkward names, files on disk, several views."""

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from falaj.definitions.aggregation import column, count, first, last, last_n, max, mean, min, quantile, std, sum, var
from falaj.definitions.entity import Entity
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.service_spec import ServiceSpec
from falaj.definitions.source import Push, Source
from falaj.features.compile import compile_service
from falaj.features.engines.port import Engine
from falaj.features.offline import training_frame
from falaj.kernel.errors import DataError, Unsupported
from falaj.storage.tables.delta import DeltaTables
from support.feature_worlds import INSTANT, PLAIN, SCHEMA, World, check, make_service, row, table

CARD = Entity("text", key="a")


def frame(*questions: tuple[str | None, int]) -> pa.Table:
    keys, times = [key for key, _ in questions], [at for _, at in questions]
    return pa.table({"a": pa.array(keys, pa.string()), "event_timestamp": pa.array(times, INSTANT)})


def service(*views: FeatureView) -> ServiceSpec:
    return compile_service(FeatureService("s", list(views)), {"tx": SCHEMA, "rates": SCHEMA})


def tx(**changes: Any) -> Source:
    fields: dict[str, Any] = {"id": "event", "timestamp": "at", "created": "known"}
    return Source("tx", stream=Push(), schema=SCHEMA, **(fields | changes))


def test_numbers_at_the_ends_of_what_there_is(engine: Engine) -> None:
    features: dict[str, Any] = {
        "spread": std("amount", window="25us"),
        "variance": var("amount", window="25us"),
        "median": quantile("amount", 0.5, window="25us"),
        "total": sum("points", window="25us"),
        "average": mean("points", window="25us"),
        "upper": quantile("amount", 0.75, window="25us"),
        "half": mean("amount", window="25us"),
        "least": min("points", window="25us"),
    }
    most, least = (1 << 63) - 1, -(1 << 63)
    infinities = [[-math.inf, 0.0, 1.0], [math.inf, math.inf, 1.0], [-math.inf, math.inf]]
    for amounts in (
        *infinities,
        [1e200, -1e200, 3.0],
        [1e120, 1e-200],
        [1e-200, 3e-200],
        [1e150, 1e151],
        [1e15, 1e15 + 1],
    ):
        points = [most, 1, least][: len(amounts)]
        rows = [row(amount=a, points=p, at=i) for i, (a, p) in enumerate(zip(amounts, points, strict=True))]
        world = World(make_service(has_id=False, **features), rows, [], [({"a": "1"}, at) for at in (1, 2, 3)])
        check(world, engine)


def test_a_source_without_rows(engine: Engine) -> None:
    spec = make_service(rows=count(window="25us"), spent=sum("amount", window="25us"), two=last_n("a", 2, window="1s"))
    for known_time in (False, True):
        found = training_frame(
            spec, frame(("1", 5), (None, 5)), {"tx": table([])}, engine=engine, known_time=known_time
        )
        assert (
            found.select(["v__rows", "v__spent", "v__two"]).to_pylist()
            == [{"v__rows": 0, "v__spent": None, "v__two": None}] * 2
        )
    none = training_frame(spec, frame(), {"tx": table([row(at=1)])}, engine=engine)
    assert none.num_rows == 0
    assert none.schema.field("v__two").type == pa.list_(pa.string())


def test_timeless_rows_count_at_any_instant_and_the_last_that_arrived_wins(engine: Engine) -> None:
    keyed = FeatureView("v", CARD, tx(timestamp=None, created=None, id=None), PLAIN)
    alone = FeatureView("w", None, tx(timestamp=None, created=None), {"amount": column("amount")})
    rows = [row("e1", amount=1.0, ok=True), row("e2", amount=2.0, ok=False, known=7), row("e1", a="12", amount=None)]
    given = table(rows).set_column(table(rows).column_names.index("_created"), "_created", pa.nulls(len(rows), INSTANT))
    asked = frame(("1", -5), ("12", 5), ("absent", 5), (None, 5), ("1", -5)).drop_columns(["event_timestamp"])
    found = training_frame(service(keyed, alone), asked, {"tx": given}, engine=engine)
    assert found["v__amount"].to_pylist() == [2.0, None, None, None, 2.0]
    assert found["v__ok"].to_pylist() == [False, None, None, None, False]
    assert found["w__amount"].to_pylist() == [2.0] * 5
    # what has no created time was never known
    never = training_frame(service(keyed), asked, {"tx": given}, engine=engine, known_time=True)
    assert never["v__amount"].to_pylist() == [None] * 5


def test_a_correction_counts_from_when_it_was_known(engine: Engine) -> None:
    spec = make_service(spent=sum("amount", window="1s"), n=count(window="1s"), now=last("amount"))
    rows = [
        row("e1", at=0, known=10, amount=1.0),
        row("e1", at=0, known=30, amount=9.0),  # corrected later
        row("e1", at=0, known=30, amount=5.0),  # and again at once: the first that arrived counts
        row("e2", at=1, known=20, amount=2.0),
        row("e2", a="12", at=1, known=40, amount=2.0),  # moved to another card
        row("e3", at=2, amount=100.0),  # nobody says when it was known
    ]
    times = [9, 10, 20, 30, 39, 40]
    given = {"tx": table(rows)}
    asked = frame(*(("1", at) for at in times))
    found = training_frame(spec, asked, given, engine=engine, known_time=True)
    assert found["v__spent"].to_pylist() == [None, 1.0, 3.0, 11.0, 11.0, 9.0]
    assert found["v__n"].to_pylist() == [0, 1, 2, 2, 2, 1]
    assert found["v__now"].to_pylist() == [None, 1.0, 2.0, 2.0, 2.0, 9.0]
    assert training_frame(spec, asked, given, engine=engine)["v__spent"].to_pylist() == [109.0] * 6


def test_columns_and_features_may_bear_the_names_that_statements_use(engine: Engine) -> None:
    names = (
        "ts",
        "created",
        "seq",
        "row",
        "t",
        "k0",
        "c0",
        "w0",
        "event",
        "known",
        "value",
        "place",
        "number",
        "asked",
    )
    schema = {"a": "string", "at": "timestamp"} | dict.fromkeys(names, "int64")
    source = Source("tx", stream=Push(), timestamp="at", schema=schema)
    features: dict[str, Any] = {name: sum(name, window="1s") for name in names[:5]}
    features |= {name: first(name) for name in names[5:9]} | {name: last_n(name, 2, window="1s") for name in names[9:]}
    spec = compile_service(FeatureService("s", [FeatureView("v", CARD, source, features)]), {"tx": schema})
    given = pa.table(
        {
            "a": ["1"],
            **{name: pa.array([i], pa.int64()) for i, name in enumerate(names)},
            "_event_ts": pa.array([1], INSTANT),
            "_created": pa.nulls(1, INSTANT),
            "_ingest_seq": pa.array([1], pa.int64()),
        }
    )
    found = training_frame(spec, frame(("1", 5)), {"tx": given}, engine=engine)
    assert [found[f"v__{name}"].to_pylist() for name in names] == [[i] if i < 9 else [[i]] for i in range(len(names))]


def test_the_files_of_a_table_with_columns_that_came_later_and_a_filtered_one(engine: Engine, tmp_path: Path) -> None:
    tables = DeltaTables(tmp_path)
    rows = [row(f"e{i}", at=i, amount=float(i), points=i, country="سلام", ok=True, known=i) for i in range(6)]
    whole = table(rows)
    tables.append("source/tx", whole.slice(0, 3).drop_columns(["points"]))
    tables.append("source/tx", whole.slice(3))
    spec = make_service(
        spent=sum("amount", window="1s"), points=sum("points", window="1s"), said=last("country"), known=last("known")
    )
    stored = tables.read("source/tx")
    found = training_frame(spec, frame(("1", 100)), {"tx": stored}, engine=engine).to_pylist()[0]
    assert (found["v__spent"], found["v__points"], found["v__said"]) == (15.0, 12, "سلام")
    assert found["v__known"].timestamp() == 5e-6
    fewer = training_frame(spec, frame(("1", 100)), {"tx": stored.filter(ds.field("points") > 3)}, engine=engine)
    assert fewer["v__spent"].to_pylist() == [9.0]


def test_views_of_several_sources_and_delays_answer_side_by_side(engine: Engine) -> None:
    rates = Source("rates", stream=Push(), timestamp="at", schema=SCHEMA)
    spec = service(
        FeatureView("now", CARD, tx(), {"n": count(window="10us")}),
        FeatureView(
            "later", CARD, tx(), {"n": count(window="10us"), "most": max("amount", window="10us")}, delay="5us"
        ),
        FeatureView("rate", None, rates, {"amount": column("amount")}, ttl="3us"),
    )
    given = {"tx": table([row("e1", at=0, amount=math.nan), row("e2", at=4, amount=1.0)])}
    given["rates"] = table([row(at=6, amount=0.5)])
    found = training_frame(spec, frame(("1", 6), ("1", 10), ("2", 9)), given, engine=engine)
    assert found["now__n"].to_pylist() == [2, 2, 0]
    assert found["later__n"].to_pylist() == [1, 2, 0]
    assert found["rate__amount"].to_pylist() == [0.5, None, 0.5]
    assert all(map(math.isnan, found["later__most"].to_pylist()[:2]))


def test_rows_that_are_missing_or_of_another_kind_are_named(engine: Engine) -> None:
    spec = make_service(spent=sum("amount", window="1s"))
    with pytest.raises(DataError, match="'tx' were not given"):
        training_frame(spec, frame(("1", 1)), {}, engine=engine)


def test_letters_are_changed_by_duckdb_alone(engine: Engine) -> None:
    view = FeatureView("v", CARD, tx(), {"low": last("small")}, transform={"small": "lower(country)"})
    spec = service(view)
    if engine.name == "duckdb":
        found = training_frame(spec, frame(("1", 5)), {"tx": table([row(at=1, country="AE")])}, engine=engine)
        assert found["v__low"].to_pylist() == ["ae"]
        return
    with pytest.raises(Unsupported, match="has no lower"):
        training_frame(spec, frame(("1", 5)), {}, engine=engine)  # before any row is asked for
