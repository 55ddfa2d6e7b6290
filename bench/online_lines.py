"""The online store, measured: materialisation beside Feast's, and reads in process."""

import itertools
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from feature_world import DAY_US, INSTANT, SPAN_US, START_US, World, plain_service, windowed_service
from peers.feast_peer import Feast
from point_in_time_lines import feast_views
from rounds import Work, measure, print_missing, print_ratio

import falaj as fj
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.compile import compile_service
from falaj.features.materialise import apply_batch
from falaj.features.online import OnlineReader
from falaj.storage.keyvalue.lmdb import LmdbStore

_CUSTOMERS = 1_000
_EVENTS_EACH = 200
_READS = 20_000
_HOLDER = ("age", "income", "credit_limit", "tenure_days", "score", "cards")
_SCHEMA = {"customer_id": "int64", "at": "timestamp", "amount": "float64"}


def materialise(world: World, rounds: int, peer: Feast | None) -> None:
    """Print `materialize_vs_feast`: from the Parquet file to a store that is new each time."""
    print(
        f"materialise: {world.entities} entities, the latest row of each (Feast), or their whole state (ours)",
        flush=True,
    )
    work: dict[str, Work] = {
        "ours, a plain column": lambda: _materialise(world, plain_service()),
        "ours, a plain column of events with ids": lambda: _materialise(world, plain_service(identity=True)),
        "ours, eight windows": lambda: _materialise(world, windowed_service()),
    }
    if peer is not None:
        places = (world.folder / f"feast-{number}" for number in itertools.count())
        work["Feast, SQLite"] = lambda: _feast_materialise(world, peer, next(places))
    found = measure(work, rounds)
    if peer is None:
        print_missing("materialize_vs_feast", "no Feast; make it with: python bench/peers/make.py feast")
        return
    feast = found.median("Feast, SQLite")
    print_ratio("materialize_vs_feast", feast / found.median("ours, a plain column"), ">= 10")
    print_ratio("materialize_windows_vs_feast", feast / found.median("ours, eight windows"), "-")


def online_read(rounds: int, peer: Feast | None, world: World) -> None:
    """Print `online_read_us`, and what Feast needs for one feature."""
    print(f"online read: 12 features, 6 of them windows over {_EVENTS_EACH} events, one customer a read", flush=True)
    rng = np.random.default_rng(3)
    asked = [{"customer_id": customer} for customer in rng.integers(0, _CUSTOMERS, _READS).tolist()]
    now = START_US + SPAN_US
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as folder:
        service = _fill(Path(folder))
        store = LmdbStore.open(Path(folder), map_gib=4, readonly=True)
        reader = OnlineReader(store)
        found = measure(
            {
                "now": lambda: _reads(reader, service, asked, now),
                "as of ten days ago": lambda: _reads(reader, service, asked, now - 10 * DAY_US),
            },
            rounds,
        )
        store.close()
    print_ratio("online_read_us", found.median("now") / _READS * 1e6, "<= 50", ".1f")
    print_ratio("online_read_past_us", found.median("as of ten days ago") / _READS * 1e6, "-", ".1f")
    if peer is not None:
        place = world.folder / "feast-online"
        _feast_materialise(world, peer, place)
        answer = peer.ask("online", rows=[{"customer_id": 1}], features=["spend:amount"], repeat=300)
        print_ratio("feast_online_read_us", answer["seconds"] * 1e6, "-", ".1f")


def _materialise(world: World, service: ServiceSpec) -> float:
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as folder:
        store = LmdbStore.open(Path(folder), map_gib=8)
        began = time.perf_counter()
        view = service.views[0]
        identity = [] if view.id_column is None else [view.id_column]
        wanted = [*dict(view.keys), *dict(view.columns), *identity, "_event_ts", "_created", "_ingest_seq"]
        table = world.source().to_table(columns=wanted)
        apply_batch(store, service.views, table, table.num_rows)
        took = time.perf_counter() - began
        store.close()
    return took


def _feast_materialise(world: World, peer: Feast, place: Path) -> float:
    place.mkdir()
    peer.ask("open", folder=str(place), views=feast_views(world))
    return float(peer.ask("materialise", from_us=START_US - DAY_US, to_us=START_US + SPAN_US)["seconds"])


def _reads(reader: OnlineReader, service: ServiceSpec, asked: list[dict[str, int]], at: int) -> float:
    began = time.perf_counter()
    for entity in asked:
        reader.read(service, [entity], [at])
    return time.perf_counter() - began


def _fill(folder: Path) -> ServiceSpec:
    """Fill a store with a holder and their events for each customer, and return the service that reads them."""
    rng = np.random.default_rng(4)
    service = _service()
    store = LmdbStore.open(folder, map_gib=4)
    first = np.full(_CUSTOMERS, START_US)
    holders = {"customer_id": np.arange(_CUSTOMERS)} | {name: rng.normal(100, 20, _CUSTOMERS) for name in _HOLDER}
    rows = _CUSTOMERS * _EVENTS_EACH
    at = np.sort(rng.integers(START_US, START_US + SPAN_US, rows))
    owner = rng.permutation(np.repeat(np.arange(_CUSTOMERS), _EVENTS_EACH))
    events = {"customer_id": owner, "amount": np.round(rng.lognormal(3.5, 1.0, rows), 2)}
    for view, columns, times in zip(service.views, (holders, events), (first, at), strict=True):
        stamps = pa.array(times, INSTANT)
        seq = np.arange(1, len(times) + 1)
        table = pa.table({**columns, "_event_ts": stamps, "_created": stamps, "_ingest_seq": seq})
        apply_batch(store, [view], table, len(times))
    store.close()
    return service


def _service() -> ServiceSpec:
    customer = fj.Entity("customer", key="customer_id", dtype="int64")
    held = {"customer_id": "int64", "at": "timestamp"} | dict.fromkeys(_HOLDER, "float64")
    holders = fj.Source("holders", stream=fj.Push(), timestamp="at", schema=held)
    events = fj.Source("events", stream=fj.Push(), timestamp="at", schema=_SCHEMA)
    features = {
        "count_1h": fj.count(window="1h"),
        "count_24h": fj.count(window="24h"),
        "amount_mean_7d": fj.mean("amount", window="7d"),
        "amount_std_7d": fj.std("amount", window="7d"),
        "amount_sum_30d": fj.sum("amount", window="30d"),
        "amount_max_30d": fj.max("amount", window="30d"),
    }
    views = [
        fj.FeatureView("holder", customer, holders, {name: fj.column(name) for name in _HOLDER}),
        fj.FeatureView("activity", customer, events, features),
    ]
    return compile_service(fj.FeatureService("cards", views), {"holders": held, "events": _SCHEMA})
