"""What others reach does not start without somebody to let in."""

import pytest

from falaj.governance.exposure import refuse_exposed
from falaj.kernel.errors import Unavailable


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "falaj.example", "2001:db8::1"])  # noqa: S104
def test_an_open_address_needs_tokens(host: str) -> None:
    refuse_exposed(host, 1, setting="gateway.host")
    for tokens in (0, None):
        with pytest.raises(Unavailable, match=r"gateway\.host"):
            refuse_exposed(host, tokens, setting="gateway.host")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_closed_one_does_not(host: str) -> None:
    refuse_exposed(host, None, setting="gateway.host")
