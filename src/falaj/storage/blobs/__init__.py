"""Immutable bytes under their own digest: the `BlobStore` port; backends in `local` and `memory`."""

from falaj.storage.blobs.port import BlobStore

__all__ = ["BlobStore"]
