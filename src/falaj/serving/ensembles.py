"""Ensembles: other endpoints decide in the place of a model, all rows of a batch together."""

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import msgspec

from falaj.definitions.ensemble_spec import EnsembleSpec, logistic
from falaj.definitions.prediction_policy import PredictionPolicy
from falaj.definitions.routing_table import EndpointRoute, Variant
from falaj.kernel.errors import CorruptionError, FalajError, Unsupported
from falaj.models.runtimes.port import Matrix, Scores
from falaj.serving.rows import Row
from falaj.serving.stats import EVERY, UNSEEN_VALUE
from falaj.serving.validation import FieldGroup
from falaj.serving.variants import LoadedRoute, LoadedVariant

Score = Callable[[Iterable[Row]], None]
"""Sets the score, or the error, of rows whose variants are models."""

Pick = Callable[[list[Any]], list[Any]]


class NoRuntime:
    """What an ensemble has in the place of a model."""

    features = 0

    def predict(self, matrix: Matrix) -> Scores:
        """Refuse: its members take different features.

        Raises:
            Unsupported: Always.
        """
        del matrix
        raise Unsupported("an ensemble takes entities and request fields", hint="ask it without :raw")


class LoadedEnsemble(LoadedVariant):
    """An ensemble over what its members serve now; a changed routing table makes a new one.

    Args:
        route: The endpoint it stands behind.
        spec: The variant as published.
        members: Its members' routes by name.

    Raises:
        CorruptionError: Its members take a field of one name as different types.
    """

    def __init__(self, route: EndpointRoute, spec: Variant, members: dict[str, LoadedRoute]) -> None:
        # One record holds them all, so that it leaves out what any of them would leave out of its own.
        policies = [variant.route.prediction_log for member in members.values() for variant in member.variants]
        policy = PredictionPolicy.strictest([route.prediction_log, *policies])
        super().__init__(msgspec.structs.replace(route, prediction_log=policy), spec, NoRuntime())
        assert spec.ensemble is not None
        self.combination: EnsembleSpec = spec.ensemble
        self._members = members
        self.routes = [members[name] for name in spec.ensemble.members]
        self.by = members.get(spec.ensemble.by)
        variants = [variant for member in members.values() for variant in member.live]
        scores = frozenset(spec.ensemble.members if self.by is not None else ())
        self.entities = _union("entities", [variant.entities for variant in variants], frozenset())
        self.request = _union("request", [variant.request for variant in variants], scores)
        self.stored = list(dict.fromkeys(column for variant in variants for column in variant.stored))
        self._picks: dict[tuple[int, int], Pick | None] = {}

    def as_test(self) -> LoadedVariant:
        """Return the same ensemble in the role "test"; so are then its members."""
        return LoadedEnsemble(self.route, msgspec.structs.replace(self.spec, role="test"), self._members)

    def inputs_of(self, endpoint: str, variant: str) -> list[str]:
        """Return the feature columns of a member's variant, in its signature's order."""
        return next((one.inputs for one in self._members[endpoint].variants if one.spec.name == variant), [])

    def member_row(self, row: Row, member: LoadedRoute, request: dict[str, Any]) -> Row:
        """Return the row that a member decides for a row of the ensemble, by the variant that the unit has there."""
        variant = member.choose(row.unit, request)
        if self.spec.role == "test":
            variant = member.test(variant.spec.name)
        return Row(variant, row.request_id, row.client_id, row.unit, row.at_us, row.entities, request)

    def take_over(self, row: Row) -> bool:
        """Give a member's row the features that another member has read for the same request; return whether one had.

        Args:
            row: Whose features are wanted; `members` are all rows of the same request, for as long as it is decided.
        """
        for other in row.members:
            if other.features and not other.defaulted and other.error is None:
                pick = self._pick(row.variant, other.variant)
                if pick is not None:
                    row.features = pick(other.features)
                    row.statuses = _of_columns(row.variant, other)
                    row.applied_seq = _of_views(row.variant, other)
                    return True
        return False

    def _pick(self, wants: LoadedVariant, has: LoadedVariant) -> Pick | None:
        key = (id(wants), id(has))
        if key not in self._picks:
            self._picks[key] = _pick(wants, has)
        return self._picks[key]


def decide_together(ensemble: LoadedEnsemble, rows: list[Row], score: Score) -> None:
    """Set the scores of an ensemble's rows: members are asked for all rows at once, a costly one where it must be.

    A row of which a member fails has that member's error; an ensemble of fewer members would be another model.

    Args:
        ensemble: The ensemble.
        rows: Its rows.
        score: Scores members' rows.
    """
    combine = ensemble.combination
    first = ensemble.routes[:1] if combine.method == "cascade" else ensemble.routes
    for row in rows:
        _seat(row, tuple(ensemble.member_row(row, member, row.request) for member in first))
    score(member for row in rows for member in row.members)
    if combine.method == "cascade":
        _ask_more([(row, row.request) for row in rows if _unsure(combine, row)], ensemble, ensemble.routes[1], score)
    elif ensemble.by is not None:
        _ask_more([(row, _with_scores(combine, row)) for row in rows if _all_scored(row)], ensemble, ensemble.by, score)
    for row in rows:
        _settle(combine, row)


