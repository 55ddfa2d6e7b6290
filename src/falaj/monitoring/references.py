"""References: the frozen cells of each column that a model version reads, and of its score; one artifact a version."""

from collections.abc import Mapping
from typing import Any

import msgspec

from falaj.kernel.digest import digest_bytes
from falaj.kernel.errors import CorruptionError
from falaj.monitoring.histogram import Reference, fit_reference

SCORE = "score"
"""The column that holds the model's output."""


def fit_references(columns: Mapping[str, Any], *, seed: int = 0) -> dict[str, Reference]:
    """Freeze the cells of several columns.

    Give the scores of rows that the model was not trained on: a model is surer of those it has seen, and the first
    window of traffic would look drifted.

    Args:
        columns: Column name to values; `SCORE` for the model's output.
        seed: Chooses the halves of categorical samples.

    Example:
        >>> sorted(fit_references({"amount": [1.0, 2.0], SCORE: [0.1, 0.2]}))
        ['amount', 'score']
    """
    return {name: fit_reference(values, seed=seed) for name, values in sorted(columns.items())}


def references_to_msgpack(references: Mapping[str, Reference]) -> bytes:
    """Return references by column as MessagePack, the same bytes for the same references."""
    return msgspec.msgpack.encode(dict(sorted(references.items())))


def references_from_msgpack(raw: bytes) -> dict[str, Reference]:
    """Return references by column.

    Raises:
        CorruptionError: The bytes are not such an artifact.
    """
    try:
        return msgspec.msgpack.decode(raw, type=dict[str, Reference])
    except msgspec.DecodeError as error:
        raise CorruptionError(
            f"reference histograms cannot be read: {error}", hint="train the version again; nothing is judged by them"
        ) from None


def references_digest(references: Mapping[str, Reference]) -> str:
    """Return the digest under which counts over these cells belong together."""
    return digest_bytes(references_to_msgpack(references))
