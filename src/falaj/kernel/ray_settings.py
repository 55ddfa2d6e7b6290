"""RaySettings: the Ray cluster that steps with `engine="ray"` run on."""

from urllib.parse import urlsplit

import msgspec


class RaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The Ray cluster that steps with `engine="ray"` run on.

    Attributes:
        address: Of its dashboard, which takes jobs, such as "http://127.0.0.1:8265"; empty for none.
        token: Name of the secret that holds the cluster's token: a variable, or a file of `pipelines.secrets`. Empty
            where the cluster asks for none.
        plain_http: Whether jobs may go to another machine without TLS. Whoever is on the way can read the token and run
            what they like; for a network that encrypts by itself.
        python: Python interpreter on Ray's nodes, with Falaj installed; empty for the path of control's own.
        jobs: Steps that run on Ray at the same time. Each costs control a thread that waits.
    """

    address: str = ""
    token: str = ""
    plain_http: bool = False
    python: str = ""
    jobs: int = 8

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise ValueError(f"jobs {self.jobs} is below 1")
        try:
            parts = urlsplit(self.address)
            parts.port  # noqa: B018 - asking is what checks it
        except ValueError:
            parts = None
        if self.address and (parts is None or not _is_plain(self.address)):
            raise ValueError("address is not that of a dashboard: write http://HOST:8265 or https://HOST, and no more")


def _is_plain(address: str) -> bool:
    parts = urlsplit(address)
    more = parts.path.strip("/") or parts.query or parts.fragment or parts.username or parts.password
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not more
