"""Sound trees: whether a booster's file names only columns, branches and leaves that are there.

LightGBM and XGBoost read what they find, and compute by it without looking: a number too large is an address beyond
their memory.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from falaj.kernel.errors import DataError

_LEAF = -1
"""What XGBoost calls the children of a leaf."""

_CATEGORICAL = 1
"""The bit of a decision's type that says so."""


def check_lightgbm(text: str) -> None:
    """Return if every tree can be walked to a leaf.

    Args:
        text: As a booster writes it, not as somebody gave it: so it is what will be walked.

    Raises:
        DataError: A tree names what is not there.
    """
    header, *trees = text.split("\nend of trees")[0].split("\nTree=")
    columns = int(_fields(header)["max_feature_idx"]) + 1
    for number, tree in enumerate(trees):
        try:
            problem = next(_problems(_fields(tree), columns), "")
        except (KeyError, ValueError, IndexError):
            problem = "what it says cannot be read"
        if problem:
            raise _unsound(number, problem)


def check_xgboost(document: Mapping[str, Any]) -> None:
    """Return if every tree can be walked to a leaf.

    Args:
        document: What a booster writes as JSON; one that is no booster of trees has none.

    Raises:
        DataError: A tree names what is not there.
    """
    learner = document["learner"]
    boosted = learner["gradient_booster"]
    model = boosted.get("gbtree", boosted)["model"]  # DART has its trees one floor below
    columns, groups = (int(learner["learner_model_param"][name]) for name in ("num_feature", "num_class"))
    for number, (tree, group) in enumerate(zip(model.get("trees", ()), model.get("tree_info", ()), strict=True)):
        if not 0 <= group < max(1, groups):
            raise _unsound(number, f"it counts for class {group}, which is not there")
        problem = _problem_on_the_way(tree["left_children"], tree["right_children"], tree["split_indices"], columns)
        if problem:
            raise _unsound(number, problem)


def _problem_on_the_way(left: list[int], right: list[int], looked_at: list[int], columns: int) -> str:
    """Return what is wrong on a walk over all nodes; XGBoost uses numbers anew, so a parent may have the larger one."""
    waiting, met = [0], set[int]()
    while waiting:
        node = waiting.pop()
        if not 0 <= node < len(left) or node in met:
            return "it names a branch that is not there"
        met.add(node)
        if left[node] == _LEAF:
            continue
        if not 0 <= looked_at[node] < columns:
            return f"it looks at a column beyond its {columns}"
        waiting += [left[node], right[node]]
    return ""


def _unsound(number: int, problem: str) -> DataError:
    return DataError(f"tree {number} of the model: {problem}", hint="log it again where it was trained")


def _fields(part: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in part.splitlines() if "=" in line)


def _problems(tree: Mapping[str, str], columns: int) -> Iterator[str]:
    leaves = int(tree["num_leaves"])
    used = [*_whole(tree, "split_feature"), *_whole(tree, "leaf_features")]
    if any(not 0 <= column < columns for column in used):
        yield f"it looks at a column beyond its {columns}"
    for side in ("left_child", "right_child"):
        children = _whole(tree, side)
        if len(children) < leaves - 1:
            yield f"{side} has {len(children)} nodes of {leaves - 1}"
        # A node comes after its parent, so that no way leads in a circle; leaves are counted below zero.
        if any(not (node < child < leaves - 1 or -leaves <= child < 0) for node, child in enumerate(children)):
            yield f"{side} names a branch that is not there"
    if leaves > 1:
        yield from _problems_of_categories(tree)


def _problems_of_categories(tree: Mapping[str, str]) -> Iterator[str]:
    sets, bounds = int(tree.get("num_cat", "0")), _whole(tree, "cat_boundaries")
    if sets:
        words = len(_whole(tree, "cat_threshold"))
        if len(bounds) != sets + 1 or bounds[0] != 0 or bounds != sorted(bounds) or bounds[-1] > words:
            yield "its sets of categories are not there"
    kinds, thresholds = _whole(tree, "decision_type"), tree["threshold"].split()
    for kind, threshold in zip(kinds, thresholds, strict=True):
        if kind & _CATEGORICAL and not 0 <= int(float(threshold)) < sets:
            yield "it names a set of categories that is not there"


def _whole(tree: Mapping[str, str], name: str) -> list[int]:
    return [int(word) for word in tree.get(name, "").split()]
