"""Texts: their length and the share of their words that are new, text by text."""

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from falaj.monitoring.categorical_reference import CategoricalReference
from falaj.monitoring.drift import DriftVerdict, judge
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.reference import fit_reference
from falaj.monitoring.references import References, fit_references
from falaj.monitoring.text_reference import TextReference

RNG = np.random.default_rng(31)
WORDS = np.array([f"word{n}" for n in range(3000)])


def texts(size: int, *, mean_words: float = 9.0, new: float = 0.0, rng: np.random.Generator = RNG) -> list[str]:
    """Texts of words with Zipf's frequencies, a share of them from another language."""
    found = []
    for length in 1 + rng.poisson(mean_words, size):
        words = WORDS[np.minimum(rng.zipf(1.4, length), 3000) - 1]
        found.append(" ".join("neu" + word if rng.random() < new else word for word in words))
    return found


def judged(references: References, current: object) -> DriftVerdict:
    return judge(references, [references.count({"note": current})], DriftPolicy(persistence=1))


def alarms(verdict: DriftVerdict) -> list[str]:
    return [one.question for one in verdict.findings if one.alarm]


def test_prose_is_text_and_names_are_categories() -> None:
    assert isinstance(fit_reference(texts(100)), TextReference)
    assert isinstance(fit_reference(pa.array(texts(100))), TextReference)
    assert isinstance(fit_reference(["Abu Dhabi", "Al Ain"] * 50), CategoricalReference)
    assert isinstance(fit_reference([f"c{n}" for n in range(100)]), CategoricalReference)


def test_new_words_longer_texts_and_missing_ones_are_found_each_by_its_question() -> None:
    references = fit_references({"note": texts(4000)})
    assert alarms(judged(references, texts(500))) == []
    assert "vocabulary" in alarms(judged(references, texts(500, new=0.2)))
    assert "length" in alarms(judged(references, texts(500, mean_words=14)))
    assert alarms(judged(references, [*texts(400), *[None] * 100])) == ["missing"]


@pytest.mark.parametrize("clustered", [False, True])
def test_the_false_alarm_rate_is_that_of_texts_and_not_of_words(clustered: bool) -> None:
    """Repeated words within one text must not count as so many pieces of evidence."""
    rng, runs, alarmed = np.random.default_rng(32), 120, {"length": 0, "vocabulary": 0}

    def sample(size: int) -> list[str]:
        found = texts(size, rng=rng)
        return [f"{text} {f'rare{rng.integers(10**6)} ' * 15}" if clustered and rng.random() < 0.1 else text
                for text in found]  # fmt: skip

    for _ in range(runs):
        references = fit_references({"note": sample(800)})
        for finding in judged(references, sample(200)).findings:
            if finding.question in alarmed:
                alarmed[finding.question] += finding.p_value < 0.05
    assert max(alarmed.values()) <= stats.binom.isf(1e-3, runs, 0.05)


def test_every_text_is_counted_once_in_each_histogram() -> None:
    reference = TextReference.fit([*texts(200), None, None])
    counts = reference.count([*texts(50), None, "", "!!"])
    length, novelty = reference.split(counts)
    assert (int(length.sum()), int(novelty.sum()), int(counts[-1])) == (52, 52, 1)
    assert len(counts) == len(reference.cells) == len(reference.counts)


def test_text_of_any_signs_is_counted() -> None:
    reference = TextReference.fit(["مرحبا بكم في الفلج", "\ud800 lone", "日本 語"] * 20)
    assert reference.count(["\udfff \x00", "مرحبا"]).sum() == 4
