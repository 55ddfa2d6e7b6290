"""Apply on real rooms: what serves goes on being computed, and what was acknowledged goes on being there."""

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv

import falaj as fj
from falaj.app.operation import perform
from falaj.app.values.source import Ingest
from falaj.data.events import Events
from falaj.definitions.feature_service import FeatureService
from falaj.definitions.feature_view import FeatureView
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.project import Definitions
from falaj.definitions.routing_table import RoutingTable
from falaj.definitions.source import Source
from falaj.kernel.codec import from_msgpack
from falaj.kernel.errors import Conflict, DataError, DefinitionError, FalajError, InUse, Unsupported
from falaj.kernel.settings import FeatureSettings, Settings, StorageSettings
from falaj.lifecycle.applied import read_applied
from falaj.lifecycle.apply import apply_definitions, plan_definitions
from falaj.lifecycle.catch_up import land_events, refresh_views
from falaj.lifecycle.publication import publish_snapshots, publish_waiting
from falaj.models.version import ModelVersion
from falaj.storage.eventlog.local import LocalLog
from falaj.storage.keyvalue.snapshots import read_snapshot
from support.rooms_world import (
    ADA,
    CARD,
    SCHEMA,
    START,
    Deaths,
    Killed,
    World,
    definitions,
    endpoint,
    event,
    model,
    opened,
)
from support.rooms_world import source as make_source
from support.rooms_world import view as make_view


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A project with one endpoint and no version."""
    with opened(tmp_path, definitions()) as found:
        yield found


def serve(world: World) -> ModelVersion:
    version = world.register()
    world.approve(version)
    world.deploy(version)
    return version


def over(of: Source, **features: Any) -> Definitions:
    """The project with another source, and perhaps other features."""
    activity = FeatureView("activity", CARD, of, features) if features else make_view(of)
    service = FeatureService("fraud_features", [activity])
    label = fj.Label(of, "is_fraud", delay="0s" if of.timeless else "1d")
    changed = model(over=activity, features=service, split=fj.split.random(test="20%"), label=label)
    return definitions(endpoint(of=changed))


def log_only(world: World, *events: dict[str, Any]) -> None:
    """Push events that nobody lands."""
    rooms = world.rooms
    rooms.events.accept(rooms.definitions.source("tx"), rooms.applied.document.schemas["tx"], list(events))


def rows(world: World, source: str = "tx") -> int:
    return int(world.rooms.tables.read(f"source/{source}").count_rows())


RETYPED = over(make_source(schema=SCHEMA | {"amount": "string"}), seen=fj.count(window="1d"),
               amount_mean=fj.last("amount"))  # fmt: skip


def test_a_column_that_what_serves_reads_keeps_its_type(world: World) -> None:
    world.push(event(1))
    serve(world)
    sentence = "column 'amount' is string, and view 'activity' of production model 'fraud' version 1 reads float64"
    planned = plan_definitions(world.rooms, RETYPED)
    assert [(one.kind, one.name, one.effect) for one in planned.changes if one.refused] == [("source", "tx", sentence)]
    with pytest.raises(InUse, match=sentence):
        world.apply(RETYPED)
    assert world.rooms.applied.epoch == 1


@pytest.mark.parametrize(
    "changed",
    [{"timestamp": None, "created": None}, {"id": None}, {"id": "card_id"}],
    ids=["no time", "no identity", "another identity"],
)
def test_time_and_identity_of_what_serves_stay(world: World, changed: dict[str, Any]) -> None:
    serve(world)
    wanted = over(make_source(**changed), seen=fj.column("amount"), amount_mean=fj.column("amount"))
    with pytest.raises(InUse, match="changed source 'tx'"):
        world.apply(wanted)


def test_a_misspelt_parameter_is_refused_where_the_model_is_new_or_changed(world: World) -> None:
    wrong = definitions(endpoint(of=model(trainer=fj.lightgbm(num_leafs=4))))
    for carry_out in (lambda: plan_definitions(world.rooms, wrong), lambda: world.apply(wrong)):
        with pytest.raises(DefinitionError, match="model 'fraud': lightgbm trainer: parameter 'num_leafs'") as told:
            carry_out()
        assert told.value.hint == "did you mean 'num_leaf'?"
    assert world.rooms.applied.epoch == 1


def test_a_library_that_a_training_lacks_is_told_and_refuses_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "flaml", None)
    world.apply(definitions(endpoint(of=model(trainer=fj.automl(budget="9s")))))
    planned = plan_definitions(world.rooms, definitions(endpoint(of=model(trainer=fj.automl(budget="8s")))))
    assert [change.effect for change in planned.changes if change.kind == "model"] == [
        "its training needs flaml, which is not installed: pip install 'falaj[automl]'"
    ]


def test_a_pipeline_changes_and_goes_beside_what_serves(world: World) -> None:
    serve(world)
    for schedule in ("daily", "hourly"):
        world.apply(definitions(more=[fj.Pipeline("nightly", "etl:nightly", schedule=schedule)]))
    world.apply(definitions())
    assert not world.rooms.definitions.pipelines


def test_a_column_keeps_the_type_that_its_rows_have(world: World) -> None:
    log_only(world, event(1))
    with pytest.raises(DataError, match="column 'amount' is double and the new rows have string"):
        world.apply(RETYPED)
    with pytest.raises(DataError, match="column 'amount' is double"):
        plan_definitions(world.rooms, RETYPED)
    log_only(world, event(2))
    land_events(world.rooms)
    assert rows(world) == 2


@pytest.mark.parametrize(("column", "old", "new"), [("amount", "float64", "int64"), ("is_fraud", "int64", "float64")])
@pytest.mark.parametrize("landed", [False, True])
def test_numbers_keep_the_kind_that_their_rows_have(
    world: World, landed: bool, column: str, old: str, new: str
) -> None:
    (world.push if landed else lambda *events: log_only(world, *events))(event(1, 1, amount=1.5))
    retyped = over(make_source(schema=SCHEMA | {column: new}), seen=fj.count(window="1d"))
    for judge in (lambda: plan_definitions(world.rooms, retyped), lambda: world.apply(retyped)):
        with pytest.raises(DataError, match=f"column '{column}' is {old} in the rows that are there, and would be"):
            judge()
    assert world.rooms.applied.epoch == 1
    world.push(event(2, amount=2.5))
    assert rows(world) == 2


@pytest.mark.parametrize(
    "bad", [{"k": pa.array([1.0])}, {"k": pa.array(["1"])}, {"at": pa.array([0])}, b"", b"PAR1 torn"],
    ids=["other numbers", "text", "no key", "empty", "torn"],
)  # fmt: skip
def test_a_file_that_ingestion_refuses_does_not_break_plans(tmp_path: Path, bad: Any) -> None:
    good = {"k": pa.array([1]), "at": pa.array([START], pa.timestamp("us", "UTC"))}
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table(good), tmp_path / "data" / "a.parquet")
    filed = Source("filed", batch=fj.Parquet("data/*.parquet"), timestamp="at")
    keyed = FeatureView("keyed", fj.Entity("k", key="k", dtype="int64"), filed, {"n": fj.count(window="1d")})
    wanted = definitions(endpoint(), more=[fj.FeatureService("keyed", [keyed])])
    with opened(tmp_path, wanted) as world:
        perform(world.rooms, ADA, "source.ingest", Ingest("filed"))
        if isinstance(bad, bytes):
            (tmp_path / "data" / "b.parquet").write_bytes(bad)
        else:
            pq.write_table(pa.table({**good, **bad} if "k" in bad else bad), tmp_path / "data" / "b.parquet")
        pq.write_table(pa.table({**good, "shop": pa.array(["s"])}), tmp_path / "data" / "c.parquet")
        plan_definitions(world.rooms, wanted)
        world.apply(wanted)  # the column that came later is taken up
        assert world.rooms.applied.document.schemas["filed"] == {"k": "int64", "at": "timestamp", "shop": "string"}
        (done,) = perform(world.rooms, ADA, "source.ingest", Ingest("filed"))
        assert (done.accepted, [file.path for file in done.refused]) == (1, ["data/b.parquet"])
        assert rows(world, "filed") == 2


GOOD = {"shop": ["Al Ain", "Sur"], "at": ["2026-01-05", "2026-01-06"], "country": ["AE", "OM"]}


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize(
    ("files", "changes", "said"),
    [
        ([GOOD], {"timestamp": "country"}, "'country' is to be timestamp, and none of the first 2 values is"),
        ([GOOD, GOOD], {"schema": {"shop": "int64"}}, "'shop'"),
        ([GOOD, {**GOOD, "at": ["?", "?"]}], {}, ""),
        ([{**GOOD, "at": ["?", None]}, GOOD], {}, ""),
        ([{"at": ["?"]}], {"schema": {"other": "bool", "at": "timestamp"}}, "column 'other' is missing"),
        ([{"at": [None]}, {"at": []}], {"schema": {"at": "timestamp"}}, ""),
        ([], {"schema": {"at": "timestamp", "shop": "int64"}}, ""),
    ],
)  # fmt: skip
def test_a_source_that_could_take_no_row_of_its_files_is_refused(
    world: World, csv: bool, files: list[dict[str, Any]], changes: Any, said: str
) -> None:
    folder = world.rooms.folder / "data"
    folder.mkdir()
    for number, columns in enumerate(files):
        table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
        (write_csv if csv else pq.write_table)(table, folder / f"{number}")
    filed = Source("filed", **({"batch": (fj.Csv if csv else fj.Parquet)("data/*"), "timestamp": "at"} | changes))
    wanted = definitions(endpoint(), more=[filed])
    if not said:
        plan_definitions(world.rooms, wanted)
        return
    for judge in (plan_definitions, lambda rooms, asked: apply_definitions(rooms, asked, ADA)):
        with pytest.raises(DataError, match=f"source 'filed'.*{said}"):
            judge(world.rooms, wanted)
    assert world.rooms.applied.epoch == 1


def test_a_column_without_rows_may_have_another_type(world: World) -> None:
    world.apply(RETYPED)
    world.push(event(1, amount="ten"))
    assert rows(world) == 1


def test_events_logged_before_their_source_goes_or_takes_no_more_are_landed(world: World) -> None:
    (world.rooms.folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist([event(9, label=1)]), world.rooms.folder / "data" / "a.parquet")
    log_only(world, event(1))
    world.apply(over(make_source(stream=None, batch=fj.Parquet("data/*.parquet"))))
    assert rows(world) == 1
    world.apply(over(make_source()))
    log_only(world, event(2))
    other = Source("other", stream=fj.Push(), id="id", timestamp="at", created="known", schema=SCHEMA)
    world.apply(over(other))
    assert list(world.rooms.definitions.sources) == ["other"]
    assert rows(world) == 2


def test_a_version_whose_source_is_gone_or_changed_is_not_deployed(world: World) -> None:
    version = world.register()
    waiting = world.register()
    world.approve(version)
    assert world.deploy(waiting).state == "waits for approval"
    world.apply(RETYPED)
    with pytest.raises(Conflict, match="version 1 of model 'fraud' cannot be computed: column 'amount' is string"):
        world.deploy(version)
    other = Source("other", stream=fj.Push(), id="id", timestamp="at", created="known", schema=SCHEMA)
    world.apply(over(other))
    with pytest.raises(Conflict, match="cannot be computed: source 'tx' is not applied"):
        world.deploy(version)
    assert set(world.stages().values()) == {"development"}
    world.apply(definitions())
    assert world.deploy(version).state == "serves"


def test_an_apply_waits_for_a_rollout_that_begins(world: World) -> None:
    version = world.register()
    world.approve(version)
    refused: list[FalajError] = []

    def attempt(act: Callable[[], object]) -> None:
        try:
            act()
        except (InUse, Conflict) as error:
            refused.append(error)

    applying = threading.Thread(target=attempt, args=[lambda: world.apply(RETYPED)])
    with world.rooms.promoting:  # as a deployment holds it from its first look to its last write
        applying.start()
        applying.join(0.3)
        assert applying.is_alive()
    attempt(lambda: world.deploy(version))
    applying.join(10)
    assert len(refused) == 1  # whichever came second
    assert (world.rooms.applied.epoch, world.serving()) in ((1, {1: 100}), (2, {}))


def test_the_same_definitions_are_applied_once(world: World) -> None:
    world.apply(definitions())
    assert world.rooms.applied.epoch == 1
    with pytest.raises(Conflict, match="somebody else applied"):
        _apply_beside(world)


def _apply_beside(world: World) -> None:
    """Apply, while another apply comes first between its plan and its write."""
    rooms, write = world.rooms, world.rooms.db.write
    wanted = over(make_source(lateness="1h"))

    def slow() -> Any:
        del vars(rooms.db)["write"]
        rooms.promoting.release()
        world.apply(over(make_source(lateness="2h")))
        rooms.promoting.acquire()
        return write()

    vars(rooms.db)["write"] = slow
    apply_definitions(rooms, wanted, ADA)


@pytest.mark.parametrize("committing", [False, True])
@pytest.mark.parametrize("at", range(8))
def test_a_death_leaves_the_old_definitions_or_the_new_ones(tmp_path: Path, at: int, committing: bool) -> None:
    with opened(tmp_path, definitions()) as world:
        log_only(world, event(1), event(2))
        wanted = over(make_source(schema=SCHEMA | {"shop": "string"}))
        deaths = Deaths(world.rooms, at, committing=committing)
        try:
            world.apply(wanted)
        except Killed:
            assert read_applied(world.rooms.db).epoch == 1
        else:
            assert not deaths.died
    with opened(tmp_path) as again:
        again.apply(wanted)
        land_events(again.rooms)
        assert (again.rooms.applied.epoch, rows(again)) == (2, 2)


def test_a_log_that_no_view_reads_forgets_what_has_landed(world: World) -> None:
    alone = Source("alone", stream=fj.Push(), id="id", timestamp="at", created="known", schema=SCHEMA)
    world.apply(definitions(endpoint(), more=[alone]))
    rooms = world.rooms
    refresh_views(rooms)
    small = LocalLog.open(rooms.state.log / "events" / "alone", segment_bytes=64)
    rooms.events = Events(rooms.tables, lambda _source: small, rooms.db, rooms.clock)
    for number in range(5):
        rooms.events.accept(alone, SCHEMA, [event(number)])
    assert land_events(rooms)
    assert [seq for seq, _ in small.read(1, 10)] == [5]  # the last segment always stays
    small.close()


def test_what_the_chosen_engine_cannot_compute_is_refused_before_anything_changes(world: World) -> None:
    """Of a text in small letters a database's locale decides; see docs/reference/engines.md."""
    of = make_source()
    activity = FeatureView("activity", CARD, of, {"card": fj.last("small")}, transform={"small": "lower(card_id)"})
    service = FeatureService("fraud_features", [activity])
    wanted = definitions(endpoint(of=model(over=activity, features=service)))
    plan_definitions(world.rooms, wanted)
    before = world.rooms.applied.epoch
    world.rooms.settings = Settings(features=FeatureSettings(engine="postgres", postgres_url="postgresql://nowhere"))
    for judge in (lambda: plan_definitions(world.rooms, wanted), lambda: apply_definitions(world.rooms, wanted, ADA)):
        with pytest.raises(Unsupported, match="'activity': 'small' cannot be computed by postgres"):
            judge()
    assert world.rooms.applied.epoch == before


