"""The user's mistakes: one line that names the value, what is allowed and the fix. The command line exits with 2."""

from __future__ import annotations


class UsageError(ValueError):
    """A flag or argument that cannot be followed."""


def user_errors() -> tuple[type[Exception], ...]:
    """Everything that is shown as one line instead of a traceback."""
    from benchmark.executors import ExecutorError
    from benchmark.store import StoreError
    from methods import MethodError
    from tasks import TaskError

    return (UsageError, MethodError, TaskError, StoreError, ExecutorError)
