"""What a step gave, as a person reads it: short on one line, nested indented, records as a table."""

from typing import Any

from falaj.cli.value_text import value_lines

TRIALS: list[dict[str, Any]] = [
    {
        "number": n,
        "params": {"num_leaves": 4 + n, "rate": 0.1 / 3},
        "value": None if n else 0.87,
        "seen": [[n, 0.1]] * 40,
    }
    for n in range(60)
]


def test_trials_are_a_table_of_aligned_columns() -> None:
    lines = list(value_lines("tune", {"trials": TRIALS, "best": 0, "metric": "auc"}))
    assert lines[:2] == ["tune", "  trials"]
    head, first, second = lines[2:5]
    assert head.split() == ["number", "params.num_leaves", "params.rate", "value", "seen"]
    assert first.split()[:4] == ["0", "4", "0.0333333", "0.87"]
    assert second[: head.index("seen")].split() == ["1", "5", "0.0333333"]
    assert max(map(len, lines)) < 120
    assert lines[-3:] == ["    and 10 more: --json has all", "  best  0", '  metric  "auc"']


def test_what_is_short_or_no_record_stays_what_it_is() -> None:
    assert list(value_lines("sum", 7)) == ["sum  7"]
    assert list(value_lines("text", "a" * 300)) == [f'text  "{"a" * 300}"']
    assert list(value_lines("none", [])) == ["none  []"]
    mixed = list(value_lines("mixed", [1, {"a": "b" * 99}, [2]]))
    assert mixed == ["mixed", "  0  1", "  1", f'    a  "{"b" * 99}"', "  2  [2]"]


def test_no_value_steers_the_terminal() -> None:
    evil = "\x1b[2J\nPASS"
    lines = list(value_lines(evil, [{evil: evil, "more": "x" * 200}]))
    assert all(line.isprintable() for line in lines)
