"""Versioned tables of Arrow rows: `port` has the protocol; backends in `delta` and `memory`."""
