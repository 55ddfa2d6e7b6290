"""Addresses of Redis, and that a password is never shown."""

import traceback

import pytest

from falaj.kernel.errors import ProjectError, StorageError
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.keys import RedisKeys
from falaj.storage.keyvalue.redis.store import RedisStore

SECRET = "s3cret@/:word"


@pytest.mark.parametrize(
    ("url", "hosts", "shown"),
    [
        ("redis://cache", (("cache", 6379),), "redis://cache:6379/0"),
        ("redis://cache/3", (("cache", 6379),), "redis://cache:6379/3"),
        ("rediss://u:s3cret%40%2F%3Aword@10.0.0.1:7000/1", (("10.0.0.1", 7000),), "rediss://u@10.0.0.1:7000/1"),
        ("redis://:s3cret@/:word@[::1]:7000", (("::1", 7000),), "redis://[::1]:7000/0"),
        ("redis+cluster://a,b:7001", (("a", 6379), ("b", 7001)), "redis+cluster://a:6379,b:7001"),
    ],
)
def test_a_url_without_a_port_has_the_usual_one(url: str, hosts: object, shown: str) -> None:
    address = RedisAddress.parse(url)
    assert (address.hosts, str(address)) == (hosts, shown)
    assert address.password in ("", SECRET)
    assert "s3cret" not in repr(address) + str(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://:s3cret@cache",
        "redis://",
        "redis://:s3cret@",
        "redis://:s3cret@cache:port",
        "redis://:s3cret@cache:0",
        "redis://:s3cret@cache:65536",
        "redis://:s3cret@cache/zero",
        "redis://:s3cret@cache/0?timeout=3",
        "redis://:s3cret@a,b",
        "redis+cluster://:s3cret@a/1",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ProjectError) as refused:
        RedisAddress.parse(url)
    assert "s3cret" not in refused.value.message + refused.value.hint
    assert refused.value.hint


def test_what_the_url_lacks_comes_from_the_settings() -> None:
    address = RedisAddress.parse("redis://cache", username="app", password=SECRET)
    assert (address.username, address.password) == ("app", SECRET)
    assert RedisAddress.parse("redis://me:own@cache", username="app", password=SECRET).password == "own"


def test_a_server_that_is_not_there_is_named_without_its_password() -> None:
    store = RedisStore.open_reader(RedisAddress.parse("redis://u:s3cret@127.0.0.1:1"), "fraud")
    with pytest.raises(StorageError, match=r"redis://u@127\.0\.0\.1:1/0 cannot be reached") as failed:
        store.get_many([b"a"])
    assert failed.value.retryable
    assert "s3cret" not in "".join(traceback.format_exception(failed.value))


def test_projects_do_not_meet_whatever_they_are_called() -> None:
    names = ["fraud", "fraud/0", "fraud}", "{fraud}", "fraud*", "fr", "احتيال"]
    keys = [RedisKeys(name, partitions) for name in names for partitions in (1, 64)]
    assert len({one.name(b"x") for one in keys}) == len(keys)
    for one in keys:
        for key in (b"x", b"}:/", b"{", b"\x00\xff"):
            assert one.key(one.name(key)) == key
            assert all(other.key(one.name(key)) is None for other in keys if other is not one)
        assert one.key(one.control) is one.key(one.redo) is one.key(one.marker(0)) is None
