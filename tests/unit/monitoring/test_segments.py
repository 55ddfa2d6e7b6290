"""Segments: judged by themselves, corrected together, and too few rows are no verdict."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from scipy import stats

from falaj.monitoring.drift import DriftVerdict, judge
from falaj.monitoring.questions import DriftPolicy
from falaj.monitoring.references import MAX_SEGMENTS, SCORE, References, fit_references

RNG = np.random.default_rng(41)
POLICY = DriftPolicy(persistence=1)
SHARES = {"AE": 0.7, "OM": 0.25, "QA": 0.05}


def rows(size: int, moved: Sequence[str] = (), by: float = 1.5, rng: np.random.Generator = RNG) -> dict[str, object]:
    country = rng.choice([*SHARES], size, p=[*SHARES.values()])
    amount = rng.normal(size=size) + by * np.isin(country, list(moved))
    return {"country": country, "amount": amount, SCORE: rng.random(size)}


def judged(references: References, columns: dict[str, object]) -> DriftVerdict:
    return judge(references, [references.count(columns)], POLICY)


def test_a_segment_that_moved_is_found_where_the_whole_hardly_did() -> None:
    references = fit_references(rows(10_000), segments=["country"])
    verdict = judged(references, rows(1000, moved=["QA"], by=1.0))
    assert verdict.segments == {"country=AE": "NO_DRIFT", "country=OM": "NO_DRIFT", "country=QA": "INCONCLUSIVE"}
    assert verdict.outcome == "NO_DRIFT"
    verdict = judged(references, rows(2000, moved=["OM"], by=1.0))
    assert verdict.segments["country=OM"] == "DRIFT"
    assert verdict.drifted == ("amount where country=OM", "how amount and country go together")
    assert "amount where country=OM" in verdict.reason


def test_what_moved_everywhere_is_told_once() -> None:
    verdict = judged(fit_references(rows(10_000), segments=["country"]), rows(2000, moved=[*SHARES]))
    assert {"amount", "amount where country=AE", "amount where country=OM"} <= {*verdict.drifted}
    assert verdict.reason == "amount drifted from the version's test rows"


def test_segments_share_one_correction() -> None:
    """Thirty-two segments' questions in 100 windows: about one false alarm is what alpha allows."""
    rng, runs, alarmed = np.random.default_rng(42), 100, 0
    policy = DriftPolicy(alpha=0.05, persistence=1, psi_floor=0.0, rate_floor=0.0)
    for _ in range(runs):
        references = fit_references(rows(1500, rng=rng), segments=["country"])
        alarmed += judge(references, [references.count(rows(1000, rng=rng))], policy).outcome == "DRIFT"
    assert alarmed <= stats.binom.isf(1e-3, runs, 0.05)


def test_of_many_values_the_commonest_are_segments_and_rare_ones_none() -> None:
    shops = [*np.repeat([f"s{n:02}" for n in range(40)], 200), *[f"rare{n}" for n in range(50)]]
    found = fit_references({"shop": shops, "amount": RNG.normal(size=len(shops))}, segments=["shop"]).segments
    assert len(found) == MAX_SEGMENTS
    assert not any("rare" in name for name in found)
    assert set(found["shop=s00"]) == {"amount"}


def test_numbers_arrow_and_lists_make_the_same_segments() -> None:
    values, amounts = [0.0, 1.0, None] * 200, RNG.normal(size=600)
    listed = fit_references({"flag": values, "amount": amounts}, segments=["flag"])
    arrow = fit_references({"flag": pa.chunked_array([values]), "amount": pa.array(amounts)}, segments=["flag"])
    assert listed == arrow
    assert list(listed.segments) == ["flag=0", "flag=1"]


def test_only_what_is_declared_and_not_kept_out_is_looked_at() -> None:
    references = fit_references(rows(2000), segments=["country"])
    assert references.watching(segments=[]).segments == {}
    less = references.watching(without=["amount"], segments=["country"])
    assert {key.rpartition("/")[2] for key in less.cells()} == {"country", SCORE, "*"}
    assert references.watching(without=["country"], segments=["country"]).segments == {}
