"""Findings: all that was measured of a version on one snapshot of test rows."""

import msgspec

from falaj.models.parts import Part, Sliced


class Findings(msgspec.Struct, frozen=True):
    """What a gate judges, and a report shows.

    Attributes:
        whole: Of all test rows.
        slices: Of the rows by the values of columns.
    """

    whole: Part
    slices: tuple[Sliced, ...] = ()
