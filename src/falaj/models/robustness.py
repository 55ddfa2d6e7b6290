"""Robustness: what a metric is worth under perturbed inputs, beside production or the unperturbed rows."""

from collections.abc import Iterator

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from falaj.definitions.gate import HIGHER_IS_BETTER, Robustness
from falaj.definitions.signature import Signature
from falaj.definitions.slices import column_of
from falaj.models.bootstrap import Interval
from falaj.models.parts import Sides, measure_part
from falaj.models.perturbations import Perturbation, Predict, attack, perturbations_of, perturbed
from falaj.models.runtimes.port import Matrix

MOST_ROWS = 20_000
"""The worst of many perturbations is looked for on so many rows; it is then judged on all of them."""

_ATTACKED = 300


class Subject(msgspec.Struct, frozen=True):
    """A model with the rows that it is asked about.

    Attributes:
        predict: Scores rows.
        signature: The rows' columns.
        matrix: Test rows, (rows, features).
        deviations: Input to its standard deviation.
    """

    predict: Predict
    signature: Signature
    matrix: Matrix
    deviations: dict[str, float]


class Perturbed(msgspec.Struct, frozen=True):
    """The worst that perturbations of one kind did to a metric.

    Attributes:
        kind: missing, noise, units or attack.
        label: Which one it was.
        tried: Of how many.
        metric: The metric's name.
        value: The version's value under it; None where it is not a number.
        baseline: Production's value under the same, or the version's own without it.
        change: The 95 % interval of the value less the baseline; None where there is none.
        rows: On how many rows.
        positives: Those of class 1; None of a regression.
    """

    kind: str
    label: str
    tried: int
    metric: str
    value: float | None
    baseline: float | None
    change: Interval | None
    rows: int
    positives: int | None


class Robust(msgspec.Struct, frozen=True):
    """What one check's perturbations did.

    Attributes:
        check: The check, in words.
        worst: The worst of each kind.
    """

    check: str
    worst: tuple[Perturbed, ...]


def measure_robustness(
    check: Robustness, sides: Sides, candidate: Subject, production: Subject | None, *, seed: int
) -> Robust:
    """Measure what the check's perturbations do to its metric.

    Args:
        check: The check.
        sides: The unperturbed scores.
        candidate: The candidate's model.
        production: Production's; None where the candidate is held against itself.
        seed: Of noise, attacks and resampling.
    """
    worst = []
    for kind in check.under:
        if kind == "attack":
            worst.append(_attacked(check, sides, candidate, production, seed))
            continue
        tried = list(perturbations_of(kind, candidate.signature))
        if tried:
            worst.append(_worst(check, tried, sides, candidate, production, seed))
    return Robust(check.name, tuple(worst))


def _worst(
    check: Robustness,
    tried: list[Perturbation],
    sides: Sides,
    candidate: Subject,
    production: Subject | None,
    seed: int,
) -> Perturbed:
    """Find the perturbation that costs most, and measure it with its interval."""
    if len(tried) > 1:
        rows = _some(sides.classes, MOST_ROWS, seed)
        losses = []
        for one in tried:
            under = _under(check, one, sides, candidate, production, seed, rows)
            if not _finite(under):
                losses.append(np.inf)
                continue
            found = measure_part(under, seed=seed, names=[check.metric], bare=True)
            value, baseline = found.metrics.get(check.metric), found.baseline.get(check.metric)
            loss = np.inf if value is None or baseline is None else baseline - value
            losses.append(loss if HIGHER_IS_BETTER[check.metric] or loss == np.inf else -loss)
        chosen = tried[int(np.argmax(losses))]
    else:
        chosen = tried[0]
    everything = np.arange(len(sides.labels))
    return _measured(
        check, chosen.kind, chosen.label, len(tried),
        _under(check, chosen, sides, candidate, production, seed, everything), seed,
    )  # fmt: skip


def _under(
    check: Robustness,
    one: Perturbation,
    sides: Sides,
    candidate: Subject,
    production: Subject | None,
    seed: int,
    rows: NDArray[np.int64],
) -> Sides:
    """Return both sides' scores of some rows under a perturbation; an input that a side lacks cannot hurt it."""
    scores = [
        None
        if subject is None
        else np.asarray(
            subject.predict(
                perturbed(
                    one, subject.signature, np.ascontiguousarray(subject.matrix[rows]),
                    deviations=subject.deviations, strength=check.strength, seed=seed,
                )
            ),
            np.float64,
        )
        for subject in (candidate, production)
    ]  # fmt: skip
    return _beside(sides.at(rows), scores[0], scores[1])


def _beside(sides: Sides, candidate: NDArray[np.float64] | None, production: NDArray[np.float64] | None) -> Sides:
    """Return sides with the candidate's perturbed scores, and those of production or its own unperturbed ones."""
    assert candidate is not None
    if production is not None:
        return replace(sides, candidate=candidate, production=production)
    before, threshold = sides.candidate, sides.threshold
    return replace(sides, candidate=candidate, production=before, production_threshold=threshold, same=False)


def _attacked(check: Robustness, sides: Sides, candidate: Subject, production: Subject | None, seed: int) -> Perturbed:
    """Let some positives be attacked, each model by its own scores, and hold them against all negatives."""
    rng = np.random.default_rng([seed, 2])
    positives = np.flatnonzero(sides.labels == 1)
    if len(positives) > _ATTACKED:
        positives = np.sort(rng.choice(positives, _ATTACKED, replace=False))
    rows = np.sort(np.concatenate([positives, np.flatnonzero(sides.labels == 0)]))
    at = np.searchsorted(rows, positives)
    sides = sides.at(rows)
    scores: list[NDArray[np.float64] | None] = []
    for subject, clean in ((candidate, sides.candidate), (production, sides.production)):
        if subject is None or clean is None:
            scores.append(None)
            continue
        changed = clean.copy()
        changed[at] = attack(
            subject.predict, subject.signature, np.ascontiguousarray(subject.matrix[positives]),
            mutable=[column_of(name) for name in check.mutable],
            deviations=subject.deviations, strength=check.strength, seed=seed,
        )  # fmt: skip
        scores.append(changed)
    label = f"attack on {len(positives)} positives by {', '.join(check.mutable)}"
    return _measured(check, "attack", label, 1, _beside(sides, scores[0], scores[1]), seed)


def _finite(sides: Sides) -> bool:
    """Return whether all scores are numbers."""
    return all(np.isfinite(scores).all() for scores in (sides.candidate, sides.production) if scores is not None)


def _measured(check: Robustness, kind: str, label: str, tried: int, sides: Sides, seed: int) -> Perturbed:
    if not _finite(sides):  # a metric by ranks would be one all the same
        return Perturbed(kind, label, tried, check.metric, None, None, None, len(sides.labels), sides.positives)
    part = measure_part(sides, seed=seed, names=[check.metric])
    return Perturbed(
        kind, label, tried, check.metric, part.metrics.get(check.metric), part.baseline.get(check.metric),
        part.changes.get(check.metric), part.rows, part.positives,
    )  # fmt: skip


def _some(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most so many rows, the classes in their proportion."""
    if len(labels) <= most:
        return np.arange(len(labels))
    rng = np.random.default_rng([seed, 3])
    return np.sort(np.concatenate(list(_of_each_class(labels, most / len(labels), rng))))


def _of_each_class(labels: NDArray[np.int64], fraction: float, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    for label in (0, 1):
        rows = np.flatnonzero(labels == label)
        yield rng.choice(rows, max(1, round(len(rows) * fraction)) if len(rows) else 0, replace=False)
