"""Calibrations never fall, are never steeper than runtimes agree, and make probabilities of what were none."""

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from falaj.definitions.routing_table import ArtifactRef
from falaj.definitions.trainer import lightgbm
from falaj.kernel.errors import CorruptionError, DataError
from falaj.models.artifacts import load_artifact
from falaj.models.calibration import fit_calibration
from falaj.models.export import export
from falaj.models.metrics import Scored
from falaj.models.runtimes.calibrated import CalibratedRuntime, Calibration
from falaj.models.runtimes.load import load_bytes
from falaj.models.training.fit import fit
from falaj.storage.blobs.memory import MemoryBlobs

METHODS = ("isotonic", "sigmoid")


def drawn(rows: int, seed: int, bend: float = 2.0) -> tuple[Any, Any]:
    """Scores, and labels that are likelier than the scores say, or less."""
    rng = np.random.default_rng(seed)
    scores = rng.random(rows)
    return scores, (rng.random(rows) < scores**bend).astype(np.int64)


def metrics(scores: Any, labels: Any) -> dict[str, float]:
    found = Scored(scores, labels, 0.5).measure(np.ones((1, len(labels))), ["auc", "ece", "log_loss"])
    return {name: float(values[0]) for name, values in found.items()}


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_off_become_probabilities(method: str) -> None:
    calibration = fit_calibration(method, *drawn(4_000, 1, 3.0))
    scores, labels = drawn(20_000, 2, 3.0)
    before, after = metrics(scores, labels), metrics(calibration.apply(scores), labels)
    assert before["ece"] > 0.2 and after["ece"] < 0.03
    assert after["log_loss"] < before["log_loss"]
    assert after["auc"] == pytest.approx(before["auc"], abs=0.002)  # who ranks before whom stays


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_are_probabilities_stay_nearly_so(method: str) -> None:
    calibration = fit_calibration(method, *drawn(20_000, 3, 1.0))
    scores = np.linspace(0.05, 0.95, 50)
    assert calibration.apply(scores) == pytest.approx(scores, abs=0.05)


def test_the_isotonic_map_is_that_of_the_pools() -> None:
    """With few distinct scores there is a pool for each, whose point is its share."""
    scores = np.repeat([0.2, 0.5, 0.8], 100)
    labels = np.concatenate([np.arange(100) < share for share in (10, 40, 70)]).astype(np.int64)
    found = fit_calibration("isotonic", scores, labels).apply(np.array([0.2, 0.5, 0.8]))
    assert found == pytest.approx([0.1, 0.4, 0.7])


def test_pools_of_one_class_are_not_certain() -> None:
    scores = np.repeat([0.1, 0.9], 50)
    low, high = fit_calibration("isotonic", scores, (scores > 0.5).astype(np.int64)).apply(np.array([0.1, 0.9]))
    assert (low, high) == pytest.approx((1 / 52, 51 / 52))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(METHODS), st.integers(0, 1 << 30), st.integers(40, 400), st.floats(0.05, 20), st.integers(1, 12))
def test_every_map_rises_within_0_and_1_and_is_never_too_steep(
    method: str, seed: int, rows: int, power: float, digits: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[np.ones(20, np.int64), np.zeros(20, np.int64), rng.integers(0, 2, rows - 40)]
    scores = np.round(rng.random(rows) ** power, digits)
    calibration = fit_calibration(method, scores, labels)
    assert Calibration.decode(calibration.encode()) == calibration
    x, y = np.array(calibration.scores), np.array(calibration.probabilities)
    assert len(x) <= 258 and (x[0], x[-1]) == (0.0, 1.0)
    assert (np.diff(y) / np.diff(x)).max() <= 60 * (1 + 1e-9)
    assert np.abs(calibration.apply(scores + 1e-7) - calibration.apply(scores)).max() < 1e-5


def test_scores_that_do_not_rise_with_the_label_get_one_probability() -> None:
    scores, labels = drawn(2_000, 4)
    found = fit_calibration("sigmoid", 1 - scores, labels).apply(np.array([0.3, 0.7]))
    assert found == pytest.approx([labels.mean()] * 2, abs=0.01)


@pytest.mark.parametrize("positives", [0, 9])
def test_too_few_rows_of_a_class_are_refused(positives: int) -> None:
    labels = (np.arange(500) < positives).astype(np.int64)
    with pytest.raises(DataError, match=f"{positives} positives and {500 - positives} negatives"):
        fit_calibration("isotonic", np.linspace(0, 1, 500), labels)


@pytest.mark.parametrize("method", METHODS)
def test_what_serves_a_calibrated_model_gives_the_trained_probabilities(method: str) -> None:
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(4_000, 4)).astype(np.float32)
    labels = (matrix[:, 0] + 0.3 * rng.normal(size=4_000) > 1).astype(np.int64)
    fitted = fit(lightgbm(num_trees=200, learning_rate=0.3), matrix[:3_000], labels[:3_000], "abcd")
    calibration = fit_calibration(method, fitted.predict(matrix[3_000:]), labels[3_000:])
    exported = export(fitted, matrix, calibration=calibration)
    assert exported.serving.parity is not None and exported.serving.parity.holds
    agreeing = [file for file in exported.files if file.parity is not None and file.parity.holds]
    assert {"lightgbm", "trees"} <= {file.runtime for file in agreeing}
    blobs = MemoryBlobs()
    first, *others = (ArtifactRef(blobs.put(file.content), file.runtime) for file in agreeing)  # type: ignore[arg-type]
    artifact = msgspec.structs.replace(first, beside=tuple(others), calibration=blobs.put(calibration.encode()))
    served = load_artifact(blobs, artifact, 4)
    assert isinstance(served, CalibratedRuntime) and served.features == 4
    for rows in (matrix[:1], matrix):
        assert served.predict(rows) == pytest.approx(calibration.apply(fitted.predict(rows)), abs=1e-5)
    bare = load_artifact(blobs, msgspec.structs.replace(artifact, calibration=""), 4)
    assert not isinstance(bare, CalibratedRuntime)  # a model without a map pays nothing for those with one


def test_a_damaged_map_is_refused() -> None:
    blobs = MemoryBlobs()
    file = blobs.put(fit(lightgbm(num_trees=2), np.eye(40, 2, dtype=np.float32), np.arange(40) % 2, "ab").native or b"")
    for broken in (b"{", b'{"method":"sigmoid","scores":[0,0.5,0.5],"probabilities":[0,0,1]}',
                   b'{"method":"sigmoid","scores":[0,1],"probabilities":[1,0]}'):  # fmt: skip
        with pytest.raises(CorruptionError, match="holds no calibration"):
            load_artifact(blobs, ArtifactRef(file, "lightgbm", calibration=blobs.put(broken)), 2)
    with pytest.raises(CorruptionError, match="missing from the blob store"):
        load_artifact(blobs, ArtifactRef(file, "lightgbm", calibration="0" * 64), 2)
    assert load_bytes(blobs.get(file), "lightgbm", 2, name="whole").features == 2
