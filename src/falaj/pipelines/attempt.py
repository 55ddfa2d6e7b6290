"""One try of a step: what came of it, and what follows from that."""

import traceback
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from falaj.kernel.errors import DefinitionError, FalajError
from falaj.kernel.secret import hide
from falaj.pipelines.context import EndState, StepContext, StepStopped
from falaj.pipelines.graph import Step
from falaj.pipelines.outputs import checked

MAX_CRASHES = 3
"""A step that kills its process this often is FAILED: a fourth try would only kill one more."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt.

    Attributes:
        state: How it ended.
        outputs: Plain values, and paths of files, by name.
        error: Why it did not succeed.
        retryable: Whether trying again could help.
        used: Digests that the step says it used.
        made: Digests that the step says it made.
        cpu_seconds: Core-seconds spent.
        blameless: Whether a death was not the step's doing, and is not counted.
        delay_s: Pause before the next try, where there is one that costs none of the step's own.
        job_over: Whether the job that it ran as is over; see `JobExecutor`.
    """

    state: EndState
    outputs: dict[str, Any] = {}
    error: str | None = None
    retryable: bool = True
    used: list[str] = []
    made: list[str] = []
    cpu_seconds: float = 0.0
    blameless: bool = False
    delay_s: float = 0.0
    job_over: bool = False


class Verdict(msgspec.Struct, frozen=True):
    """What follows from an attempt that did not succeed.

    Attributes:
        state: How the step ends; None when it waits for another try.
        failures: Failures and timeouts so far.
        crashes: Deaths so far.
        delay_s: Pause before the next try.
        error: Why.
    """

    state: EndState | None
    failures: int
    crashes: int
    delay_s: float = 0.0
    error: str | None = None


def judge(step: Step, result: Result, *, failures: int, crashes: int, run_over: bool) -> Verdict:
    """Return what follows from an attempt that did not succeed.

    Args:
        step: The step.
        result: What came of the attempt.
        failures: Failures and timeouts before it.
        crashes: Deaths before it.
        run_over: Whether the run was cancelled or has ended, so that no step of it may be tried again.

    Example:
        >>> step = Step(name="a", function="m:f", retries=1)
        >>> judge(step, Result(state=EndState.LOST), failures=1, crashes=0, run_over=False).crashes
        1
    """
    if result.state is EndState.LOST and not result.blameless:
        crashes += 1
    if result.state in (EndState.FAILED, EndState.TIMED_OUT):
        failures += 1
        if not run_over and result.retryable and failures <= step.retries:
            delay_s = step.retry_delay_s * 2 ** (failures - 1)
            return Verdict(None, failures, crashes, delay_s, result.error)
        return Verdict(result.state, failures, crashes, error=result.error)
    if run_over or result.state is EndState.CANCELLED:
        return Verdict(EndState.CANCELLED, failures, crashes, error=result.error or "cancelled")
    if crashes >= MAX_CRASHES:
        error = f"the step killed its process {crashes} times; the last time: {result.error}"
        return Verdict(EndState.FAILED, failures, crashes, error=error)
    return Verdict(None, failures, crashes, result.delay_s, result.error)


def load(function: str) -> Callable[..., Any]:
    """Return the function that `module:qualname` names.

    Raises:
        DefinitionError: There is none.

    Example:
        >>> load("os.path:join")("a", "b")
        'a/b'
    """
    module, _, qualname = function.partition(":")
    found: Any = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise DefinitionError(f"{function!r} names no function", hint=f"define {qualname!r} in module {module!r}")
    return found  # type: ignore[no-any-return]


def attempt(function: str, context: Callable[[], StepContext], cpu_clock: Callable[[], float]) -> Result:
    """Call a step function and turn whatever happens into a result.

    Args:
        function: `module:qualname`.
        context: Makes what the function is given; its failure is the step's.
        cpu_clock: Core-seconds spent so far.
    """
    started = cpu_clock()
    given: StepContext | None = None
    try:
        given = context()
        outputs = checked(given.step, _called(load(function), given))
        used, made = given.used_digests, given.made_digests
        return Result(
            state=EndState.SUCCEEDED, outputs=outputs, used=used, made=made, cpu_seconds=cpu_clock() - started
        )
    except StepStopped as stopped:
        error = f"ended by the step at its own check: {stopped.state}"
        return Result(state=stopped.state, error=error, cpu_seconds=cpu_clock() - started)
    except (Exception, SystemExit) as error:  # noqa: BLE001 the worker loop: a step's error is a result, not ours
        hidden = [] if given is None else given.hidden
        (print if given is None else given.log)(hide(traceback.format_exc(), hidden))
        retryable = not isinstance(error, FalajError) or error.retryable
        why = hide(sentence(error), hidden)
        return Result(state=EndState.FAILED, error=why, retryable=retryable, cpu_seconds=cpu_clock() - started)


def _called(function: Callable[..., Any], context: StepContext) -> Any:
    if context.arguments is None:
        return function(context)
    from falaj.definitions.step import StepFunction  # other steps need none of it
    from falaj.pipelines.values import call

    if not isinstance(function, StepFunction):
        raise DefinitionError(f"step {context.step!r} is no step function any more", hint="put @fj.step above it")
    return call(function, context)


def sentence(error: BaseException) -> str:
    """Return one line for people.

    Example:
        >>> sentence(KeyError("amount"))
        "KeyError: 'amount'"
    """
    if isinstance(error, FalajError):
        return f"{error.message} ({error.hint})" if error.hint else error.message
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
