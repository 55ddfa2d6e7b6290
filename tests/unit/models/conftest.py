from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest

from falaj.definitions.trainer import lightgbm
from falaj.models.card_facts import CardFacts
from falaj.models.encoding import encode_columns, fit_signature
from falaj.storage.blobs.memory import MemoryBlobs
from unit.models.rows import Rows
from unit.models.rows import card_facts as make_card_facts

FILE = Path(__file__).parents[4] / "shared" / "data" / "credit_card_fraud_10k.csv"
DTYPES = {
    "amount": "float64", "transaction_hour": "int64", "merchant_category": "string", "foreign_transaction": "int64",
    "location_mismatch": "int64", "device_trust_score": "int64", "velocity_last_24h": "int64",
    "cardholder_age": "int64",
}  # fmt: skip


@pytest.fixture(scope="session")
def credit_card() -> Rows:
    """The real file of 10,000 card transactions, where it is there."""
    if not FILE.exists():
        pytest.skip(f"{FILE.name} is not beside the checkout")
    table = pyarrow.csv.read_csv(FILE)
    columns = {name: table[name] for name in DTYPES}
    signature = fit_signature(columns, DTYPES)
    return Rows(signature, encode_columns(signature, columns), table["is_fraud"].to_numpy())


@pytest.fixture(scope="session")
def noise() -> Rows:
    """600 seeded rows of four features, the first two of which decide together."""
    rng = np.random.default_rng(5)
    matrix = rng.normal(size=(600, 4)).astype(np.float32)
    labels = (matrix[:, 0] + 2 * matrix[:, 1] + rng.normal(size=600) > 1).astype(np.int64)
    columns = {f"x{i}": matrix[:, i] for i in range(4)}
    return Rows(fit_signature(columns, dict.fromkeys(columns, "float64")), matrix, labels)


@pytest.fixture(scope="session")
def card_facts(noise: Rows) -> CardFacts:
    return make_card_facts(noise, lightgbm(num_trees=20), MemoryBlobs())
