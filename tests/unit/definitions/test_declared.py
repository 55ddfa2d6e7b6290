"""What a project's files make is of its types, or refused where it is made."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

import falaj as fj
from falaj.definitions.monitor import Monitor
from falaj.definitions.project import KINDS
from falaj.kernel.errors import DefinitionError, FalajError
from falaj.kernel.settings import Settings
from falaj.lifecycle.project import load_definitions

WRONG: list[tuple[Any, str, str]] = [
    (lambda wrong: fj.monitor(psi_floor=wrong("0.2")), "monitor: psi_floor is '0.2'", "give a number"),
    (
        lambda wrong: fj.tuned(fj.lightgbm(), {"num_leaves": wrong([4, 64])}),
        r"tuning: space\['num_leaves'\] is \[4, 64\]",
        "give fj.search.int(...) or fj.search.float(...) or fj.search.choice(...)",
    ),
    (
        lambda wrong: fj.tuned(fj.lightgbm(), {"a": fj.search.int(1, 2)}, prune=wrong("medan")),
        "tuning: prune is 'medan'",
        "did you mean 'median'?",
    ),
    (lambda wrong: fj.tuned(fj.lightgbm(), wrong(["num_leaves"])), "tuned trainer: a trainer and a dict", "write fj"),
    (lambda wrong: fj.tuned(wrong("lightgbm"), {}), "tuned trainer: a trainer and a dict", "write fj"),
    (lambda wrong: fj.Parquet(wrong(Path("a.parquet"))), "parquet: path is PosixPath", "give a text"),
    (lambda wrong: fj.Cost(wrong(None), 5), "cost: false_positive is None", "give a number"),
    (lambda wrong: fj.Cost(1, 5, **wrong({"wrong": 1})), "cost: there is no field 'wrong'", "known: "),
    (
        lambda wrong: fj.FeatureService("s", [wrong("view")]),
        r"feature service 's': features\[0\] is 'view'",
        "give fj.FeatureView(...)",
    ),
    (lambda wrong: fj.WarmStart(rounds=wrong(1.5)), "warm start: rounds is 1.5", "give a whole number"),
]


@pytest.mark.parametrize(("declare", "message", "hint"), WRONG, ids=[message for _, message, _ in WRONG])
def test_a_value_of_another_type_is_refused_with_its_field(declare: Any, message: str, hint: str) -> None:
    with pytest.raises(DefinitionError, match=message) as told:
        declare(lambda value: value)
    assert told.value.hint.startswith(hint)


def test_the_line_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text("import falaj as fj\n\n\nWATCH = fj.monitor(psi_floor='0.2')\n")
    with pytest.raises(FalajError, match=r"^watch.py:4: monitor: psi_floor is '0.2'"):
        load_definitions(tmp_path, Settings())


def test_every_kind_of_definition_is_checked() -> None:
    for kind in KINDS:
        with pytest.raises(DefinitionError, match="there is no field 'nothing'"):
            kind(nothing=1)


def test_what_a_check_of_its_own_refuses_keeps_its_words() -> None:
    with pytest.raises(DefinitionError, match="is out of range"):
        fj.monitor(persistence=0)
    assert msgspec.json.decode(msgspec.json.encode(fj.monitor(alpha=1e-3)), type=Monitor).alpha == 1e-3
