"""What addresses and numbers of settings may be."""


def http_url(host: str, port: int) -> str:
    """Return the address of an HTTP server.

    Example:
        >>> http_url("127.0.0.1", 8600), http_url("::1", 8600)
        ('http://127.0.0.1:8600', 'http://[::1]:8600')
    """
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_address(host: str, port: int) -> None:
    """Refuse an address that a server cannot listen on, or that means every network by saying nothing.

    Raises:
        ValueError: It is one.
    """
    if not host.strip():
        raise ValueError("host is empty, which would listen on every network")
    check_ranges(port)


def check_ranges(port: int | None = None, **positive: float) -> None:
    """Refuse numbers that mean nothing.

    Args:
        port: A TCP port; None for none.
        positive: By their names; above 0.

    Raises:
        ValueError: One is out of its range.
    """
    if port is not None and not 1 <= port <= 65_535:
        raise ValueError(f"port {port} is not between 1 and 65535")
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} {value} is not above 0")


def check_share(sample_ratio: float) -> None:
    """Refuse what is no share.

    Raises:
        ValueError: It is below 0 or above 1.
    """
    if not 0 <= sample_ratio <= 1:
        raise ValueError(f"sample_ratio {sample_ratio} is not between 0 and 1")
