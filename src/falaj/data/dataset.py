"""Dataset: the description of one immutable training set, as a plain value."""

from typing import Any

import msgspec


class Dataset(msgspec.Struct, frozen=True):
    """One immutable training set.

    Attributes:
        digest: Its identity: the digest of name, content, split and specification, the same on every machine.
        name: The name under which its versions are listed.
        content: Digest of columns and rows alone.
        blob: Digest of the Parquet file that keeps it.
        rows: How many rows.
        columns: Column to Arrow type, in order.
        size_bytes: Length of the Parquet file.
        split: How its rows are divided, as plain values.
        spec_digest: Digest of the definitions that it was made by.
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
    inputs: dict[str, dict[str, int]]
    created: int
    created_by: str
