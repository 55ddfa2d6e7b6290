"""Customer velocity and terminal risk on the real card stream: what a model on them is worth.

`python bench/terminal_risk.py` takes the definitions of `docs/how-to/terminal-risk.md` and all rows of
`../shared/data/card_transactions_stream.parquet`, trains in a temporary folder and prints AUC and average precision as
training found them, and card precision at 100, computed from the scores of the test rows.
"""

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from card_precision import Payments, card_precision
from project import Commands

_ROOT = Path(__file__).resolve().parents[1]
DATA = _ROOT.parent / "shared" / "data" / "card_transactions_stream.parquet"
_PAGE = _ROOT / "docs" / "how-to" / "terminal-risk.md"


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=DATA, help="the payments")
    file = parser.parse_args().file
    if not file.exists():
        sys.exit(f"{file} is not there")
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        folder = Path(name)
        (folder / "data").mkdir()
        (folder / "falaj.toml").write_text('[project]\nname = "risk"\n')
        (folder / "risk.py").write_text(definitions())
        shutil.copy(file, folder / "data")
        report(folder, file)


def definitions() -> str:
    """Return the definitions of the page."""
    found = re.search(r"^```python\n(.*?)^```", _PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None, _PAGE
    return found[1]


def report(folder: Path, file: Path) -> None:
    """Train the model of a prepared project and print what it is worth."""
    commands = Commands(folder)
    commands.run("apply")
    done = commands.run("train", "fraud")
    result = commands.run("runs", "show", done["run_id"])["result"]
    scored = pq.read_table(next((folder / ".falaj").glob(f"blobs/**/{result['evaluate']['scores']}*")))
    rows = pq.read_table(file, columns=["TX_DATETIME", "CUSTOMER_ID", "TX_FRAUD"])
    known = Payments(
        rows["TX_DATETIME"].to_numpy().astype("datetime64[us]").astype(np.int64),
        rows["CUSTOMER_ID"].to_numpy(),
        rows["TX_FRAUD"].to_numpy(),
    )
    tested = Payments(
        scored["event_timestamp"].to_numpy().astype("datetime64[us]").astype(np.int64),
        scored["CUSTOMER_ID"].to_numpy(),
        scored["label"].to_numpy(),
    )
    cards = card_precision(tested, scored["score"].to_numpy(), known)
    print(
        f"rows {done['rows']['dataset']:,}, of them test {len(scored):,}, fraud among those {tested.fraud.sum():,.0f}"
    )
    for metric in ("auc", "average_precision"):
        print(f"{metric}: {done['metrics'][metric]:.4f}")
    print(f"card_precision_at_100: {cards['card_precision']:.4f}, at best {cards['best_possible']:.4f}")
    print(f"  over {cards['days']:.0f} days, each of {cards['cards_a_day']:.0f} cards not known as compromised")
    print(f"stage: train {done['seconds']:.1f}")


if __name__ == "__main__":
    main()
