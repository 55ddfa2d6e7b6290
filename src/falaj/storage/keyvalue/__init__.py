"""Bytes under bytes, for the online path: the `KeyValueStore` port; backends in `lmdb` and `memory`."""

from falaj.storage.keyvalue.port import KeyValueStore, Snapshot

__all__ = ["KeyValueStore", "Snapshot"]
