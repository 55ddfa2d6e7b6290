"""Silence: for a while nobody is told of some alerts, on somebody's word."""

from fnmatch import fnmatchcase

import msgspec


class Silence(msgspec.Struct, frozen=True):
    """Nobody is told of the alerts that it covers.

    Attributes:
        id: Its number.
        rule: Pattern of what was broken.
        subject: Pattern of what it is about.
        comment: Why.
        actor: Who wanted it.
        began_us: From when on, in microseconds.
        ends_us: Until when; at that instant it is over.
    """

    id: int
    rule: str
    subject: str
    comment: str
    actor: str
    began_us: int
    ends_us: int

    def covers(self, rule: str, subject: str, at_us: int) -> bool:
        """Return whether nobody is told, at an instant, that a rule is broken about a subject.

        Example:
            >>> silence = Silence(1, "drift", "fraud*", "a sale", "ada", began_us=0, ends_us=10)
            >>> silence.covers("drift", "fraud_eu", 9), silence.covers("drift", "fraud_eu", 10)
            (True, False)
        """
        in_force = self.began_us <= at_us < self.ends_us
        return in_force and fnmatchcase(rule, self.rule) and fnmatchcase(subject, self.subject)
