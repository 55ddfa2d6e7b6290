"""Files that are followed: whole lines only, known by their first, whatever happens to their names."""

import os
from pathlib import Path

import pytest

from falaj.storage.feeds import files
from falaj.storage.feeds.files import FileFeed


@pytest.fixture
def feed(tmp_path: Path) -> FileFeed:
    return FileFeed(tmp_path / "*.jsonl", tmp_path)


def put(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def taken(feed: FileFeed, limit: int = 100) -> list[tuple[str, int, bytes]]:
    return [(b.place, p.position, p.data) for b in feed.poll(limit, 0) for p in b.payloads]


def kept(feed: FileFeed) -> dict[str, int]:
    return {batch.partition: batch.payloads[-1].following for batch in feed.poll(100, 0)}


def test_a_line_comes_when_it_is_whole(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b'{"a"')
    assert taken(feed) == []
    put(tmp_path / "a.jsonl", b": 1}\n{")
    assert taken(feed) == [("a.jsonl", 0, b'{"a": 1}')]
    assert taken(feed) == []
    put(tmp_path / "a.jsonl", b"}\n")
    assert taken(feed) == [("a.jsonl", 9, b"{}")]


def test_blank_lines_are_passed_over_and_ends_of_windows_cut_off(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"\r\n\n1\r\n\n  \n2\n\n\n")
    assert taken(feed, 1) == [("a.jsonl", 3, b"1")]
    assert taken(feed, 1) == [("a.jsonl", 10, b"2")]
    assert taken(feed, 1) == []


def test_more_blank_lines_than_are_read_at_once(
    feed: FileFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 16)
    put(tmp_path / "a.jsonl", b"\n" * 100 + b"1\n")
    assert taken(feed) == [("a.jsonl", 100, b"1")]


def test_a_line_longer_than_is_read_at_once_comes_cut(
    feed: FileFeed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "CHUNK_BYTES", 16)
    put(tmp_path / "a.jsonl", b"1\n" + b"x" * 50)
    assert taken(feed) == [("a.jsonl", 0, b"1")]
    assert taken(feed) == []
    put(tmp_path / "a.jsonl", b"y\n2\n")
    assert taken(feed) == [("a.jsonl", 2, b"x" * 16)]
    assert taken(feed) == [("a.jsonl", 54, b"2")]


def test_a_renamed_file_goes_on_where_it_was_and_its_successor_begins(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"1\n2\n")
    positions = kept(feed)
    (tmp_path / "a.jsonl").rename(tmp_path / "a-1.jsonl")
    put(tmp_path / "a-1.jsonl", b"3\n")
    put(tmp_path / "a.jsonl", b"new\n")
    again = FileFeed(tmp_path / "*.jsonl", tmp_path)
    again.seek(positions)
    for one in (feed, again):  # the same process, and one that was started afterwards
        assert sorted(taken(one)) == [("a-1.jsonl", 4, b"3"), ("a.jsonl", 0, b"new")]
        assert one.problems() == {}


def test_a_file_that_was_cut_is_reported_and_not_read_again(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"1\n2\n3\n")
    positions = kept(feed)
    os.truncate(tmp_path / "a.jsonl", 2)
    again = FileFeed(tmp_path / "*.jsonl", tmp_path)
    again.seek(positions)
    for one in (feed, again):
        assert taken(one) == []
        assert one.problems()["a.jsonl"].startswith("has 2 bytes, and 6 were taken: it was cut; nothing more of it")
    put(tmp_path / "a.jsonl", b"4\n5\n6\n")  # what lies behind the position now is not what followed it then
    put(tmp_path / "b.jsonl", b"other\n")
    for one in (feed, again):
        assert taken(one) == [("b.jsonl", 0, b"other")]
        assert set(one.problems()) == {"a.jsonl"}


def test_a_file_whose_line_no_longer_ends_where_it_was_taken_up_to(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"1\n22\n")
    positions = kept(feed)
    (tmp_path / "a.jsonl").write_bytes(b"1\n2222222\n")
    again = FileFeed(tmp_path / "*.jsonl", tmp_path)
    again.seek(positions)
    assert taken(again) == []
    assert "no longer has the end of a line at byte 5" in again.problems()["a.jsonl"]


def test_a_file_written_anew_in_place_is_a_new_one_and_what_was_lost_is_said(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"1\n2\n")
    assert len(taken(feed)) == 2
    (tmp_path / "a.jsonl").write_bytes(b"new 1\n")
    assert taken(feed) == [("a.jsonl", 0, b"new 1")]
    assert feed.problems() == {}  # all that was seen of the former content had been taken
    put(tmp_path / "a.jsonl", b"new 2\nnew 3\n")
    assert taken(feed, 1) == [("a.jsonl", 6, b"new 2")]
    (tmp_path / "a.jsonl").write_bytes(b"newest\n")
    assert taken(feed) == [("a.jsonl", 0, b"newest")]
    assert feed.problems() == {"a.jsonl": "was removed or written anew when 12 of its 18 bytes were taken"}


def test_a_copy_is_not_taken_twice(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "b.jsonl", b"1\n2\n")
    positions = kept(feed)
    (tmp_path / "a.jsonl").write_bytes(b"1\n")
    put(tmp_path / "b.jsonl", b"3\n")
    again = FileFeed(tmp_path / "*.jsonl", tmp_path)
    again.seek(positions)
    for one in (feed, again):
        assert taken(one) == [("b.jsonl", 4, b"3")]
        assert one.problems() == {"a.jsonl": "begins with the same line as b.jsonl: it is taken for a copy"}


def test_a_second_name_of_the_same_file_is_no_copy(feed: FileFeed, tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", b"1\n")
    os.link(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    assert taken(feed) == [("a.jsonl", 0, b"1")]
    assert feed.problems() == {}


def test_folders_and_pipes_are_no_files(feed: FileFeed, tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    os.mkfifo(tmp_path / "pipe.jsonl")
    put(tmp_path / "a.jsonl", b"1\n")
    assert taken(feed) == [("a.jsonl", 0, b"1")]
    assert feed.problems() == {}


def test_a_file_that_cannot_be_read_holds_back_no_other(feed: FileFeed, tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to(tmp_path / "loop.jsonl")
    put(tmp_path / "a.jsonl", b"1\n")
    assert taken(feed) == [("a.jsonl", 0, b"1")]
    assert feed.problems()["loop.jsonl"].startswith("cannot be read: ")


def test_a_long_backlog_of_one_file_does_not_hold_back_another(feed: FileFeed, tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / f"{name}.jsonl", b"".join(b"%s%d\n" % (name.encode(), n) for n in range(10)))
    first, second = taken(feed, 3), taken(feed, 3)
    assert {place for place, _, _ in first} != {place for place, _, _ in second}
