"""Payloads that wait outside, in ordered partitions: the `Feed` port; backends in `files` and `memory`."""

from falaj.storage.feeds.port import Batch, Feed, Payload

__all__ = ["Batch", "Feed", "Payload"]
