"""Fairness on the census of adults: a model without sex and race among its inputs still decides by them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pytest

from falaj.definitions.gate import fairness
from falaj.definitions.trainer import lightgbm
from falaj.models.encoding import encode_columns, fit_signature
from falaj.models.evaluation import best_threshold
from falaj.models.fairness import count_groups
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, Outcome
from falaj.models.judgement.groups import judge_fairness
from falaj.models.parts import Sides, measure_part, texts_of
from falaj.models.training.fit import fit

FOLDER = Path(__file__).parents[4] / "shared" / "data"
INPUTS = {"age": "int64", "education-num": "int64", "occupation": "string", "hours-per-week": "int64",
          "capital-gain": "int64"}  # fmt: skip


def part(name: str) -> pa.Table:
    file = FOLDER / f"adult_census_{name}.csv.gz"
    if not file.exists():
        pytest.skip(f"{file.name} is not beside the checkout")
    table = pyarrow.csv.read_csv(file)
    columns = {
        column.strip(): pc.utf8_trim_whitespace(values) if pa.types.is_string(values.type) else values
        for column, values in zip(table.column_names, table.columns, strict=True)
    }
    return pa.table(columns)


def labels_of(table: pa.Table) -> np.ndarray:
    return np.array([text.startswith(">") for text in table["income"].to_pylist()]).astype(np.int64)


@pytest.fixture(scope="module")
def found() -> Findings:
    """The census's own split: 32,561 rows train and 16,281 test."""
    training, test = part("train"), part("test")
    signature = fit_signature({name: training[name] for name in INPUTS}, INPUTS)
    rows = [encode_columns(signature, {name: table[name] for name in INPUTS}) for table in (training, test)]
    fitted = fit(lightgbm(num_trees=60), rows[0], labels_of(training), list(INPUTS))
    threshold = best_threshold(fitted.predict(rows[0]), labels_of(training))
    sides = Sides(labels_of(test), fitted.predict(rows[1]), threshold)
    groups = [count_groups(name, texts_of(test[name].to_pylist()), sides) for name in ("sex", "race")]
    return Findings(measure_part(sides, seed=0, names=["auc"]), fairness=tuple(groups))


def one(found: Findings, attribute: str, bound: float) -> CheckResult:
    return next(judge_fairness(fairness(attribute, demographic_parity=bound), found))


def test_men_and_women_are_decided_about_unlike(found: Findings) -> None:
    assert found.whole.rows == 16_281 and found.whole.intervals["auc"].low > 0.85
    unfair = one(found, "sex", 0.1)
    assert unfair.outcome is Outcome.FAIL and "selection rate of Male" in unfair.reason
    assert one(found, "sex", 0.25).outcome is Outcome.PASS


def test_of_small_groups_nothing_is_claimed(found: Findings) -> None:
    result = one(found, "race", 0.4)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert "Amer-Indian-Eskimo (19 positives" in result.reason and "Other (25 positives" in result.reason
