"""What a read of features from Redis costs beside a bare `GET` of the same bytes: `python bench/online.py`.

One entity, twelve features of which six are windows over 200 events. Both in this process, over loopback, by turns.
Prints `ratio: online_vs_raw_redis VALUE`, and the milliseconds of both.
"""

import contextlib
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis

import falaj as fj
from falaj.app.online import open_online_reader
from falaj.features.compile import compile_service
from falaj.features.entity_key import encode_key, record_key
from falaj.features.materialise import apply_batch
from falaj.features.online import OnlineReader
from falaj.kernel.settings import ProjectSettings, Settings, StorageSettings
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.store import RedisStore

EVENTS = 200
_HOUR_US = 3_600_000_000
_NOW_US = 1_700_000_000_000_000
_SCHEMA = {"event": "string", "at": "timestamp", "card": "int64", "amount": "float64"} | {
    f"c{i}": "float64" for i in range(6)
}
_INSTANT = pa.timestamp("us", "UTC")


def _service() -> Any:
    source = fj.Source("tx", stream=fj.Push(), id="event", timestamp="at", schema=_SCHEMA, lateness="1d")
    windows = {
        "n_1d": fj.count(window="1d"),
        "n_30d": fj.count(window="30d"),
        "mean": fj.mean("amount", window="7d"),
        "spread": fj.std("amount", window="30d"),
        "total": fj.sum("amount", window="7d"),
        "most": fj.max("amount", window="30d"),
    }
    plain = {f"c{i}": fj.column(f"c{i}") for i in range(6)}
    view = fj.FeatureView("cards", fj.Entity("card", key="card", dtype="int64"), source, windows | plain)
    return compile_service(fj.FeatureService("bench", [view]), {"tx": _SCHEMA})


SERVICE = _service()


def rows(cards: Iterable[int], events: int, after_seq: int = 0) -> pa.Table:
    """Return events of cards, one every three hours up to the present.

    Args:
        cards: The cards' numbers.
        events: Events of each.
        after_seq: Number of the last row before these.
    """
    card = np.repeat(np.fromiter(cards, np.int64), events)
    ago = np.tile(np.arange(events, 0, -1), len(card) // events)
    at = pa.array(_NOW_US - 3 * _HOUR_US * ago, _INSTANT)
    random = np.random.default_rng(after_seq)
    columns: dict[str, Any] = {
        "event": [f"{after_seq + i:x}" for i in range(len(card))], "at": at, "card": card,
        "amount": np.round(random.gamma(2.0, 20.0, len(card)), 2),
    }  # fmt: skip
    columns |= {f"c{i}": random.random(len(card)) for i in range(6)}
    seq = np.arange(after_seq + 1, after_seq + 1 + len(card))
    return pa.table(columns | {"_event_ts": at, "_created": at, "_ingest_seq": seq})


@contextlib.contextmanager
def redis_running(folder: Path) -> Iterator[tuple[str, Any]]:
    """Run a Redis without persistence; yields its URL and a client."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    try:
        while True:
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                break
        yield f"redis://127.0.0.1:{port}", client
    finally:
        client.close()
        server.terminate()
        server.wait()


def online_vs_raw_redis(rounds: int = 15, reads: int = 2_000) -> float:
    """Measure, print and return the time of one read of twelve features over that of one bare GET of the same bytes.

    Args:
        rounds: Turns of each.
        reads: Reads of one turn.
    """
    with tempfile.TemporaryDirectory() as folder, redis_running(Path(folder)) as (url, client):
        address = RedisAddress.parse(url)
        store = RedisStore.open_writer(address, "bench", Path(folder) / "state")
        apply_batch(store, SERVICE.views, rows([7], EVENTS), EVENTS)
        view = SERVICE.views[0]
        raw = store.get_many([record_key(view.namespace, encode_key(view, {"card": 7}) or b"")])[0]
        assert raw is not None
        client.set("raw", raw)
        redis_chosen = StorageSettings(online="redis", online_url=url)
        settings = Settings(project=ProjectSettings(name="bench"), storage=redis_chosen)
        online = open_online_reader(Path(folder), settings)  # as a gateway has it
        reader = OnlineReader(online)
        values = reader.read(SERVICE, [{"card": 7}], [_NOW_US]).values[0]
        assert len(values) == 12 and None not in values
        ours, bare = [], []
        for _ in range(rounds):
            bare.append(_us(lambda: client.get("raw"), reads))
            ours.append(_us(lambda: reader.read(SERVICE, [{"card": 7}], [_NOW_US]), reads))
        store.close()
        online.close()
    ratio = statistics.median(one / other for one, other in zip(ours, bare, strict=True))
    print(f"latency: online_redis_read {statistics.median(ours) / 1000:.4f}", flush=True)
    print(f"latency: raw_redis_get {statistics.median(bare) / 1000:.4f}", flush=True)
    print(f"ratio: online_vs_raw_redis {ratio:.2f}", flush=True)
    return ratio


def _us(work: Callable[[], object], times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - began) / times * 1e6


if __name__ == "__main__":
    online_vs_raw_redis()
