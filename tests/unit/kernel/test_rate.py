"""Rates read what people write, and say what they cannot read."""

from pathlib import Path

import pytest

from falaj.kernel.errors import DefinitionError, ProjectError
from falaj.kernel.rate import Rate
from falaj.kernel.settings import load_settings


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1000/s", Rate(1000, 1_000_000, 1000)),
        ("5/m burst 20", Rate(5, 60_000_000, 20)),
        ("1/h", Rate(1, 3_600_000_000, 1)),
    ],
)
def test_a_rate_is_read_and_written(text: str, rate: Rate) -> None:
    assert Rate.parse(text) == rate
    assert Rate.parse(rate.text) == rate


@pytest.mark.parametrize("text", ["", "1000", "1000/d", "-1/s", "0/s", "1/s burst 0", "1.5/s", "1/s  burst 2", "1/s\n"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError, match="rate = "):
        Rate.parse(text)


def test_a_tenants_limit_that_is_none_is_named(tmp_path: Path) -> None:
    folder = tmp_path
    (folder / "falaj.toml").write_text('[limits]\ntenants = { shop = "many" }\n')
    with pytest.raises(ProjectError, match=r"tenants.shop = 'many' is not a rate"):
        load_settings(folder, {})
    (folder / "falaj.toml").write_text('[limits]\ntenants = { shop = "10/s" }\n')
    assert load_settings(folder, {}).limits.tenants == {"shop": "10/s"}
