import re
from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest
from markdown_it import MarkdownIt

from falaj.definitions.signature import InputSpec, Signature
from falaj.definitions.trainer import lightgbm
from falaj.models.bootstrap import Interval
from falaj.models.card_facts import CardFacts
from falaj.models.cards import render_card, render_gate
from falaj.models.explanation import Attribution, Explanation
from falaj.models.fairness import Group, Groups
from falaj.models.gate_report import Outcome
from falaj.models.leakage import Alone, Leaks
from falaj.models.limitations import limitations
from falaj.models.parts import Part, Sliced
from falaj.models.plots import draw
from falaj.models.robustness import Perturbed, Robust
from falaj.storage.blobs.memory import MemoryBlobs
from unit.models.rows import Rows
from unit.models.rows import card_facts as make_card_facts

EVIL = '<script>alert("x")</script>|\n`&'


class Outline(HTMLParser):
    """Collects what a page would load or run, and checks that its tags close."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "iframe"):
            self.outside.append(tag)
        self.outside += [v or "" for k, v in attrs if k in ("src", "href") and not (v or "").startswith("data:")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def outline(page: str) -> Outline:
    found = Outline()
    found.feed(page)
    assert found.open == []
    return found


def test_a_card_tells_what_the_version_stands_on(card_facts: CardFacts) -> None:
    documents = render_card(card_facts)
    assert set(documents) == {"card.md", "card.html"}
    for text in (documents["card.md"], outline(documents["card.html"]).text):
        for fact in (
            "fraud 1", "fraud-team", "d" * 64, "c" * 64, "e" * 64, "run_1", "120 test rows", "drawn by class",
            f"{card_facts.evaluation.metrics['auc']:.4f}", f"{card_facts.evaluation.intervals['auc'].low:.4f}",
            "auc >= 0.8", "p99", "no worse than production", "x1",
        ):  # fmt: skip
            assert fact in text, fact


def test_a_page_loads_nothing_from_outside(card_facts: CardFacts) -> None:
    assert card_facts.report is not None
    pages = render_card(card_facts)["card.html"], render_gate(card_facts.report)["gate.html"]
    for page in pages:
        assert outline(page).outside == []
        assert "url(" not in page and "@import" not in page
    assert pages[0].count("data:image/png;base64,") == 3


def test_markdown_is_tables_and_nothing_else(card_facts: CardFacts) -> None:
    assert card_facts.report is not None
    for text in (render_card(card_facts)["card.md"], render_gate(card_facts.report)["gate.md"]):
        html = MarkdownIt("commonmark").enable("table").render(text)
        assert "|" not in re.sub(r"<[^>]+>", "", html)  # every row became a row of a table
        assert html.count("<h1>") == 1


def test_names_from_outside_cannot_break_the_page(card_facts: CardFacts) -> None:
    evil = msgspec.structs.replace(card_facts, owner=EVIL, purpose=EVIL)
    documents = render_card(evil)
    assert outline(documents["card.html"]).outside == []
    html = MarkdownIt("commonmark").enable("table").render(documents["card.md"])
    assert "<script" not in html and "|" not in re.sub(r"<[^>]+>", "", html).replace("&quot;)&lt;/script&gt;|", "")


def test_a_gate_report_names_every_check_and_digest(card_facts: CardFacts) -> None:
    report = card_facts.report
    assert report is not None
    for text in render_gate(report, card_facts.version).values():
        assert all(digest in text for digest in (report.digest, report.candidate_digest, report.policy_digest))
        assert text.count("(always)") == 5 and "nothing is in production" in text


def test_a_gate_report_shows_what_was_measured_and_its_curves(card_facts: CardFacts) -> None:
    assert card_facts.report is not None
    findings = msgspec.structs.replace(
        card_facts.report.findings,
        slices=(Sliced(EVIL, (Part(100, 30, {"auc": 0.75}, {"auc": Interval(0.7, 0.8, 9)}, value=EVIL),), 2),),
        fairness=(Groups("sex", (Group(EVIL, 40, 400, 30, 10), Group("M", 50, 500, 0, 1))),),
        robustness=(Robust("auc under noise", (Perturbed("noise", "noise", 1, "auc", 0.7, None, None, 9, 3),)),),
        explanation=Explanation("treeshap", 500, (Attribution("x1", 1.25, 0.9), Attribution("x0", 0.1))),
    )
    report = msgspec.structs.replace(card_facts.report, findings=findings)
    pages = render_gate(report, card_facts.version, card_facts.plots)
    page = outline(pages["gate.html"])
    assert page.outside == [] and pages["gate.html"].count("data:image/png;base64,") == 3
    for text in (pages["gate.md"], page.text):
        for fact in ("0.7000 to 0.8000", "75.0%", "1.2500", "x1", "average", "brier"):
            assert fact in text, fact
    assert "raise the score" in page.text and "2 rarer values" in page.text and "auc under noise" in page.text
    assert "<script>" not in pages["gate.html"] and "<script>" not in pages["gate.md"]


def test_the_report_of_a_regression_calls_predictions_so_and_has_no_empty_column(card_facts: CardFacts) -> None:
    assert card_facts.report is not None
    part = Part(100, None, {"rmse": 3.5, "r2": 0.9}, {"rmse": Interval(3.1, 3.9, 9), "r2": Interval(0.8, 0.95, 9)})
    findings = msgspec.structs.replace(
        card_facts.report.findings,
        whole=part,
        slices=(Sliced("weekday", (msgspec.structs.replace(part, value="Monday"),)),),
        leaks=Leaks((Alone("hour", None, r2=0.4), Alone("day", None, r2=0.1))),
        explanation=Explanation("treeshap", 500, (Attribution("x1", 1.25, 0.9),)),
    )
    report = msgspec.structs.replace(card_facts.report, findings=findings, checks=())
    pages = render_gate(report, card_facts.version)
    for text in (pages["gate.md"], outline(pages["gate.html"]).text):
        assert "What predictions rest on" in text and "score" not in text
    for table in re.findall(r"<table><thead>.*?</table>", pages["gate.html"], re.DOTALL):
        rows = re.findall(r"<tr>(.*?)</tr>", table)
        cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
        assert len({len(row) for row in cells}) == 1
        named = {column for column, name in enumerate(cells[0]) if "interval" in name}
        assert all(row[column] for row in cells[1:] for column in named)


def test_a_report_before_registration_has_no_number(card_facts: CardFacts) -> None:
    assert card_facts.report is not None
    assert "# Gate report: fraud\n" in render_gate(card_facts.report)["gate.md"]


def test_limitations_come_from_the_facts(card_facts: CardFacts) -> None:
    found = " ".join(limitations(card_facts))
    assert "drawn at random" in found and "'auc no worse than production by 0.01' was skipped" in found
    split = msgspec.structs.replace(card_facts.split, test_start_us=5, dropped_rows=7, test_positives=12)
    data = msgspec.structs.replace(card_facts.data, delay_us=7 * 86_400_000_000, positives=6)
    timed = " ".join(limitations(msgspec.structs.replace(card_facts, split=split, data=data, importance={"x1": 0.8})))
    assert "known 1w after its event" in timed and "7 rows were left out" in timed
    assert "Only 12 of 120 test rows are positive" in timed and "accuracy says little" in timed
    assert "x1 carries 80%" in timed and "drawn at random" not in timed


def test_of_an_adopted_version_nobody_says_that_test_rows_are_new_to_it(card_facts: CardFacts) -> None:
    told = {"kind": "lightgbm", "from": "churn/3", "digest": "0" * 64}
    adopted = msgspec.structs.replace(
        card_facts,
        version=msgspec.structs.replace(card_facts.version, trainer=told),
        split=msgspec.structs.replace(card_facts.split, test_positives=None),
    )
    assert "trained elsewhere, on rows that are not known here" in limitations(adopted)[0]
    assert not [one for one in limitations(card_facts) if "trained elsewhere" in one]
    for page in render_card(adopted).values():
        assert "none of which it has learned from" not in page and "of which it may have learned" in page


def test_a_full_vocabulary_is_said_to_be_one(card_facts: CardFacts) -> None:
    terminal = InputSpec("terminal", "string", tuple(f"t{i:04}" for i in range(1_000)))
    version = msgspec.structs.replace(card_facts.version, signature=Signature((terminal,)))
    found = " ".join(limitations(msgspec.structs.replace(card_facts, version=version)))
    assert "terminal: values other than the 1,000 most frequent in training count as missing" in found


def test_pictures_of_the_same_numbers_are_the_same_bytes(card_facts: CardFacts) -> None:
    first, second = draw(card_facts.evaluation), draw(card_facts.evaluation)
    assert first == second and set(first) == {"roc.png", "precision_recall.png", "calibration.png"}
    assert all(png.startswith(b"\x89PNG") and len(png) < 100_000 for png in first.values())


def test_the_real_file_gets_a_card(credit_card: Rows) -> None:
    facts = make_card_facts(credit_card, lightgbm(num_trees=60, learning_rate=0.05), MemoryBlobs())
    assert facts.report is not None and facts.report.outcome is Outcome.PASS
    assert (facts.split.test_rows, facts.split.test_positives) == (2_000, 30)
    assert facts.evaluation.metrics["auc"] > 0.95
    text = render_card(facts)["card.md"]
    assert "Only 30 of 2,000 test rows are positive" in text
    assert "merchant_category: values other than the 5" in text


@pytest.mark.parametrize("missing", [{"report": None}, {"plots": {}}, {"importance": {}}, {"owner": ""}])
def test_what_is_absent_leaves_no_hole(card_facts: CardFacts, missing: dict[str, Any]) -> None:
    documents = render_card(msgspec.structs.replace(card_facts, **missing))
    outline(documents["card.html"])
    assert "None" not in documents["card.md"]