REDACTING = fj.prediction_log(sample_ratio=0.25, redact={"card_id": "drop", "amount": "hash"})


def published(world: World) -> PredictionPolicy:
    table = from_msgpack(read_snapshot(world.rooms.online, "routing") or b"", RoutingTable)
    return table.endpoints["fraud"].prediction_log


def test_what_is_logged_changes_when_it_is_applied_and_not_with_the_next_rollout(world: World) -> None:
    serve(world)
    publish_snapshots(world.rooms)
    assert not published(world).restricts
    world.rooms.settings = Settings(storage=StorageSettings(redaction_key="long and random"))
    redacting = definitions(msgspec.structs.replace(endpoint(), prediction_log=REDACTING))
    (change,) = plan_definitions(world.rooms, redacting).changes
    assert change.effect == (
        "25% of decisions are logged from now on: the others cannot be explained, verified or joined with their "
        "outcomes; card_id is dropped in the log from now on; amount is hashed in the log from now on; what depends on "
        "it is not verified, and its drift is not watched"
    )
    assert "~ prediction_log.sample_ratio: 1.0 -> 0.25" in change.details
    apply_definitions(world.rooms, redacting, ADA)
    assert publish_waiting(world.rooms)
    assert published(world) == REDACTING
    apply_definitions(world.rooms, definitions(), ADA)
    assert publish_waiting(world.rooms)
    assert not published(world).restricts
    apply_definitions(world.rooms, definitions(policy=fj.Policy(auto_promote=True)), ADA)
    assert not publish_waiting(world.rooms)  # what gateways need not learn does not reach them


def test_hashes_need_a_key_before_anything_is_applied(world: World) -> None:
    redacting = definitions(msgspec.structs.replace(endpoint(), prediction_log=REDACTING))
    with pytest.raises(DefinitionError, match=r"storage\.redaction_key is empty"):
        plan_definitions(world.rooms, redacting)
    with pytest.raises(DefinitionError, match=r"storage\.redaction_key is empty"):
        apply_definitions(world.rooms, redacting, ADA)
