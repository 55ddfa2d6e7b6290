"""Durable work: runs (a graph of content-keyed steps) and reconcilers (from what is to what is wanted).

A run is submitted by `submission`, looked at by `runs`, done by `worker`; `reconcile` runs reconcilers.

Nothing is imported here: a child process loads this package, and must not load SQL with it.
"""
