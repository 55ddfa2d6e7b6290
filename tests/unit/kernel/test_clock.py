"""Instants and lengths of time at their edges."""

import pytest

from falaj.kernel.clock import parse_instant
from falaj.kernel.duration import duration_us
from falaj.kernel.errors import DefinitionError, InputError


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_an_instant_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="outside the years 1 to 9999"):
        parse_instant(text)


@pytest.mark.parametrize("text", ["", "yesterday", "2025-02-30T00:00:00Z", "\0", "2025-01-01T00:00:00+99:00"])
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_instant(text)


@pytest.mark.parametrize("text", ["99999999999999d", "9" * 5_000 + "d", "101w7d", "-1d", "", "1 d", "1e3s", "5300w"])
def test_what_is_no_length_of_time_or_longer_than_a_century_is_refused(text: str) -> None:
    with pytest.raises(DefinitionError):
        duration_us(text)
