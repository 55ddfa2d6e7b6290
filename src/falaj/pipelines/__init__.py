"""Durable work: runs (a graph of content-keyed steps) and reconcilers (from what is to what is wanted)."""
