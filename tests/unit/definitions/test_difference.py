"""Differences: the part that changed is there to be seen, however long what surrounds it is."""

import pytest

from falaj.definitions.difference import differences

LONG = "SELECT card_id, amount, country, CASE WHEN amount > 100 THEN 'high' ELSE 'low' END AS level FROM tx"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (LONG, LONG.replace("> 100", "> 250"), ("100", "250")),
        (LONG, LONG.replace("FROM tx", "FROM other"), ("tx", "other")),
        (LONG, LONG + " WHERE amount > 0", ("FROM tx", "WHERE amount > 0")),
        (LONG, LONG.replace("amount, ", ""), ("amount, country", "card_id, country")),
        (["a" * 40, "b" * 40], ["a" * 40, "c" * 40], ("bbbb", "cccc")),
        ("short", LONG, ("'short'", "SELECT")),
    ],
)
def test_what_changed_is_shown(old: object, new: object, said: tuple[str, str]) -> None:
    (line,) = differences({"sql": old}, {"sql": new})
    before, _, after = line.removeprefix("~ sql: ").partition(" -> ")
    assert said[0] in before
    assert said[1] in after
    assert max(len(before), len(after)) <= 66
