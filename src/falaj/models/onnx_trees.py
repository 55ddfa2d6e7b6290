"""OnnxTrees: the nodes of an ONNX tree ensemble, laid out as `runtimes.trees` wants them."""

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from falaj.kernel.errors import Unsupported
from falaj.models.runtimes.trees import Trees

_BRANCHES = ("BRANCH_LT", "BRANCH_LEQ")
_MOST_NODES = 1 << 24


def read_trees(model: bytes, features: int) -> Trees:
    """Return the trees of a binary classifier or a regression.

    Args:
        model: An ONNX file.
        features: How many columns it takes.

    Raises:
        Unsupported: It is not one ensemble of trees with plain branches and one score.
    """
    graph = onnx.load_model_from_string(model).graph
    ones = {one.name for one in graph.initializer if np.all(numpy_helper.to_array(one) == 1)}
    nodes: dict[str, list[Any]] = {}
    for node in graph.node:
        if node.op_type not in ("Cast", "Identity") and not (node.op_type == "Mul" and node.input[1] in ones):
            nodes.setdefault(node.op_type, []).append(node)
    ensembles, imputers = nodes.pop("TreeEnsembleClassifier", []), nodes.pop("Imputer", [])
    numbers = nodes.pop("TreeEnsembleRegressor", [])
    ensembles += numbers
    if len(ensembles) != 1 or len(imputers) > 1 or nodes:
        raise Unsupported("the model is more than one ensemble of trees")
    given, instead = _attributes(ensembles[0]), _instead_of_missing(imputers, features)
    return _of_regression(given, instead) if numbers else _of_classifier(given, instead)


def _attributes(node: Any) -> dict[str, Any]:
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _instead_of_missing(imputers: list[Any], features: int) -> list[float]:
    """Return what stands in for a missing value of each column; NaN where nothing does."""
    if not imputers:
        return [np.nan] * features
    given = _attributes(imputers[0])
    values = list(given.get("imputed_value_floats", ()))
    if not np.isnan(given.get("replaced_value_float", 0.0)) or len(values) not in (1, features):
        raise Unsupported("the model replaces other values than missing ones")
    return values if len(values) == features else values * features


def _of_classifier(given: dict[str, Any], instead: list[float]) -> Trees:
    post = given.get("post_transform", b"NONE")
    if list(given.get("classlabels_int64s", ())) != [0, 1] or post not in (b"LOGISTIC", b"NONE"):
        raise Unsupported("the ensemble is not a binary classifier")
    leaf_values, base = _leaf_values(given, post)
    return _laid_out(given, instead, leaf_values, base, logistic=post == b"LOGISTIC")


def _of_regression(given: dict[str, Any], instead: list[float]) -> Trees:
    """Return trees whose sum is the answer as it is."""
    base, how = list(given.get("base_values", ())), given.get("aggregate_function", b"SUM")
    if given.get("post_transform", b"NONE") != b"NONE" or how not in (b"SUM", b"AVERAGE"):
        raise Unsupported("the trees' sum is not the answer")
    if set(given["target_ids"]) - {0} or given.get("n_targets", 1) != 1 or len(base) > 1:
        raise Unsupported("the ensemble has several answers")
    parts = len(set(given["nodes_treeids"])) if how == b"AVERAGE" else 1
    values: dict[tuple[int, int], float] = {}
    for tree, node, weight in zip(
        given["target_treeids"], given["target_nodeids"], given["target_weights"], strict=True
    ):
        values[tree, node] = values.get((tree, node), 0.0) + weight / parts
    return _laid_out(given, instead, values, float(base[0]) if base else 0.0, logistic=False)


def _laid_out(
    given: dict[str, Any],
    instead: list[float],
    leaf_values: dict[tuple[int, int], float],
    base: float,
    *,
    logistic: bool,
) -> Trees:
    modes = [mode.decode() for mode in given["nodes_modes"]]
    if set(modes) - {*_BRANCHES, "LEAF"} or not 0 < len(modes) <= _MOST_NODES:
        raise Unsupported("the trees have branches of other kinds")
    tree_of = np.array(given["nodes_treeids"])
    first = np.flatnonzero(np.r_[True, tree_of[1:] != tree_of[:-1]])
    if len(np.unique(tree_of)) != len(first):
        raise Unsupported("the nodes of a tree do not stand together")
    made = _Layout(given, modes, instead)
    for start, end in zip(first.tolist(), [*first[1:].tolist(), len(modes)], strict=True):
        made.add_tree(start, end, leaf_values)
    return Trees(
        len(instead), base, logistic, np.array(made.roots, np.int32), np.array(made.depths, np.int32),
        np.array(made.features, np.int32), np.array(made.thresholds, np.float32), np.array(made.lefts, np.int32),
        np.array(made.values, np.float64),
    )  # fmt: skip


