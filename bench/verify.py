"""A consistency check on the real card stream: how long it takes, and how much memory beyond what the process has.

`python bench/verify.py` puts `../shared/data/card_transactions_stream.parquet` into a table, computes the features of
500 decisions of the last days offline, each as if all payments before it had been applied and none after it, and
verifies them as the schedule does: over customer velocity and terminal risk, then over a view without an entity too.
"""

import argparse
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from terminal_risk import DATA, definitions

import falaj as fj
from falaj.definitions.prediction_record import PredictionRecord
from falaj.definitions.service_spec import ServiceSpec
from falaj.features.compile import compile_service
from falaj.features.consistency import verify
from falaj.features.offline import training_frame
from falaj.storage.tables.delta import DeltaTables

_SCHEMA = {
    "TRANSACTION_ID": "int64", "TX_DATETIME": "timestamp", "CUSTOMER_ID": "int64", "TERMINAL_ID": "int64",
    "TX_AMOUNT": "float64", "TX_FRAUD": "int64",
}  # fmt: skip
_INSTANT = pa.timestamp("us", "UTC")
_TABLE = "source/transactions"
_MIB = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=500)
    options = parser.parse_args()
    known: dict[str, object] = {}
    exec(definitions(), known)  # noqa: S102 - a page of this repository
    rate = fj.FeatureView(
        "rate", None, known["transactions"],
        features={"count_1h": fj.count(window="1h"), "count_7d": fj.count(window="7d"),
                  "fraud_7d": fj.mean("TX_FRAUD", window="7d")}, delay="7d",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="falaj-bench-") as name:
        tables = DeltaTables(Path(name))
        tables.append(_TABLE, _rows())
        for label, views in (("entities", ["velocity", "risk"]), ("and_without_entity", ["velocity", "risk", rate])):
            chosen = [known[view] if isinstance(view, str) else view for view in views]
            spec = compile_service(fj.FeatureService("s", chosen), {"transactions": _SCHEMA})
            records = _decisions(tables, spec, options.decisions)
            pa.default_memory_pool().release_unused()
            _measure(label, tables, spec, records)


def _rows() -> pa.Table:
    rows = pq.read_table(DATA, columns=list(_SCHEMA))
    at = rows["TX_DATETIME"].cast(pa.timestamp("us"), safe=False).cast(pa.int64()).cast(_INSTANT)
    rows = rows.set_column(rows.column_names.index("TX_DATETIME"), "TX_DATETIME", at)
    rows = rows.append_column("_event_ts", at).append_column("_created", pa.nulls(len(rows), _INSTANT))
    return rows.append_column("_ingest_seq", pa.array(np.arange(1, len(rows) + 1)))


def _decisions(tables: DeltaTables, spec: ServiceSpec, count: int) -> list[PredictionRecord]:
    """Return decisions about payments of the last days, with the features that the offline engine gives."""
    rows = tables.read(_TABLE).to_table().sort_by("_ingest_seq")
    last = np.sort(np.random.default_rng(1).choice(20_000, count, replace=False)) + len(rows) - 20_000
    asked = rows.take(last).select(["CUSTOMER_ID", "TERMINAL_ID", "TX_DATETIME"])
    frame = asked.rename_columns(["CUSTOMER_ID", "TERMINAL_ID", "event_timestamp"])
    features = training_frame(spec, frame, {"transactions": rows}).select([name for name, _ in spec.outputs])
    instants = asked["TX_DATETIME"].cast(pa.int64()).to_pylist()
    keys = asked.select(["CUSTOMER_ID", "TERMINAL_ID"]).to_pylist()
    return [
        PredictionRecord(f"r{at}", "", "e", "v", "live", "m", 1, 1, "u", at, at, 0, key, {}, list(values.values()),
                         {"*": "PRESENT"}, {view.name: before for view in spec.views}, 0.5)
        for at, key, values, before in zip(instants, keys, features.to_pylist(), last.tolist(), strict=True)
    ]  # fmt: skip


def _measure(label: str, tables: DeltaTables, spec: ServiceSpec, records: list[PredictionRecord]) -> None:
    before, most, done = _resident(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            most[0] = max(most[0], _resident() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    began, cpu = time.perf_counter(), time.process_time()
    report = verify(records, {("m", 1): spec}, lambda source: tables.read(f"source/{source}"))
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    done.set()
    watching.join()
    print(f"{label}: {report.verdict.outcome}, {report.compared:,} values of {report.decisions} decisions")
    print(f"stage: verify_{label} {seconds:.2f}")
    print(f"  {cpu_s:.2f} s of CPU, at most {most[0] / _MIB:.0f} MiB more")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    main()
