"""Drift, realised performance and alerts: reads prediction records, emits verdicts, acts on nothing."""
