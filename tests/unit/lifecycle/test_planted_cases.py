"""Planted cases through the whole of the gate: rows come in, a version is trained, and the report says what it is."""

from pathlib import Path

import numpy as np
import pytest

import falaj as fj
from falaj.app.operations.model import train
from falaj.app.values.model import Train
from falaj.models.gate_report import CheckResult, GateReport, Outcome
from falaj.pipelines.runs import RunState
from support.rooms_work import work_to_its_end
from support.rooms_world import ADA, World, event, opened
from unit.lifecycle.test_gate_evidence import filled, gated, promoted, trained

BLIND = fj.lightgbm(num_trees=1, num_leaves=2, min_data_in_leaf=600)
OTHER = fj.lightgbm(num_trees=12, min_data_in_leaf=8, seed=5)
SOUND = fj.gate.at_least("auc", 0.6)


def found(report: GateReport, words: str) -> CheckResult:
    """The one check whose name has the words."""
    (check,) = [check for check in report.checks if words in check.name]
    return check


def few(world: World, rows: int) -> World:
    """Few rows, by which versions that are alike cannot be told apart; a dozen of them are of sex Z."""
    rng = np.random.default_rng(2)
    world.clock.advance(500_000)
    events = []
    for n, amount in enumerate(rng.normal(50, 20, rows).tolist()):
        label = int(amount + 8 * rng.normal() > 60)
        sex = "Z" if n % (rows // 12) == 0 else "FM"[n % 2]
        events.append(event(n * 5, label, amount=amount, card_id=f"c{n % 3}", sex=sex, copy=label + 0.2 * rng.normal()))
    world.push(*events)
    return world


def test_a_leaky_feature_fails_though_it_is_not_the_label_itself(tmp_path: Path) -> None:
    """The label with noise: it decides nearly every row, and says none in so many words."""
    with opened(tmp_path, gated(SOUND, fj.gate.no_leak(auc=0.95), more=[fj.request("copy")])) as world:
        version, report = trained(few(world, 1_500))
        leak = found(report, "no feature alone")
        assert leak.outcome is Outcome.FAIL and "copy" in leak.reason
        assert found(report, "no feature is the label").outcome is Outcome.PASS
        assert found(report, "auc >= 0.6").outcome is Outcome.PASS and version.gate_outcome is Outcome.FAIL


def test_a_worse_model_than_production_fails(tmp_path: Path) -> None:
    gates = (SOUND, fj.gate.no_worse_than_production("auc", by=0.01))
    with opened(tmp_path, gated(*gates)) as world:
        first, report = trained(filled(world))
        missing = found(report, "no worse than production")  # the missing baseline: said, and no reason to stay
        assert missing.outcome is Outcome.SKIPPED and missing.reason == "nothing is in production to compare with"
        assert first.gate_outcome is Outcome.PASS and report.baseline_version is None
        promoted(world, first)
        world.apply(gated(*gates, trainer=BLIND))
        version, report = trained(world)
        worse = found(report, "no worse than production")
        assert worse.outcome is Outcome.FAIL and worse.high is not None and worse.high < -0.01
        assert version.gate_outcome is Outcome.FAIL and report.baseline_version == first.version


def test_a_noisy_tie_is_inconclusive_and_says_how_many_rows_would_decide_it(tmp_path: Path) -> None:
    gates = (SOUND, fj.gate.no_worse_than_production("auc", by=0.002), fj.gate.at_least("auc", 0.95, by_interval=True))
    with opened(tmp_path, gated(*gates[:2])) as world:
        first, _ = trained(few(world, 900))
        promoted(world, first)
        world.apply(gated(*gates, trainer=OTHER))
        version, report = trained(world)
        tie = found(report, "no worse than production")
        assert tie.outcome is Outcome.INCONCLUSIVE and version.gate_outcome is Outcome.INCONCLUSIVE
        assert tie.low is not None and tie.high is not None and tie.low < -0.002 < tie.high
        assert tie.rows_needed is not None and tie.rows_needed > report.findings.whole.rows
        assert "test rows like these would decide" in tie.reason


def test_an_unfair_model_fails_though_it_never_saw_the_attribute(tmp_path: Path) -> None:
    check = fj.gate.fairness("sex", demographic_parity=0.05, groups=["F", "M"], min_positives=20)
    with opened(tmp_path, gated(SOUND, check)) as world:
        version, report = trained(filled(world, unfair=True))
        unfair = found(report, "demographic parity")
        assert unfair.outcome is Outcome.FAIL and "of M" in unfair.reason
        assert "X (" in unfair.reason and "not among those to be judged" in unfair.reason
        assert version.gate_outcome is Outcome.FAIL


def test_a_tiny_slice_is_inconclusive_and_is_named_with_its_rows(tmp_path: Path) -> None:
    with opened(tmp_path, gated(fj.gate.at_least("auc", 0.6, slices=["sex"]))) as world:
        version, report = trained(few(world, 900))
        tiny = found(report, "where sex = Z")
        assert tiny.outcome is Outcome.INCONCLUSIVE and "too few to judge; 10 of each are needed" in tiny.reason
        assert {found(report, f"where sex = {sex}").outcome for sex in "FM"} == {Outcome.PASS}
        assert version.gate_outcome is Outcome.INCONCLUSIVE


ODD = """\
import numpy as np

class Net:
    def load(self, folder):
        pass

    def predict(self, matrix):
        return np.where(matrix[:, -1] > 60, ANSWER, 0.5)
"""


@pytest.mark.parametrize(
    ("answer", "said"),
    [("np.nan", "a score is not a number"), ("7.0", "a score is 7, and a classification's is the probability of 1")],
)
def test_a_model_that_answers_what_is_no_probability_makes_no_version(tmp_path: Path, answer: str, said: str) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.py").write_text(ODD.replace("ANSWER", answer))
    with opened(tmp_path, gated(SOUND, trainer=fj.python("net:Net", folder=str(tmp_path / "net")))) as world:
        run = work_to_its_end(few(world, 900), train(world.rooms, ADA, Train("fraud")).run_id)
        assert run.state is RunState.FAILED and said in (run.error or "")
        assert world.rooms.registry.versions("fraud") == []
