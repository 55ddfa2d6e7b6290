"""The same features by three engines that share no code: plain Python, DuckDB, and the online record."""

from hypothesis import HealthCheck, given, settings

from falaj.features.status import NOT_FOUND, NULL_VALUE, OUTSIDE_MAX_AGE, OUTSIDE_RETENTION, PRESENT
from support.feature_worlds import World, agree, naive, offline, online, worlds

SLOW_START = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@SLOW_START
@given(worlds(lateness="1h"))
def test_online_is_naive(world: World) -> None:
    answers = online(world)
    for i, (question, expected) in enumerate(zip(world.questions, naive(world), strict=True)):
        for feature, got, want, status in zip(
            world.view.features, answers.values[i], expected, answers.statuses[i], strict=True
        ):
            assert agree(world, feature, question, got, want), (feature, question, got, want)
            assert status in ((PRESENT, NOT_FOUND) if got == 0 else (PRESENT,)) or got is None
            assert (status in (NULL_VALUE, NOT_FOUND, OUTSIDE_MAX_AGE)) or got is not None


@SLOW_START
@given(worlds(lateness="0s"))
def test_pruned_state_is_right_or_says_that_it_cannot_know(world: World) -> None:
    answers = online(world)
    newest = max((row["at"] for row in world.rows), default=0)
    for i, (question, expected) in enumerate(zip(world.questions, naive(world), strict=True)):
        for feature, got, want, status in zip(
            world.view.features, answers.values[i], expected, answers.statuses[i], strict=True
        ):
            if status == OUTSIDE_RETENTION:
                assert got is None
                assert question[1] < newest or feature.window_us is None, "present instants are always answered"
            else:
                assert agree(world, feature, question, got, want), (feature, question, got, want)


@settings(SLOW_START, max_examples=60)
@given(worlds())
def test_offline_is_naive(world: World) -> None:
    for question, got_row, want_row in zip(world.questions, offline(world), naive(world), strict=True):
        for feature, got, want in zip(world.view.features, got_row, want_row, strict=True):
            assert agree(world, feature, question, got, want), (feature, question, got, want)
