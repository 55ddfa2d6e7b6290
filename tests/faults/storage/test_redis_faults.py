"""Redis that is killed, emptied, frozen, or written by two: nothing is lost, nothing is counted twice."""

import logging
import random
import shutil
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis

from falaj.features.streaming import Applier
from falaj.kernel.clock import ManualClock
from falaj.kernel.errors import Conflict, InputError, Locked, StorageError
from falaj.storage.keyvalue.memory import MemoryStore
from falaj.storage.keyvalue.redis import scripts
from falaj.storage.keyvalue.redis.address import RedisAddress
from falaj.storage.keyvalue.redis.keys import RedisKeys
from falaj.storage.keyvalue.redis.one_server import OneServer
from falaj.storage.keyvalue.redis.store import RedisStore
from support.redis_servers import RedisCluster, RedisServer, free_ports, redis_cluster, redis_server
from support.redis_world import CARDS, ROWS, SPEC, applier_of, features, open_writer, rows_from
from support.waiting import until

TESTS = Path(__file__).parents[2]
ACL = "~falaj:{fraud*}:* +@read +@write +@scripting +@connection +info"
WRITER = """
import sys
import threading
import traceback
from pathlib import Path
from support.redis_world import applier_of, open_writer
applier = applier_of(open_writer(sys.argv[1], Path(sys.argv[2])), 6)
print(applier.applied_seq("tx"), flush=True)
applier.catch_up("tx", on_chunk=lambda seq: print(seq, flush=True))
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisCluster]:
    with redis_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(params=["running", "nodes"])
def place(request: pytest.FixtureRequest) -> RedisServer | RedisCluster:
    found: RedisServer | RedisCluster = request.getfixturevalue(request.param)
    for node in found.nodes if isinstance(found, RedisCluster) else [found]:
        node.client().flushall()
    return found


@pytest.fixture(scope="module")
def expected() -> list[list[Any]]:
    kv = MemoryStore()
    applier_of(kv).catch_up("tx")
    return features(kv)


def test_a_writer_that_is_killed_again_and_again_loses_and_repeats_nothing(
    place: RedisServer | RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    chance = random.Random(7)
    acknowledged, deaths = 0, 0
    while True:
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, place.url, str(tmp_path)],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": f"{TESTS}:{TESTS.parent / 'src'}"},
        )
        assert process.stdout is not None
        first = int(process.stdout.readline())
        assert first >= acknowledged
        for left in range(chance.randint(1, 14), 0, -1):
            line = process.stdout.readline().decode().strip()
            if line == "done" or not line:
                break
            acknowledged = int(line)
            if left == 1:
                process.kill()
                deaths += 1
        finished = process.wait() == 0
        process.stdout.close()
        if finished:
            break
    assert deaths >= 3
    store = open_writer(place.url, tmp_path)
    assert features(store) == expected
    store.close()


def test_servers_that_are_killed_in_the_midst_of_writes_are_filled_again(
    place: RedisServer | RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    nodes = place.nodes if isinstance(place, RedisCluster) else [place]
    store = open_writer(place.url, tmp_path, timeout_s=1.0)
    applier = applier_of(store, 5)
    for number, after in enumerate((20, 60, 110)):
        node, reached = nodes[number % len(nodes)], threading.Event()
        killing = threading.Thread(target=_kill_when, args=(reached, node))
        killing.start()
        with pytest.raises(StorageError):
            for _ in range(1000):  # the node dies while one of these writes
                applier.catch_up("tx", on_chunk=lambda seq: reached.set() if seq >= after else None)  # noqa: B023
                store.write([], [key for key, _ in store.scan(b"", 1000)])
        reached.set()
        killing.join()
        node.start()
        until(lambda: _reads(store), "the server answers again")
    until(lambda: _catches_up(applier), "all is applied")
    assert features(store) == expected
    store.close()


class Dying:
    """Servers that stop the writer before one of its steps, as a kill does."""

    def __init__(self, inner: Any, steps: int) -> None:
        self._inner = inner
        self.left = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def run(self, steps: Any) -> list[Any]:
        answers = []
        for step in steps:
            if step[0] in (scripts.WRITE, scripts.COMMIT, scripts.APPLY):
                if not self.left:
                    raise KeyboardInterrupt
                self.left -= 1
            answers += self._inner.run([step])
        return answers


def test_a_writer_may_die_before_any_of_its_steps(
    place: RedisServer | RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    for steps in range(40 if isinstance(place, RedisCluster) else 6):
        store = open_writer(place.url, tmp_path)
        store.get_many([b"x"])
        assert store._writer is not None
        store._writer._servers = Dying(store._writer._servers, steps)
        with pytest.raises(KeyboardInterrupt):
            applier_of(store, 40).catch_up("tx")
        store.close()
        again = open_writer(place.url, tmp_path)
        applier_of(again, 50).catch_up("tx")
        assert features(again) == expected, steps
        again.write([], [key for key, _ in again.scan(b"", 10_000)])
        again.close()


def test_a_writer_whose_right_was_taken_is_refused(
    place: RedisServer | RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    one = open_writer(place.url, tmp_path)
    with pytest.raises(Locked):
        open_writer(place.url, tmp_path)
    one.write([(b"a", b"1")])
    copy = tmp_path / "copy" / "online"  # the folder, copied to another machine: the lock does not reach there
    copy.mkdir(parents=True)
    (copy / "redis.id").write_text((tmp_path / "online" / "redis.id").read_text())
    other = open_writer(place.url, copy.parent)
    assert other.get_many([b"a"]) == [b"1"]
    with pytest.raises(StorageError, match="another writer"):
        one.write([(b"a", b"2")])
    assert other.get_many([b"a"]) == [b"1"]

    def interrupt(store: RedisStore, seq: int) -> None:
        if seq % 3 == 0:
            store.get_many([b"a"])

    both, ends = [applier_of(other, 5), applier_of(one, 7)], 0
    for turn in range(200):  # they take the right from each other, and still count each row once
        try:
            both[turn % 2].catch_up("tx", on_chunk=partial(interrupt, one if turn % 2 == 0 else other))
        except StorageError:
            continue
        ends += 1
        if ends == 2:
            break
    assert (ends, features(one), features(other)) == (2, expected, expected)
    for store in (one, other):
        store.close()


def test_another_project_of_the_same_name_is_refused(place: RedisServer | RedisCluster, tmp_path: Path) -> None:
    one, other = (open_writer(place.url, tmp_path / name) for name in ("one", "other"))
    one.write([(b"a", b"1")])
    with pytest.raises(Conflict, match="another project of this name") as refused:
        other.get_many([b"a"])
    assert "redis-cli --scan --pattern 'falaj:{" in refused.value.hint
    with pytest.raises(Conflict):
        other.write([(b"a", b"2")])
    assert one.get_many([b"a"]) == [b"1"]
    one.close()
    other.close()


def test_what_was_emptied_is_filled_again_from_the_first_row(
    place: RedisServer | RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    store = open_writer(place.url, tmp_path)
    reader = RedisStore.open_reader(RedisAddress.parse(place.url), "fraud")
    with pytest.raises(StorageError, match="holds nothing of project"):
        features(reader)
    applier = applier_of(store)
    applier.catch_up("tx")
    assert features(reader) == expected
    for node in place.nodes if isinstance(place, RedisCluster) else [place]:
        node.client().flushall()
    with pytest.raises(StorageError, match="holds nothing of project"):
        features(reader)
    assert applier.applied_seq("tx") == 0
    assert applier.catch_up("tx") == len(ROWS)
    assert features(reader) == expected
    store.close()
    reader.close()


@pytest.mark.parametrize("at", [14, 238])
def test_what_is_emptied_while_a_batch_is_made_begins_anew(
    place: RedisServer | RedisCluster, tmp_path: Path, at: int, expected: list[list[Any]]
) -> None:
    store = open_writer(place.url, tmp_path)

    def read(source: str, seq: int, limit: int) -> tuple[pa.Table, int]:
        found = rows_from(source, seq, limit)
        if found[1] == at and not emptied:
            emptied.append(at)
            for node in place.nodes if isinstance(place, RedisCluster) else [place]:
                node.client().flushall()
        return found

    emptied: list[int] = []
    applier = Applier(store, read, SPEC.views, chunk_rows=7)
    with pytest.raises(StorageError, match="changed by another writer, or lost"):
        applier.catch_up("tx")
    assert applier.catch_up("tx") == len(ROWS)
    assert features(store) == expected
    store.close()


def test_a_node_that_lost_its_part_is_noticed_without_a_write(
    nodes: RedisCluster, tmp_path: Path, expected: list[list[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    nodes.flush()
    clock = ManualClock()
    store = open_writer(nodes.url, tmp_path, monotonic=clock.monotonic)
    applier = applier_of(store)
    applier.catch_up("tx")
    for node in nodes.nodes:
        node.client().flushall()
        clock.advance(1)
        with caplog.at_level(logging.WARNING):
            assert applier.applied_seq("tx") == 0
        assert "beginning anew" in caplog.text
        applier.catch_up("tx")
        assert features(store) == expected
        caplog.clear()
    store.close()


@pytest.mark.parametrize(("place", "number"), [("running", 0), ("nodes", 0), ("nodes", 2)], indirect=["place"])
def test_servers_that_come_back_with_an_older_state_are_brought_up(
    place: RedisServer | RedisCluster, tmp_path: Path, number: int, expected: list[list[Any]]
) -> None:
    nodes = place.nodes if isinstance(place, RedisCluster) else [place]
    node = nodes[number % len(nodes)]
    clock = ManualClock()
    store = open_writer(place.url, tmp_path, monotonic=clock.monotonic)
    applier = applier_of(store, 40)

    def save(seq: int) -> None:
        if seq == 120:
            node.client().save()

    applier.catch_up("tx", on_chunk=save)
    node.kill()
    node.start()
    (node.folder / "dump.rdb").unlink()
    clock.advance(1)
    until(lambda: _reads(store), "the server answers again")
    applied = applier.applied_seq("tx")
    assert applied == (0 if len(nodes) > 1 else 120)  # one node's past does not fit the others' present
    for _ in range(20):
        try:
            assert applier.catch_up("tx") == len(ROWS)
            break
        except StorageError:
            clock.advance(1)
    assert features(store) == expected
    store.close()


def _kill_when(reached: threading.Event, node: RedisServer) -> None:
    reached.wait()
    node.kill()


def _catches_up(applier: Applier) -> bool:
    try:
        return applier.catch_up("tx") == len(ROWS)
    except StorageError:
        return False


def _reads(store: RedisStore) -> bool:
    try:
        features(store)
    except StorageError:
        return False
    return True


def test_a_node_that_is_down_stops_writing_and_is_waited_for(
    nodes: RedisCluster, tmp_path: Path, expected: list[list[Any]]
) -> None:
    nodes.flush()
    store = open_writer(nodes.url, tmp_path, timeout_s=1.0)
    applier = applier_of(store)
    store.get_many([b"x"])
    with nodes.nodes[1].frozen(), pytest.raises(StorageError):
        applier.catch_up("tx")
    for _ in range(50):
        try:
            applier.catch_up("tx")
            break
        except StorageError:
            continue
    assert features(store) == expected
    store.close()


def test_a_server_that_hangs_is_given_up_in_time(running: RedisServer, tmp_path: Path) -> None:
    running.client().flushall()
    store = open_writer(running.url, tmp_path, timeout_s=0.2)
    store.write([(b"a", b"1")])
    reader = RedisStore.open_reader(RedisAddress.parse(running.url), "fraud")
    assert reader.get_many([b"a"]) == [b"1"]
    with running.frozen():
        with pytest.raises(StorageError, match="in time"):
            reader.get_many([b"a"])
        with pytest.raises(StorageError, match="in time"):
            store.write([(b"a", b"late")], unchanged={b"a": b"1"})
    # The server executes what it was sent before it froze, or refuses it: never later than what comes now.
    held = store.get_many([b"a"])[0]
    assert held in (b"1", b"late")
    store.write([(b"a", b"2")], unchanged={b"a": held})
    assert reader.get_many([b"a"]) == [b"2"] == store.get_many([b"a"])
    store.close()
    reader.close()


def test_connections_that_the_server_closed_are_opened_again(running: RedisServer, tmp_path: Path) -> None:
    running.client().flushall()
    store = open_writer(running.url, tmp_path)
    store.write([(b"a", b"1")])
    for _ in range(200):  # more often than a pool of the client may open connections
        running.client().client_kill_filter(_type="normal", skipme=True)
        assert store.get_many([b"a"]) == [b"1"]
    store.close()


def test_a_wrong_password_and_a_right_one(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--requirepass", "s3cret", "--maxmemory", "3mb") as server:
        for login in ("", ":wr0ng@", "nobody:wr0ng@"):
            url = server.url.replace("redis://", f"redis://{login}")
            store = RedisStore.open_reader(RedisAddress.parse(url), "fraud")
            with pytest.raises(StorageError, match="refuses the user or the password") as refused:
                store.get_many([b"a"])
            assert "wr0ng" not in refused.value.message + refused.value.hint
            store.close()
        store = RedisStore.open_writer(RedisAddress.parse(server.url, password="s3cret"), "fraud", tmp_path)
        store.write([(b"a", b"1" * 100_000)])
        with pytest.raises(StorageError, match="is full"):
            for i in range(40):
                store.write([(b"b%d" % i, b"1" * 100_000)])
        assert store.get_many([b"a"]) == [b"1" * 100_000]
        store.close()


def test_a_cluster_with_a_password_and_an_access_list_and_without_any_node(tmp_path: Path) -> None:
    with redis_cluster(tmp_path / "redis") as cluster:
        for node in cluster.nodes:
            node.client().execute_command(
                "ACL", "SETUSER", "falaj", "on", ">s3cret", *ACL.split(), "+cluster", "+command"
            )
        url = cluster.url.replace("://", "://falaj@")
        store = RedisStore.open_writer(RedisAddress.parse(url, password="s3cret"), "fraud", tmp_path)
        applier_of(store, 40).catch_up("tx")
        assert len(store.scan(b"", 100)) == len(CARDS) + 1
        wrong = RedisStore.open_reader(RedisAddress.parse(url, password="wr0ng"), "fraud")
        with pytest.raises(StorageError, match="refuses the user or the password") as refused:
            wrong.get_many([b"a"])
        assert "wr0ng" not in "".join(traceback.format_exception(refused.value))
        cluster.close()
        late = RedisStore.open_reader(RedisAddress.parse(url, password="s3cret"), "fraud")
        for one in (store, late):
            with pytest.raises(StorageError, match="cannot be reached"):
                one.get_many([b"a"])
            one.close()


def test_a_server_that_may_forget_any_key_is_refused(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis", "--maxmemory-policy", "allkeys-lru") as server:
        store = RedisStore.open_writer(RedisAddress.parse(server.url), "fraud", tmp_path)
        with pytest.raises(StorageError, match="maxmemory-policy is allkeys-lru"):
            store.write([(b"a", b"1")])
        store.close()


def test_large_values_and_other_peoples_keys_are_left_whole(running: RedisServer, tmp_path: Path) -> None:
    client: redis.Redis = running.client()
    client.flushall()
    client.set("session:1", "mine")
    store = open_writer(running.url, tmp_path)
    large = bytes(range(256)) * (32 << 12)
    store.write([(b"large", large), (b"small", b"1")])
    assert store.get_many([b"large", b"small"]) == [large, b"1"]
    with pytest.raises(InputError, match="536,870,913 bytes is larger than Redis takes"):
        store.write([(b"small", b"2"), (b"larger", bytes((512 << 20) + 1))])
    assert store.get_many([b"small", b"larger"]) == [b"1", None]
    client.delete("falaj:{fraud}:marker")  # as if it had been lost: all of the project's own keys go, no others
    assert store.get_many([b"large", b"small"]) == [None, None]
    assert client.get("session:1") == b"mine"
    store.close()


def test_tls_with_a_user_of_the_access_list(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate, key = tmp_path / "redis.crt", tmp_path / "redis.key"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*words, *more], check=True, capture_output=True)
    tls_port = free_ports(1)[0]
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(certificate)]
    options = ["--tls-port", str(tls_port), "--tls-auth-clients", "no", *files]
    with redis_server(tmp_path / "redis", *options) as server:
        server.client().execute_command("ACL", "SETUSER", "falaj", "on", ">s3cret", *ACL.split())
        url = f"rediss://falaj@127.0.0.1:{tls_port}"
        address = RedisAddress.parse(url, password="s3cret", ca_file=str(certificate))
        store = RedisStore.open_writer(address, "fraud", tmp_path / "state")
        store.write([(b"a", b"1")])
        assert (store.get_many([b"a"]), store.scan(b"a", 1)) == ([b"1"], [(b"a", b"1")])
        store.close()
        with pytest.raises(StorageError, match=r"cannot be reached: .*certificate verify failed"):
            RedisStore.open_reader(RedisAddress.parse(url, password="s3cret"), "fraud").get_many([b"a"])
        other = RedisStore.open_reader(address, "other")  # the list lets this user see one project only
        with pytest.raises(StorageError, match="may not do this"):
            other.get_many([b"a"])


def test_a_server_that_is_emptied_in_the_middle_of_a_large_read_is_told(running: RedisServer, tmp_path: Path) -> None:
    running.client().flushall()
    names = [b"%d" % i for i in range(12_000)]
    writer = open_writer(running.url, tmp_path)
    writer.write((name, name) for name in names)
    writer.close()

    class Emptied(OneServer):
        def _ask(self, packed: bytes) -> Any:
            answer = super()._ask(packed)
            running.client().flushall()
            return answer

    address = RedisAddress.parse(running.url)
    store = RedisStore(Emptied(address, 1.0, 10.0), RedisKeys("fraud"), address)
    with pytest.raises(StorageError, match="holds nothing of project"):  # and not: most of the keys do not exist
        store.get_many(names)
    store.close()
