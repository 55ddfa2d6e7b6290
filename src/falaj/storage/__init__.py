"""Ports and backends for bytes, rows and keys: metadata, tables, blobs, key-value and event log."""
