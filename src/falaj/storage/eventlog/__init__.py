"""Numbered, durable events: the `EventLog` port; backends in `local` and `memory`; unnumbered records in `segments`."""

from falaj.storage.eventlog.port import EventLog

__all__ = ["EventLog"]
