"""A source's rows, and an applier that brings them to Redis; without an id column, so that only order counts once."""

from pathlib import Path
from typing import Any

import pyarrow as pa

import falaj as fj
from falaj.features.online import OnlineReader
from falaj.features.streaming import Applier
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.store import RedisStore
from support.feature_worlds import make_service, row, table

SPEC = make_service(has_id=False, n=fj.count(window="1s"), s=fj.sum("amount", window="1s"), lateness="1h")
CARDS = [str(i) for i in range(12)]
ROWS = [row(at=i, a=CARDS[i * 7 % 12], amount=float(i)) for i in range(240)]


def open_writer(url: str, folder: Path, **more: Any) -> RedisStore:
    return RedisStore.open_writer(RedisAddress.parse(url), "fraud", folder / "online", **more)


def rows_from(source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
    del source
    found = ROWS[seq - 1 : seq - 1 + limit]
    return table(found, first_seq=seq), seq - 1 + len(found)


def applier_of(store: Any, chunk_rows: int = 7) -> Applier:
    return Applier(store, rows_from, SPEC.views, chunk_rows=chunk_rows)


def features(store: Any) -> list[list[Any]]:
    return OnlineReader(store).read(SPEC, [{"a": card} for card in CARDS], [1000] * len(CARDS)).values
