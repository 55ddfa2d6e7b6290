"""References: one small artifact per model version, refused when it is damaged."""

import numpy as np
import pytest

from falaj.kernel.errors import CorruptionError
from falaj.monitoring.references import (
    fit_references,
    references_digest,
    references_from_msgpack,
    references_to_msgpack,
)


def test_references_survive_the_artifact_and_stay_small() -> None:
    amounts = np.random.default_rng(0).normal(size=10_000)
    references = fit_references({"amount": amounts, "country": ["AE", None] * 5000})
    raw = references_to_msgpack({"test": references, "training": references})
    again = references_from_msgpack(raw)
    assert again == {"test": references, "training": references}
    assert references_digest(again["test"]) == references_digest(references)
    assert references_digest(references) != references_digest(fit_references({"amount": amounts}))
    assert len(raw) < 8192


@pytest.mark.parametrize("raw", [b"", b"\xc1", b"\x81\xa4test\x80"])
def test_a_damaged_artifact_is_refused(raw: bytes) -> None:
    with pytest.raises(CorruptionError, match="cannot be read"):
        references_from_msgpack(raw)