def _leaf_values(given: dict[str, Any], post: bytes) -> tuple[dict[tuple[int, int], float], float]:
    """Return what each leaf adds to the score of class 1, by tree and node, and what the sum begins with."""
    classes = set(given["class_ids"])
    base = list(given.get("base_values", ()))
    if len(classes) == 2 and post == b"NONE":  # a weight for each class: they are probabilities
        wanted, begin = 1, base[1] if base else 0.0
    elif len(classes) == 1 and len(base) <= 1:
        (wanted,) = classes
        begin = base[0] if base else 0.0
    else:
        raise Unsupported("the ensemble has several scores")
    rows = zip(given["class_treeids"], given["class_nodeids"], given["class_ids"], given["class_weights"], strict=True)
    values: dict[tuple[int, int], float] = {}
    for tree, node, class_id, weight in rows:
        if class_id == wanted:
            values[tree, node] = values.get((tree, node), 0.0) + weight
    return values, float(begin)


class _Layout:
    def __init__(self, given: dict[str, Any], modes: list[str], instead: list[float]) -> None:
        self._given = given
        self._modes = modes
        self._instead = instead
        self._width = len(instead)
        self._tracks_true = given.get("nodes_missing_value_tracks_true") or [0] * len(modes)
        self.roots: list[int] = []
        self.depths: list[int] = []
        self.features: list[int] = []
        self.thresholds: list[float] = []
        self.lefts: list[int] = []
        self.values: list[float] = []

    def add_tree(self, start: int, end: int, leaf_values: dict[tuple[int, int], float]) -> None:
        """Lay out the nodes of one tree, level by level."""
        given = self._given
        place = {given["nodes_nodeids"][at]: at for at in range(start, end)}
        tree = given["nodes_treeids"][start]
        children = {given[side][at] for at in range(start, end) if self._modes[at] != "LEAF"
                    for side in ("nodes_truenodeids", "nodes_falsenodeids")}  # fmt: skip
        (root,) = [node for node in place if node not in children]
        self.roots.append(len(self.features))
        level, depth, laid = [place[root]], 0, 0
        while level:
            laid += len(level)
            if laid > end - start:
                raise Unsupported("a node of a tree has two parents")
            below: list[int] = []
            first_below = len(self.features) + len(level)
            for at in level:
                if self._modes[at] == "LEAF":
                    self._add(0, np.nan, len(self.features) - 1, leaf_values.get((tree, given["nodes_nodeids"][at]), 0))
                    continue
                left, right = (place[given[side][at]] for side in ("nodes_truenodeids", "nodes_falsenodeids"))
                feature, threshold = self._branch(at)
                self._add(feature, threshold, first_below + len(below), 0.0)
                below += [left, right]
            depth += bool(below)
            level = below
        self.depths.append(depth)

    def _branch(self, at: int) -> tuple[int, float]:
        feature, threshold = self._given["nodes_featureids"][at], np.float32(self._given["nodes_values"][at])
        upto = self._modes[at] == "BRANCH_LEQ"
        everything = upto and threshold == np.inf
        if upto and not everything:  # not above t is below the float after it
            threshold = np.nextafter(threshold, np.float32(np.inf))
        if not 0 <= feature < self._width or not (np.isfinite(threshold) or everything):
            raise Unsupported("a branch looks at a column that is not there, or at no finite value")
        instead = np.float32(self._instead[feature])
        missing_is_left = bool(self._tracks_true[at]) if np.isnan(instead) else instead < threshold
        return feature + (0 if missing_is_left else self._width), float(threshold)

    def _add(self, feature: int, threshold: float, left: int, value: float) -> None:
        self.features.append(feature)
        self.thresholds.append(threshold)
        self.lefts.append(left)
        self.values.append(value)
