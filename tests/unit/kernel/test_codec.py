"""JSON from strangers: a value of the asked type, or one sentence that names what is wrong."""

from typing import Any

import pytest

from falaj.kernel.codec import from_json
from falaj.kernel.errors import InputError

DEEP = 200_000


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (b"", "thing is not JSON"),
        (b"\0", "thing is not JSON"),
        (b"\xff\xfe", "thing is not JSON"),
        (b'"\\ud800"', "thing is not JSON"),
        ("\udcff", "thing is not JSON"),
        (b"NaN", "thing is not JSON"),
        (b"-Infinity", "thing is not JSON"),
        (b"1e999", "out of range"),
        (b"[" * DEEP, "thing is nested too deeply"),
        (b'{"a":' * DEEP, "thing is nested too deeply"),
        (b"[" * DEEP + b"]" * DEEP, "thing is nested too deeply"),
    ],
)
def test_what_is_no_json_is_said(raw: bytes | str, named: str) -> None:
    with pytest.raises(InputError, match=named) as refused:
        from_json(raw, Any, what="thing", hint="send another")
    assert refused.value.hint == "send another"
