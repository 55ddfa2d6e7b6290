"""Gates on real data: fairness on the census of adults, and what auc and F1 the file of card payments allows.

`python bench/gates.py` trains in temporary folders by the definitions in `bench/gates/` on files of `../shared/data`,
and prints the checks of each gate with their reasons, then lines `gate: NAME VALUE (LOW to HIGH)`.
"""

import csv
import gzip
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from project import Commands

_HERE = Path(__file__).resolve().parent
DATA = _HERE.parents[1] / "shared" / "data"
SEEDS = range(1, 5)
_GATE_DID_NOT_PASS = 3


def main() -> None:
    """Train and print."""
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = begun(Path(name) / "people", "people.py")
        write_people(folder / "data" / "people.csv")
        show("census", trained(folder, "income"), ("auc", "f1", "ece"))
        for seed in SEEDS:
            os.environ["BENCH_SEED"] = str(seed)
            folder = begun(Path(name) / f"payments{seed}", "payments.py")
            shutil.copy(DATA / "credit_card_fraud_10k.csv", folder / "data" / "payments.csv")
            show(f"payments_seed_{seed}", trained(folder, "fraud"), ("auc", "f1", "precision", "recall"))


def begun(folder: Path, definitions: str) -> Path:
    """Make a project of one of the files of definitions."""
    (folder / "data").mkdir(parents=True)
    (folder / "falaj.toml").write_text('[project]\nname = "gates"\n', encoding="utf-8")
    shutil.copy(_HERE / "gates" / definitions, folder)
    return folder


def trained(folder: Path, model: str) -> dict[str, Any]:
    """Train, and return the gate report."""
    commands = Commands(folder)
    commands.run("apply")
    commands.run("train", model, codes=(0, _GATE_DID_NOT_PASS))
    found: dict[str, Any] = commands.run("models", "show", model, "1")["gate"]
    return found


def show(name: str, report: dict[str, Any], metrics: tuple[str, ...]) -> None:
    """Print what a gate found."""
    for check in report["checks"]:
        print(f"  {check['outcome']:<12} {check['name']}: {check['reason']}")
    whole = report["findings"]["whole"]
    print(f"gate: {name}_rows {whole['rows']} of which {whole['positives']} positive")
    for metric in metrics:
        interval = whole["intervals"][metric]
        value = whole["metrics"][metric]
        print(f"gate: {name}_{metric} {value:.4f} ({interval['low']:.4f} to {interval['high']:.4f})")


def write_people(path: Path) -> None:
    """Write both parts of the census as one table, with names that columns may have and labels of 0 and 1."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["person_id", "age", "workclass", "education_years", "education_level", "occupation", "race", "sex",
             "capital_gain", "capital_loss", "hours_per_week", "income"]
        )  # fmt: skip
        for number, row in enumerate(_adults()):
            years = int(row["education-num"])
            level = "school" if years < 9 else "high school" if years < 13 else "university"
            writer.writerow(
                [number, row["age"], row["workclass"], years, level, row["occupation"], row["race"], row["sex"],
                 row["capital-gain"], row["capital-loss"], row["hours-per-week"], int(row["income"].startswith(">"))]
            )  # fmt: skip


def _adults() -> Iterator[dict[str, str]]:
    for part in ("train", "test"):
        with gzip.open(DATA / f"adult_census_{part}.csv.gz", "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                yield {name.strip(): (value or "").strip() for name, value in row.items()}


if __name__ == "__main__":
    main()
