"""The measured project, made from nothing: data, definitions, two trained versions, an endpoint that serves both."""

import json
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_HERE = Path(__file__).parent
_DAY_US = 86_400_000_000
EVENTS_PER_CARD = 200
_SPAN_US = 30 * _DAY_US


class Commands:
    """Runs `falaj` in one project, and shows each command and its time.

    Args:
        folder: The project.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, codes: tuple[int, ...] = (0,)) -> Any:
        """Run a command with `--json` and return what it printed.

        Args:
            words: The command.
            codes: The exit codes that are no failure.

        Raises:
            SystemExit: It failed; its own words say why.
        """
        began = time.perf_counter()
        shown = shlex.join("TOKEN" if word.startswith("flj_") else word for word in words)
        print(f"$ falaj {shown}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", "falaj.cli.main", *words, "--json", "--project", str(self.folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in codes:
            raise SystemExit(f"bench: falaj {shown} ended with {done.returncode}\n{done.stdout}{done.stderr}")
        print(f"  {time.perf_counter() - began:.1f} s", flush=True)
        return json.loads(done.stdout)


class Measured(NamedTuple):
    """What is ready to be measured.

    Attributes:
        folder: The project.
        port: The gateway's.
        token: May ask the endpoint, and read the metrics.
        bodies: A file with one request body a line, one for each card.
    """

    folder: Path
    port: int
    token: str
    bodies: Path


def free_port() -> int:
    """Return a TCP port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port


def prepare(folder: Path, cards: int) -> Measured:
    """Make the project and bring two versions of its model behind one endpoint, half of the units each."""
    port = free_port()
    text = f'[project]\nname = "bench"\n\n[gateway]\nport = {port}\n\n[control]\nport = {free_port()}\n'
    (folder / "falaj.toml").write_text(text)
    definitions = folder / "cards.py"
    shutil.copy(_HERE / "cards" / "cards.py", definitions)
    _write_data(folder / "data", cards)
    falaj = Commands(folder)
    for words in (("apply",), ("ingest",), ("features", "materialise"), ("train", "cards")):
        falaj.run(*words)
    approver = falaj.run("token", "create", "--actor", "second-person", "--role", "approver")["token"]
    falaj.run("approve", "cards", "1", "--token", approver)
    falaj.run("deploy", "cards")
    definitions.write_text(definitions.read_text().replace("eta=0.3", "eta=0.2"))
    for words in (("apply",), ("train", "cards"), ("approve", "cards", "2", "--token", approver), ("deploy", "cards")):
        falaj.run(*words)
    made = falaj.run("token", "create", "--actor", "load", "--role", "service", "--scope", "endpoint.predict@cards")
    return Measured(folder, port, made["token"], _write_bodies(folder / "bodies.jsonl", cards))


def _write_data(folder: Path, cards: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(1)
    now_us = time.time_ns() // 1000
    holders = _holders(rng, cards, now_us)
    pq.write_table(holders, folder / "holders.parquet")
    pq.write_table(_transactions(rng, cards, now_us, holders), folder / "transactions.parquet")


def _holders(rng: np.random.Generator, cards: int, now_us: int) -> pa.Table:
    updated = pa.array(np.full(cards, now_us - 2 * _SPAN_US), pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "card_id": [_name(i) for i in range(cards)],
            "updated_at": updated,
            "age": rng.integers(18, 90, cards),
            "income": np.round(rng.lognormal(9.5, 0.6, cards), 2),
            "credit_limit": np.round(rng.lognormal(8.5, 0.5, cards), 2),
            "tenure_days": rng.integers(1, 5_000, cards),
            "score": np.round(rng.normal(650, 80, cards), 1),
            "cards": rng.integers(1, 6, cards),
        }
    )


def _transactions(rng: np.random.Generator, cards: int, now_us: int, holders: pa.Table) -> pa.Table:
    events = cards * EVENTS_PER_CARD
    owner = rng.permutation(np.repeat(np.arange(cards), EVENTS_PER_CARD))
    at = np.sort(now_us - rng.integers(1, _SPAN_US, events))
    amount = np.round(rng.lognormal(3.5, 1.0, events), 2)
    score = holders["score"].to_numpy()[owner]
    # Noise beside the signal lets every tree grow to its full depth.
    risk = np.log(amount) - 3.5 + (650 - score) / 160 + rng.normal(0, 1.0, events)
    stamps = pa.array(at, pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "transaction_id": np.arange(events),
            "card_id": pa.array([_name(i) for i in owner.tolist()]),
            "event_time": stamps,
            "ingested_at": stamps,
            "amount": amount,
            "is_fraud": (risk > 1.5).astype(np.int64),
        }
    )


def _write_bodies(path: Path, cards: int) -> Path:
    rng = np.random.default_rng(2)
    amounts = np.round(rng.lognormal(3.5, 1.0, cards), 2).tolist()
    lines = [
        json.dumps({"entities": {"card_id": _name(card)}, "request": {"amount": amounts[card]}}, separators=(",", ":"))
        for card in rng.permutation(cards).tolist()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def _name(card: int) -> str:
    return f"card-{card:06d}"
