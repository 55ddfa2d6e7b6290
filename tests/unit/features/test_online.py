"""The online reader as the gateway has it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import falaj as fj
from falaj.features.entity_key import encode_key, identity_of
from falaj.features.online import OnlineReader
from falaj.features.status import NOT_FOUND, NULL_VALUE, PRESENT
from falaj.storage.keyvalue.lmdb import LmdbStore
from support.feature_worlds import World, make_service, online_store, row


def test_reading_loads_no_dataframe_library_and_no_numpy() -> None:
    code = "import falaj.features.online, sys; print([m for m in ('numpy','pyarrow','pandas') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_rows_of_a_batch_are_independent_and_in_order(tmp_path: Path) -> None:
    spec = make_service(n=fj.count(window="10us"), s=fj.sum("amount", window="10us"), c=fj.column("country"))
    kv = LmdbStore.open(tmp_path / "online", map_gib=0.1)
    rows = [row("x", amount=2.0), row("y", at=1, amount=None, country="AE"), row("z", at=1, a="2")]
    kv.write(online_store(World(spec, rows, [], [])).scan(b"", 100))
    asked: list[tuple[dict[str, Any], int]] = [
        ({"a": "1"}, 2),
        ({"a": "2"}, 2),
        ({"a": "3"}, 2),
        ({"a": None}, 2),
        ({"a": "1"}, 1),
    ]
    answers = OnlineReader(kv).read(spec, [entity for entity, _ in asked], [at for _, at in asked])
    kv.close()
    assert answers.columns == ("v__n", "v__s", "v__c")
    assert answers.values == [[2, 2.0, "AE"], [1, None, None], [0, None, None], [0, None, None], [1, 2.0, "AE"]]
    assert answers.statuses == [
        [PRESENT, PRESENT, PRESENT],
        [PRESENT, NULL_VALUE, NULL_VALUE],
        [NOT_FOUND] * 3,
        [NOT_FOUND] * 3,
        [PRESENT, PRESENT, PRESENT],
    ]
    assert answers.applied_seq == [{"v": 3}, {"v": 3}, {"v": 0}, {"v": 0}, {"v": 3}]


def test_keys_and_identities_have_their_own_bytes() -> None:
    pair = make_service("pair", n=fj.count(window="1s")).views[0]
    keys = [encode_key(pair, {"a": a, "b": b}) for a, b in (("1", "23"), ("12", "3"), ("", "123"), ("123", ""))]
    assert len(set(keys)) == 4
    assert encode_key(pair, {"a": "1", "b": None}) is None
    assert len({identity_of(value) for value in (1, "1", 1.0, True, "int:1")}) == 5
