"""A gate report in the terminal: every check with its reason, and what was measured beside it."""

import click

from falaj.cli.gate_text import gate_lines
from falaj.models.bootstrap import Interval
from falaj.models.explanation import Attribution, Explanation
from falaj.models.fairness import Group, Groups
from falaj.models.findings import Findings
from falaj.models.gate_report import CheckResult, GateReport, Outcome
from falaj.models.leakage import Alone, Leaks
from falaj.models.parts import Part, Sliced

EVIL = "OM\x1b[2J\nPASS"
WHOLE = Part(
    1_000, 100, {"auc": 0.9, "f1": None}, {"auc": Interval(0.88, 0.92, 1_000)}, {"auc": 0.8, "f1": 0.5},
    {"auc": Interval(0.05, 0.15, 1_000)},
)  # fmt: skip
REPORT = GateReport(
    "fraud", Outcome.INCONCLUSIVE,
    (CheckResult("auc >= 0.9", Outcome.PASS, "auc 0.9000 is at least 0.9"),
     CheckResult(f"auc >= 0.9 where country = {EVIL}", Outcome.INCONCLUSIVE, "too few"),
     CheckResult("loads", Outcome.PASS, "it answered", implicit=True)),
    "d" * 64, "c" * 64, "b" * 64, 3, "p" * 64,
    Findings(
        WHOLE,
        (Sliced("country", (Part(900, 95, {"auc": 0.91}, {"auc": Interval(0.9, 0.92, 9)}, value="AE"),
                            Part(12, 2, {"auc": 1.0}, value=EVIL)), 7),),
        Leaks((Alone("amount", 0.8), Alone("hour", None))),
        (Groups("sex", (Group("F", 40, 400, 30, 10), Group("M", 0, 5, 0, 1))),),
        (),
        Explanation("treeshap", 500, (Attribution("amount", 1.25, 0.9), Attribution("hour", 0.1, -0.6))),
    ),
    7,
)  # fmt: skip


def test_all_that_was_measured_is_told_in_lines() -> None:
    lines = [click.unstyle(line) for line in gate_lines(REPORT)]
    text = "\n".join(lines)
    assert lines[0] == "INCONCLUSIVE  fraud on 1,000 rows, 100 positive, against version 3"
    for fact in (
        "auc 0.9000 is at least 0.9", "loads (always)", "0.8800 to 0.9200", "+0.0500 to +0.1500", "too few to judge",
        "and 7 rarer values", "0.750 (0.598 to 0.858)", "amount 0.8000, hour –", "by TreeSHAP", REPORT.digest,
    ):  # fmt: skip
        assert fact in text, fact
    assert any(line.split() == ["amount", "1.2500", "up"] for line in lines)
    assert any(line.split() == ["hour", "0.1000", "down"] for line in lines)


def test_a_value_of_the_data_cannot_write_to_the_terminal() -> None:
    text = "\n".join(click.unstyle(line) for line in gate_lines(REPORT))
    assert "\x1b[2J" not in "".join(gate_lines(REPORT))
    assert not any(line.startswith("PASS") for line in text.splitlines())


def test_a_report_without_more_is_short() -> None:
    bare = GateReport("fraud", Outcome.FAIL, (), "d", "c", None, None, "p", Findings(Part(0, 0)), 0)
    lines = [click.unstyle(line) for line in gate_lines(bare)]
    assert lines[0] == "FAIL  fraud on 0 rows, 0 positive" and len(lines) == 3
