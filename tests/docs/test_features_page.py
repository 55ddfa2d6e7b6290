"""The page on features, as it stands: its definitions load as a project's file does, and compile."""

import re
import runpy
from pathlib import Path

from falaj.definitions.project import collect
from falaj.features.compile import compile_service, compile_view

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-feature.md"
BEFORE = """\
import numpy as np
import falaj as fj

customer = fj.Entity("customer", key="customer_id")
transactions = fj.Source("transactions", stream=fj.Push(), timestamp="event_time",
                         schema={"customer_id": "string", "event_time": "timestamp", "amount": "float64"})
"""
AFTER = """
tills = fj.FeatureService("tills", [till_activity, customer_activity, amount_to_max, fj.request("amount")])
"""
RECEIPTS = {
    "receipt_id": "string",
    "shop": "string",
    "till_number": "int64",
    "customer_id": "string",
    "total": "float64",
    "tax": "float64",
    "printed_at": "timestamp",
}


def test_the_page_loads_and_compiles(tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    file = tmp_path / "page.py"
    file.write_text("\n".join([BEFORE, *blocks, AFTER]), "utf-8")
    found = collect((f"page: {name}", value) for name, value in runpy.run_path(str(file)).items())
    schemas = {"receipts": RECEIPTS, "transactions": dict(found.source("transactions").schema)}
    service = compile_service(found.feature_services["tills"], schemas)
    assert service.entity_keys == (("shop", "string"), ("till_number", "int64"), ("customer_id", "string"))
    assert [feature.sketch for feature in service.views[0].features] == [None, None, "hll", "kll"]
    for view in found.feature_views.values():
        assert compile_view(view, schemas[view.source.name]).features
