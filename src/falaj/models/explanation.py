"""Explanation: what a version's scores on test rows rest on, over all and in a few of them."""

import msgspec


class Attribution(msgspec.Struct, frozen=True):
    """One input's part in the scores.

    Attributes:
        feature: Its name.
        amount: By Shapley values: how far it moves the log-odds of a row, or what is predicted of it, on average,
            whichever way. By permutation: how much auc, or of a regression r2, is lost when its values are dealt out
            anew.
        direction: By Shapley values: the correlation of its values with what they add; above zero, greater values mean
            greater scores. None where it is a text, or does not vary.
    """

    feature: str
    amount: float
    direction: float | None = None


class Contribution(msgspec.Struct, frozen=True):
    """What one input adds to one row.

    Attributes:
        feature: Its name.
        value: Its value in the row, as text; empty where it is not known.
        amount: What it adds to the margin.
    """

    feature: str
    value: str
    amount: float


class Example(msgspec.Struct, frozen=True):
    """One test row, explained.

    Attributes:
        why: Why it was chosen, in words.
        row: Its position among the test rows.
        label: What became of it.
        score: What the version gives it.
        margin: Where the contributions add up to: the score's log-odds, or what is predicted.
        contributions: Of each input, the greatest first, whichever way; they and the base make the margin.
    """

    why: str
    row: int
    label: float
    score: float
    margin: float
    contributions: tuple[Contribution, ...]


class Explanation(msgspec.Struct, frozen=True):
    """What a version's scores on test rows rest on.

    Attributes:
        method: "treeshap", "shap" or "permutation".
        rows: On how many test rows.
        attributions: One for each input, the greatest first.
        base: The margin that rows start from; None by permutation, which tells nothing of single rows.
        examples: A few rows, each explained.
        note: What could not be done, and what would mend it; empty when nothing is missing.
    """

    method: str
    rows: int
    attributions: tuple[Attribution, ...]
    base: float | None = None
    examples: tuple[Example, ...] = ()
    note: str = ""

    @property
    def by(self) -> str:
        """How reports call the method."""
        return {"treeshap": "TreeSHAP", "shap": "SHAP"}.get(self.method, self.method)

    @property
    def adds_up(self) -> bool:
        """Whether what the inputs add makes each row's margin, and is told of single rows."""
        return self.base is not None
