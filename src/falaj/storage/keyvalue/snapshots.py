"""Snapshots: what control publishes for gateway workers, and how a worker sees that there is a newer one.

A worker polls one small key. When its value differs from the last one seen, it reads the snapshots again and adopts
those whose bytes changed. No SQL here: the gateway loads this module.
"""

from collections.abc import Iterable

from falaj.kernel.codec import from_msgpack, to_msgpack
from falaj.storage.keyvalue.port import KeyValueStore

EPOCH_KEY = b"snapshot/epoch"


def snapshot_key(topic: str) -> bytes:
    """Return the key of a topic's snapshot.

    Example:
        >>> snapshot_key("routing")
        b'snapshot/routing'
    """
    return b"snapshot/" + topic.encode()


def read_epoch(store: KeyValueStore) -> int:
    """Return the number of the last publication; 0 before the first.

    Example:
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> read_epoch(MemoryStore())
        0
    """
    raw = store.get_many([EPOCH_KEY])[0]
    return 0 if raw is None else from_msgpack(raw, int)


def read_snapshot(store: KeyValueStore, topic: str) -> bytes | None:
    """Return a topic's published bytes, or None before the first publication."""
    return store.get_many([snapshot_key(topic)])[0]


def has_snapshots(store: KeyValueStore, topics: Iterable[str]) -> bool:
    """Return whether every topic was published at least once."""
    return None not in store.get_many([snapshot_key(topic) for topic in topics])


def write_snapshots(store: KeyValueStore, snapshots: dict[str, bytes], epoch: int) -> bool:
    """Put snapshots and the epoch in one atomic write, unless the store holds them already.

    Args:
        store: The online store.
        snapshots: Topic to bytes.
        epoch: The publication's number.

    Returns:
        Whether anything was written.

    Example:
        >>> from falaj.storage.keyvalue.memory import MemoryStore
        >>> store = MemoryStore()
        >>> write_snapshots(store, {"routing": b"x"}, 7), write_snapshots(store, {"routing": b"x"}, 7)
        (True, False)
        >>> read_epoch(store), read_snapshot(store, "routing")
        (7, b'x')
    """
    wanted = [(snapshot_key(topic), raw) for topic, raw in sorted(snapshots.items())]
    wanted.append((EPOCH_KEY, to_msgpack(epoch)))
    held = store.get_many([key for key, _ in wanted])
    if held == [raw for _, raw in wanted]:
        return False
    store.write(wanted)
    return True
