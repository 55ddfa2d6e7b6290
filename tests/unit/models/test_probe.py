from itertools import count

import numpy as np
import pytest

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.trainer import lightgbm
from falaj.models.probe import probe_artifact
from falaj.models.training import fit
from falaj.storage.blobs.memory import MemoryBlobs
from unit.models.rows import Rows


@pytest.fixture
def native(noise: Rows) -> bytes:
    content = fit(lightgbm(num_trees=2), noise.matrix, noise.labels, noise.names).native
    assert content is not None
    return content


def test_single_rows_are_timed_in_the_serving_runtime(noise: Rows, native: bytes) -> None:
    blobs = MemoryBlobs()
    ticks = count(step=1_000_000)  # every look at the clock is a millisecond later
    found = probe_artifact(
        blobs, ArtifactRef(blobs.put(native), "lightgbm"), noise.matrix, calls=50, now_ns=lambda: next(ticks)
    )
    assert (found.error, found.calls, found.p50_ms, found.p99_ms) == ("", 50, 1.0, 1.0)
    assert found.size_bytes == len(native)


def test_a_slow_row_in_a_hundred_shows(noise: Rows, native: bytes) -> None:
    blobs = MemoryBlobs()
    times = iter([t for i in range(200) for t in (0, 90_000_000 if i % 50 == 0 else 1_000_000)])
    artifact = ArtifactRef(blobs.put(native), "lightgbm")
    found = probe_artifact(blobs, artifact, noise.matrix, calls=200, now_ns=lambda: next(times))
    assert found.p50_ms == 1.0 and found.p99_ms > 50


@pytest.mark.parametrize("content", [b"", b"junk"])
def test_what_cannot_be_loaded_is_a_finding(noise: Rows, content: bytes) -> None:
    blobs = MemoryBlobs()
    found = probe_artifact(blobs, ArtifactRef(blobs.put(content), "lightgbm"), noise.matrix)
    assert "LightGBM" in found.error and found.calls == 0


def test_another_width_and_an_absent_file_are_findings(noise: Rows, native: bytes) -> None:
    blobs = MemoryBlobs()
    narrow = np.ascontiguousarray(noise.matrix[:, :2])
    assert "takes 4 columns" in probe_artifact(blobs, ArtifactRef(blobs.put(native), "lightgbm"), narrow).error
    assert "missing" in probe_artifact(blobs, ArtifactRef("0" * 64, "onnx"), noise.matrix).error