def _ask_more(
    asked: list[tuple[Row, dict[str, Any]]], ensemble: LoadedEnsemble, member: LoadedRoute, score: Score
) -> None:
    for row, request in asked:
        _seat(row, (*row.members, ensemble.member_row(row, member, request)))
    score(row.members[-1] for row, _ in asked)


def _seat(row: Row, members: tuple[Row, ...]) -> None:
    row.members = members
    for member in members:
        member.members = members


def _all_scored(row: Row) -> bool:
    return all(member.score is not None for member in row.members)


def _unsure(combine: EnsembleSpec, row: Row) -> bool:
    cheap = row.members[0].score
    return cheap is not None and combine.low <= cheap <= combine.high


def _with_scores(combine: EnsembleSpec, row: Row) -> dict[str, Any]:
    return row.request | {name: member.score for name, member in zip(combine.members, row.members, strict=True)}


def _settle(combine: EnsembleSpec, row: Row) -> None:
    for member in row.members:
        member.members = ()  # which would keep each alive until the collector looks at them
    row.defaulted = any(member.defaulted for member in row.members)
    row.statuses = _statuses(row.members)
    row.applied_seq = {view: seq for member in row.members for view, seq in member.applied_seq.items()}
    for member in row.members:
        if member.error is not None or member.score is None:
            row.error = member.error or FalajError("a member of the ensemble gave no score")
            return
    scores = [member.score for member in row.members if member.score is not None]
    row.score = combined(combine, scores)
    if row.score - row.score != 0.0:
        row.score, row.error = None, FalajError("the ensemble's weights make its members' scores no number")


def combined(combine: EnsembleSpec, scores: list[float]) -> float:
    """Return what the scores of those that were asked become.

    Args:
        combine: The ensemble.
        scores: In the order in which members were asked; of a cascade, and where an endpoint combines, the last one
            decides.
    """
    if combine.method == "cascade" or combine.by:
        return scores[-1]
    if combine.method == "vote":
        return 1.0 if sum(score >= combine.threshold for score in scores) >= combine.at_least else 0.0
    if not combine.weights:
        return sum(scores) / len(scores)
    total = sum(weight * score for weight, score in zip(combine.weights, scores, strict=True))
    if combine.method == "mean":
        return total / sum(combine.weights)
    return logistic(total + combine.bias) if combine.link == "logistic" else total + combine.bias


def _union(part: str, groups: list[FieldGroup], without: frozenset[str]) -> FieldGroup:
    dtypes: dict[str, str] = {}
    for name, dtype in (field for group in groups for field in group.fields if field[0] not in without):
        if dtypes.setdefault(name, dtype) != dtype:
            raise CorruptionError(
                f"its members take {part} field {name!r} as {dtypes[name]} and as {dtype}",
                hint="roll one of them back, or train it anew",
            )
    return FieldGroup(part, tuple(dtypes.items()))


def _statuses(members: tuple[Row, ...]) -> dict[str, str]:
    reading = [member for member in members if member.statuses]
    first = reading[0] if reading else None
    if first is None:
        return {}
    if all(m.statuses == first.statuses and m.variant.stored == first.variant.stored for m in reading):
        return first.statuses
    merged: dict[str, str] = {}
    for member in reading:
        every = member.statuses.get(EVERY)
        merged |= member.statuses if every is None else dict.fromkeys(member.variant.stored, every)
    return merged


def _of_columns(variant: LoadedVariant, other: Row) -> dict[str, str]:
    # What the other's training never saw, this one's may have seen.
    told = {name: "PRESENT" if status == UNSEEN_VALUE else status for name, status in other.statuses.items()}
    if EVERY in told or not told:
        return {EVERY: told[EVERY]} if variant.stored and told else {}
    found = {column: told[column] for column in variant.stored}
    first = next(iter(found.values()), "")
    return {EVERY: first} if found and all(status == first for status in found.values()) else found


def _of_views(variant: LoadedVariant, other: Row) -> dict[str, int]:
    views = () if variant.service is None else variant.service.views
    if len(views) == len(other.applied_seq):
        return other.applied_seq
    return {view.name: other.applied_seq[view.name] for view in views}


def _as_fresh(wants: LoadedVariant, has: LoadedVariant) -> bool:
    """Return whether the features of one are never older than the other's endpoint allows."""
    ours_ms, theirs_ms = (one.route.options.features_max_age_ms for one in (wants, has))
    if theirs_ms == 0.0 or ours_ms == theirs_ms:
        return True
    return ours_ms is not None and theirs_ms is not None and theirs_ms <= ours_ms  # the default is not known here


def _pick(wants: LoadedVariant, has: LoadedVariant) -> Pick | None:
    """Return what makes one variant's features of another's; None where these do not hold them."""
    part, whole = wants.service, has.service
    if part is None or whole is None or not set(wants.inputs) <= set(has.inputs) or not _as_fresh(wants, has):
        return None
    held = {view.digest for view in whole.views}
    if not all(view.digest in held for view in part.views) or not all(v in whole.on_demand for v in part.on_demand):
        return None
    if wants.inputs == has.inputs:
        return list
    positions = [has.inputs.index(name) for name in wants.inputs]
    if len(positions) == 1:
        return lambda features: [features[positions[0]]]
    pick = itemgetter(*positions)
    return lambda features: list(pick(features))
