"""The online stores: the one place that chooses between them. Only the one that was chosen is imported.

| `storage.online` | for reading, such as by a gateway   | for writing                      | rows of one write |
|------------------|--------------------------------------|----------------------------------|-------------------|
| `lmdb`           | the map of the state folder          | the same map, under a file lock  | 100,000           |
| `redis`          | behind a breaker, with short timeouts | under a token, with long timeouts | 5,000            |
"""

from contextlib import closing
from pathlib import Path

from falaj.features.entity_key import entity_part
from falaj.kernel.errors import ExtraMissing
from falaj.kernel.settings import Settings
from falaj.storage.keyvalue import KeyValueStore
from falaj.storage.keyvalue.redis.address import RedisAddress

_REDIS_CHUNK_ROWS = 5_000
"""While a script writes, Redis answers nobody: so much takes some milliseconds."""


_REACH_S = 2.0


def chunk_rows(settings: Settings) -> int | None:
    """Return how many rows to write at once; None for as many as the applier likes."""
    return _REDIS_CHUNK_ROWS if settings.storage.online == "redis" else None


def check_online(settings: Settings) -> None:
    """Return if the settings choose a store that could be opened; asks no server.

    Raises:
        ExtraMissing: The store's client is not installed.
        ProjectError: Its address is not one.
    """
    if settings.storage.online == "redis":
        _address(settings)
        _need_redis()


def reach_online(settings: Settings, *, filled: bool = False) -> None:
    """Return if the store on a server answers; asks nothing of one on this machine.

    Args:
        settings: The project's.
        filled: Whether it must hold something of the project, too.

    Raises:
        ExtraMissing: The store's client is not installed.
        ProjectError: Its address is not one.
        StorageError: The server does not answer, refuses, or holds nothing where it must.
    """
    check_online(settings)
    if settings.storage.online == "redis":
        from falaj.storage.keyvalue.redis.store import RedisStore

        with closing(
            RedisStore.open_reader(
                _address(settings), settings.project.name, connect_s=_REACH_S, timeout_s=_REACH_S, together=entity_part
            )
        ) as store:
            if filled:
                store.get_many([b"?"])
            else:
                store.reach()


def open_online_reader(folder: Path, settings: Settings) -> KeyValueStore:
    """Open the online store for reading.

    Args:
        folder: Of the state that the store keeps on this machine.
        settings: The project's.

    Raises:
        NotFound: There is no store to read yet.
        ExtraMissing: The store's client is not installed.
        ProjectError: Its address is not one.
    """
    storage = settings.storage
    check_online(settings)
    if storage.online == "redis":
        from falaj.storage.keyvalue.breaker import BreakerStore
        from falaj.storage.keyvalue.redis.store import RedisStore

        return BreakerStore(
            RedisStore.open_reader(
                _address(settings),
                settings.project.name,
                together=entity_part,
                connect_s=storage.online_connect_ms / 1000,
                timeout_s=storage.online_timeout_ms / 1000,
            ),
            budget_s=(storage.online_connect_ms + storage.online_timeout_ms) / 1000,
        )
    from falaj.storage.keyvalue.lmdb import LmdbStore

    return LmdbStore.open(folder, readonly=True)


def open_online_writer(folder: Path, settings: Settings) -> KeyValueStore:
    """Open the online store for writing.

    Args:
        folder: Of the state that the store keeps on this machine.
        settings: The project's.

    Raises:
        Locked: Another process writes it.
        ExtraMissing: The store's client is not installed.
        ProjectError: Its address is not one.
    """
    storage = settings.storage
    check_online(settings)
    if storage.online == "redis":
        from falaj.storage.keyvalue.redis.store import RedisStore

        return RedisStore.open_writer(
            _address(settings),
            settings.project.name,
            folder,
            together=entity_part,
            connect_s=storage.online_connect_ms / 1000,
        )
    from falaj.storage.keyvalue.lmdb import LmdbStore

    return LmdbStore.open(folder, storage.online_map_gib)


def _address(settings: Settings) -> RedisAddress:
    storage = settings.storage
    return RedisAddress.parse(
        storage.online_url,
        username=storage.online_username,
        password=storage.online_password,
        ca_file=storage.online_ca_file,
    )


def _need_redis() -> None:
    try:
        import hiredis  # noqa: F401
        import redis  # noqa: F401
    except ImportError:
        raise ExtraMissing("the client of Redis is not installed", hint="pip install 'falaj[redis]'") from None
