"""Readiness: what a worker that is not ready says, where others have to know it again."""

UNLOADED = "these endpoints cannot be loaded:"
"""So begins what ready says of a worker that may serve other endpoints."""
