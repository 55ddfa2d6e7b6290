"""How far a feed was taken, as commands show it."""

from falaj.cli.source import feed_lines
from falaj.data.report import FeedState, Partition

FEED = FeedState(
    (Partition("a#1", 10, 10), Partition("b#2", 0, 2_500), Partition("gone#3", 7), Partition("c#4", 4, 4)),
    {"d.jsonl": "cannot be read: Permission denied"},
)


def test_what_is_left_comes_first_and_what_is_gone_is_left_out() -> None:
    assert feed_lines(FEED) == [
        "b#2: taken up to 0 of 2,500",
        "a#1: taken up to 10 of 10",
        "c#4: taken up to 4 of 4",
        "d.jsonl cannot be read: Permission denied",
    ]


def test_of_many_only_some_are_shown_and_every_problem() -> None:
    assert feed_lines(FEED, 1) == [
        "b#2: taken up to 0 of 2,500",
        "and 2 more: 'falaj source list' shows them",
        "d.jsonl cannot be read: Permission denied",
    ]
    assert feed_lines(FeedState()) == []
