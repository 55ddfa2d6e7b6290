"""What Python shows of an error that nobody caught."""

import pickle
import traceback

from falaj.kernel.errors import NotFound, RateLimited


def test_the_hint_stands_below_an_error_that_nobody_caught() -> None:
    error = NotFound("model 'frod' does not exist", hint="did you mean 'fraud'?")
    told = "".join(traceback.format_exception(error)).splitlines()
    assert told == ["falaj.kernel.errors.NotFound: model 'frod' does not exist", "fix: did you mean 'fraud'?"]
    assert str(error) == error.message == "model 'frod' does not exist"
    assert len(traceback.format_exception(NotFound("nothing to do"))) == 1


def test_an_error_keeps_its_hint_once_where_it_crosses_to_another_process() -> None:
    error = pickle.loads(pickle.dumps(RateLimited("too much", hint="wait", retry_after_s=3)))  # noqa: S301 - our own
    assert (error.message, error.hint, error.retry_after_s, error.__notes__) == ("too much", "wait", 3, ["fix: wait"])
