"""Exposure: what listens where others can reach it has access control, or does not start."""

import ipaddress

from falaj.kernel.errors import Unavailable


def is_loopback(host: str) -> bool:
    """Return whether only programs of this machine reach the address.

    A name other than localhost is taken for one that others reach: what it resolves to may change.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("gateway.example")
        (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_exposed(host: str, tokens: int | None, *, setting: str) -> None:
    """Return if it is safe to listen on the address.

    Args:
        host: Where.
        tokens: How many tokens are in force; None when that is not known.
        setting: The setting that names the address.

    Raises:
        Unavailable: Others reach it, and there is nothing by which they could be told apart.
    """
    if tokens or is_loopback(host):
        return
    why = "the tokens are not known yet" if tokens is None else "there is no token"
    raise Unavailable(
        f"{setting} = {host!r} is open to the network, and {why}: refusing to start",
        hint="start control first, which makes and publishes tokens, or listen on 127.0.0.1",
    )
