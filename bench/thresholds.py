"""What a threshold by cost costs on test rows, by the rows that chose it.

`python bench/thresholds.py` trains boosted trees on the file of adults in `../shared/data`, and prints lines
`threshold: WHO VALUE, COST a row`: chosen on the rows that the trees were fitted to, on a fifth that another fit did
not see (as a version's is), by the costs alone, and the best that test rows would have chosen.
"""

import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

import falaj as fj
from falaj import steps

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "adult_census_train.csv.gz"
ROWS = 12_000
NUMBERS = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week", "fnlwgt"]
COST = fj.Cost(false_positive=5, false_negative=50)
TREES = fj.lightgbm(num_trees=300, num_leaves=63)


def main() -> None:
    """Train, choose and print."""
    if not DATA.is_file():
        sys.exit(f"{DATA} is not there")
    with pa.CompressedInputStream(pa.OSFile(str(DATA)), "gzip") as stream:
        rows = pyarrow.csv.read_csv(stream).slice(0, ROWS)
    label = pc.cast(pc.equal(pc.utf8_trim_whitespace(rows["income"]), ">50K"), pa.int64())
    parts = steps.split(rows.drop_columns(["income"]).append_column("high", label), "high")
    known = steps.split(parts["train"], "high")
    model = steps.train(parts["train"], "high", features=NUMBERS, trainer=TREES)
    rehearsed = steps.train(known["train"], "high", features=NUMBERS, trainer=TREES)
    scored = steps.predict(model, parts["test"])
    scores, labels = (scored.column(name).to_numpy() for name in ("score", "high"))

    def cost(threshold: float) -> float:
        chosen = scores >= threshold
        return float(np.mean(5 * (chosen & (labels == 0)) + 50 * (~chosen & (labels == 1))))

    chosen = {
        "fitted rows": steps.choose_threshold(model, parts["train"], COST),
        "a fifth kept from another fit": steps.choose_threshold(rehearsed, known["test"], COST),
        "the costs alone": 5 / 55,
        "the test rows": min(np.linspace(0.001, 0.9, 900), key=cost),
    }
    for who, threshold in chosen.items():
        print(f"threshold: {who} {threshold:.4f}, {cost(threshold):.2f} a row")


if __name__ == "__main__":
    main()
