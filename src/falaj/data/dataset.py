"""Dataset: the description of one immutable training set, as a plain value."""

from collections.abc import Mapping
from typing import Any

import msgspec

from falaj.kernel.digest import digest_value

MEANING = 1
"""Grows when a release gives other values for the same request, so that no older dataset answers for it."""


class Request(msgspec.Struct, frozen=True):
    """What a dataset answers.

    Attributes:
        frame: Content digest of the rows that features were asked for.
        sources: Source to the content digest of what the features read of it, in its order.
        known_time: Whether only what was known at a row's instant counts.
        meaning: Which meaning of features answered.
    """

    frame: str
    sources: dict[str, str]
    known_time: bool = False
    meaning: int = MEANING


class Dataset(msgspec.Struct, frozen=True):
    """One immutable training set.

    Attributes:
        digest: Its identity: the digest of name, split, specification and request, the same on every machine.
        name: The name under which its versions are listed.
        content: Digest of columns and rows alone.
        blob: Digest of the Parquet file that keeps it.
        rows: How many rows.
        columns: Column to Arrow type, in order.
        size_bytes: Length of the Parquet file.
        split: How its rows are divided, as plain values; nothing where they are not.
        spec_digest: Digest of the definitions that it was made by.
        request: What was asked.
        engine: What computed its features. Engines agree up to the last bits of floats.
        inputs: Source name to what of it was read: table version, last number, …
        created: When it was first saved, in microseconds since 1970.
        created_by: Name of the actor.
    """

    digest: str
    name: str
    content: str
    blob: str
    rows: int
    columns: dict[str, str]
    size_bytes: int
    split: dict[str, Any]
    spec_digest: str
    request: Request
    engine: str
    inputs: dict[str, dict[str, int]]
    created: int
    created_by: str


def dataset_digest(name: str, split: Mapping[str, Any], spec_digest: str, request: Request) -> str:
    """Return a dataset's identity.

    It is the digest of what was asked, and of every row that was read for it: sums of floats may differ in their last
    bits from machine to machine, and the name of an answer should not.

    Example:
        >>> request = Request("f" * 64, {"tx": "a" * 64})
        >>> dataset_digest("fraud", {}, "5" * 64, request)[:12]
        '3bb2f68000c8'
    """
    asked = msgspec.to_builtins(request)
    return digest_value({"name": name, "split": dict(split), "spec": spec_digest, "request": asked})
