"""Fairness: rates by group, the gaps between them with intervals, and when a gate knows too little."""

import numpy as np
import pytest

from falaj.definitions.gate import Fairness, fairness
from falaj.models.fairness import Group, Groups, count_groups, widest_gap
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.groups import judge_fairness
from falaj.models.parts import Part, Sides
from falaj.models.proportions import difference, share

FAIR = (Group("F", 1_000, 4_000, 700, 400), Group("M", 2_000, 8_000, 1_400, 800))
UNFAIR = (Group("F", 1_000, 4_000, 400, 200), Group("M", 2_000, 8_000, 1_400, 800))
SMALL = Group("X", 5, 60, 4, 6)
UNKNOWN = Group("(missing)", 50, 100, 50, 100)


def judge(check: Fairness, *groups: Group, left_out: int = 0) -> list[CheckResult]:
    found = Groups("sex", groups, left_out)
    return list(judge_fairness(check, Findings(Part(100, 50), fairness=(found,))))


def outcomes(check: Fairness, *groups: Group) -> list[Outcome]:
    return [result.outcome for result in judge(check, *groups)]


BOTH = fairness("sex", demographic_parity=0.1, equalised_odds=0.1)


def test_planted_a_fair_model_passes_and_an_unfair_one_fails() -> None:
    assert outcomes(BOTH, *FAIR) == [Outcome.PASS, Outcome.PASS]
    assert outcomes(fairness("sex", demographic_parity=0.05, equalised_odds=0.1), *UNFAIR) == ["FAIL", "FAIL"]
    worst = judge(fairness("sex", equalised_odds=0.1), *UNFAIR)[0]
    assert worst.value == pytest.approx(0.3) and "true positive rate of M" in worst.reason


def test_few_rows_decide_nothing() -> None:
    few = (Group("F", 40, 100, 26, 10), Group("M", 40, 100, 28, 11))
    assert outcomes(BOTH, *few) == [Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE]


def test_a_small_group_is_left_out_reported_and_leaves_the_check_open() -> None:
    found = judge(BOTH, *FAIR, SMALL)
    assert [one.outcome for one in found] == [Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE]
    assert "X (5 positives, 60 negatives: too few)" in found[0].reason
    assert outcomes(BOTH, *UNFAIR, SMALL)[1] is Outcome.FAIL  # what is sure stays so
    named = fairness("sex", demographic_parity=0.1, groups=["F", "M"])
    (passed,) = judge(named, *FAIR, SMALL)
    assert passed.outcome is Outcome.PASS and "X (65 rows, not among those to be judged)" in passed.reason
    assert judge(BOTH, *FAIR, left_out=3)[0].outcome is Outcome.INCONCLUSIVE


def test_few_rows_of_no_known_group_are_reported_and_many_leave_the_check_open() -> None:
    """The 150 are 1 % of 15,150 rows, and the 5,000 a fourth."""
    check = fairness("sex", demographic_parity=0.1)
    (found,) = judge(check, *FAIR, UNKNOWN)
    assert found.outcome is Outcome.PASS and "150 rows of no known group (1.0%)" in found.reason
    many = Group("(missing)", 1_000, 4_000, 1_000, 4_000)
    for one in (check, fairness("sex", demographic_parity=0.1, groups=["F", "M"])):
        (found,) = judge(one, *FAIR, many)
        assert found.outcome is Outcome.INCONCLUSIVE
        assert "5,000 rows of no known group (25.0%, more than 5.0%)" in found.reason
    (known,) = judge(fairness("sex", demographic_parity=0.1, max_unknown=0.3), *FAIR, many)
    assert known.outcome is Outcome.PASS and "25.0%" in known.reason
    unfair = fairness("sex", demographic_parity=0.05)
    assert outcomes(unfair, *UNFAIR, many) == [Outcome.FAIL]  # what known rows show stays so


def test_with_declared_groups_the_others_are_reported_with_their_rows() -> None:
    named = fairness("sex", demographic_parity=0.1, groups=["F", "M"])
    found = next(judge_fairness(named, Findings(Part(100, 50), fairness=(Groups("sex", (*FAIR, SMALL), 7, 40),))))
    assert found.outcome is Outcome.PASS  # people named the groups that count
    assert "X (65 rows, not among those to be judged)" in found.reason and "7 rarer groups with 40 rows" in found.reason


def test_a_declared_group_is_counted_however_rare_and_unknown_rows_always() -> None:
    texts = [f"g{n % 60:02}" for n in range(6_000)] + ["rare", "(missing)"]
    sides = Sides(np.tile([0, 1], 3_001), np.full(6_002, 0.6), 0.5)
    found = count_groups("g", texts, sides, ["rare"])
    assert {"rare", "(missing)"} <= {group.value for group in found.groups}
    assert (found.left_out, found.left_out_rows, found.rows, found.unknown) == (10, 1_000, 6_002, 1)


def test_a_missing_group_or_attribute_fails_and_one_group_is_not_enough() -> None:
    assert outcomes(fairness("sex", demographic_parity=0.1, groups=["F", "Q"]), *FAIR) == [Outcome.FAIL]
    assert outcomes(fairness("age", demographic_parity=0.1), *FAIR) == [Outcome.FAIL]
    assert outcomes(fairness("sex", demographic_parity=0.1), FAIR[0]) == [Outcome.INCONCLUSIVE]


def test_counting_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 500), rng.random(500)
    texts = rng.choice(["a", "b", "c"], 500).tolist()
    found = count_groups("g", texts, Sides(labels, scores, 0.6))
    for group in found.groups:
        inside = [(label, score >= 0.6) for text, label, score in zip(texts, labels, scores, strict=True)
                  if text == group.value]  # fmt: skip
        assert group.positives == sum(label for label, _ in inside)
        assert group.true_positives == sum(1 for label, decided in inside if label and decided)
        assert group.false_positives == sum(1 for label, decided in inside if not label and decided)
        assert group.positives + group.negatives == len(inside)


def test_intervals_of_differences_cover_and_fair_groups_fail_seldom() -> None:
    """Five groups of 200 rows that are treated alike: a gap of some size is always seen, and is no proof."""
    rng = np.random.default_rng(1)
    covered = failed = 0
    for _ in range(400):
        hits = rng.binomial(200, 0.3, 5)
        pair = difference((int(hits[0]), 200), (int(hits[1]), 200))
        covered += pair.low <= 0 <= pair.high
        groups = [Group(str(i), 0, 200, 0, int(hits[i])) for i in range(5)]
        failed += widest_gap(groups, "false positive rate").at_least > 0
    assert covered >= 368  # 95 % of 400 are 380; fewer than 368 have a chance of 1 in 300
    assert failed <= 32  # 5 % are 20; more than 32 have a chance of 1 in 200


@pytest.mark.parametrize(("hits", "count"), [(0, 5), (5, 5), (1, 1), (37, 400)])
def test_a_share_lies_within_its_interval(hits: int, count: int) -> None:
    found = share(hits, count)
    assert 0 <= found.low <= found.value <= found.high <= 1 and found.high - found.low > 0
