"""Address: where a Redis is and how to log in to it, with the password kept out of everything that is shown."""

from dataclasses import dataclass, field
from urllib.parse import unquote

from falaj.kernel.errors import ProjectError

_SCHEMES = {
    "redis": (False, False),
    "rediss": (True, False),
    "redis+cluster": (False, True),
    "rediss+cluster": (True, True),
}
_DEFAULT_PORT = 6379
_HINT = "give storage.online_url as redis://host:6379/0, or redis+cluster://host:7000,host:7001; rediss for TLS"


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a Redis is.

    Attributes:
        hosts: Host and port of the server; of a cluster, of some nodes from which the others are learnt.
        tls: Whether to speak TLS.
        cluster: Whether it is a cluster.
        database: The number of the database; 0 on a cluster.
        username: Of the access list; empty for the default user.
        password: Never shown; empty for none.
        ca_file: PEM file of the authority that signed the server's certificate; empty for the system's.

    Example:
        >>> address = RedisAddress.parse("rediss://app:secret@cache.example/2")
        >>> address.hosts, address.database, address.password
        ((('cache.example', 6379),), 2, 'secret')
        >>> str(address), "secret" in repr(address)
        ('rediss://app@cache.example:6379/2', False)
    """

    hosts: tuple[tuple[str, int], ...]
    tls: bool = False
    cluster: bool = False
    database: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""

    @classmethod
    def parse(cls, url: str, *, username: str = "", password: str = "", ca_file: str = "") -> "RedisAddress":
        """Return the address that a URL gives.

        Args:
            url: `redis://`, `rediss://` (TLS), `redis+cluster://` or `rediss+cluster://`, then optionally
                `user:password@`, then hosts with ports, and optionally the number of the database.
            username: Used where the URL has none.
            password: Used where the URL has none.
            ca_file: PEM file of the authority that signed the server's certificate.

        Raises:
            ProjectError: The URL is not one of these; the message never repeats it, since it may hold a password.
        """
        scheme, mark, rest = url.partition("://")
        if not mark or scheme not in _SCHEMES:
            raise ProjectError(
                "storage.online_url does not begin with redis://, rediss:// or redis+cluster://", hint=_HINT
            )
        tls, cluster = _SCHEMES[scheme]
        login, _, place = rest.rpartition("@")
        user, _, secret = login.partition(":")
        hosts, _, database = place.partition("/")
        if "?" in database or "#" in database or (database and not database.isdecimal()):
            raise ProjectError("storage.online_url: after the host comes the number of a database only", hint=_HINT)
        if cluster and int(database or 0):
            raise ProjectError("storage.online_url: a Redis cluster has database 0 only", hint=_HINT)
        named = tuple(_host(one) for one in hosts.split(","))
        if len(named) > 1 and not cluster:
            raise ProjectError("storage.online_url names several hosts and is not redis+cluster://", hint=_HINT)
        return cls(
            named, tls, cluster, int(database or 0), unquote(user) or username, unquote(secret) or password, ca_file
        )

    def __str__(self) -> str:
        """Return the URL without its password."""
        scheme = next(name for name, kind in _SCHEMES.items() if kind == (self.tls, self.cluster))
        login = f"{self.username}@" if self.username else ""
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"{scheme}://{login}{hosts}" + ("" if self.cluster else f"/{self.database}")


def _host(text: str) -> tuple[str, int]:
    """Return host and port of `host`, `host:port`, `[::1]` or `[::1]:port`."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host or (port and not (port.isdecimal() and 0 < int(port) < 1 << 16)):
        raise ProjectError("storage.online_url: a host is empty, or a port is not between 1 and 65535", hint=_HINT)
    return host, int(port or _DEFAULT_PORT)
