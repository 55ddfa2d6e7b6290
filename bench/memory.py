"""How much the online stores need per entity: `python bench/memory.py [ENTITIES] [EVENTS]`.

Every entity has one record of the view of `online.py` with as many events, and every event its identity. Prints
`bytes_per_entity: STORE BYTES` lines, of which `record` is the record alone.
"""

import sys
import tempfile
from pathlib import Path

from online import SERVICE, redis_running, rows

from falaj.features.materialise import apply_batch
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.lmdb import LmdbStore
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.store import RedisStore

_CHUNK_ROWS = 5_000


def bytes_per_entity(entities: int = 20_000, events: int = 20) -> dict[str, float]:
    """Fill both stores, and print and return the bytes that each needs per entity.

    Args:
        entities: How many.
        events: Events of each, whose identities are kept too.
    """
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        lmdb = LmdbStore.open(path / "lmdb", map_gib=8)
        _fill(lmdb, entities, events)
        lmdb.close()
        found["lmdb"] = (path / "lmdb" / "data.mdb").stat().st_blocks * 512 / entities
        with redis_running(path) as (url, client):
            redis = RedisStore.open_writer(RedisAddress.parse(url), "memory", path / "redis")
            redis.get_many([b"x"])
            before = client.info("memory")["used_memory"]
            _fill(redis, entities, events)
            found["redis"] = (client.info("memory")["used_memory"] - before) / entities
            redis.close()
    one = MemoryStore()
    _fill(one, 1, events)
    found["record"] = float(max(len(value) for _, value in one.scan(b"", 10_000)))
    for name, size_bytes in found.items():
        print(f"bytes_per_entity: {name} {size_bytes:.0f}", flush=True)
    return found


def _fill(store: KeyValueStore, entities: int, events: int) -> None:
    at_once = max(1, 200_000 // events)
    seq = 0
    for first in range(0, entities, at_once):
        table = rows(range(first, min(entities, first + at_once)), events, seq)
        seq += table.num_rows
        apply_batch(store, SERVICE.views, table, seq, chunk_rows=_CHUNK_ROWS)


if __name__ == "__main__":
    bytes_per_entity(*map(int, sys.argv[1:]))
