"""The problems that methods are compared on: data, model, T losses, metrics; and the suites that name them.

``import tasks`` imports no numpy, torch or scikit-learn. A problem is looked up by name and opened for one seed::

    problem = tasks.problem("digits")
    problem.require()                                   # optional packages, before any work
    session = problem.open(seed=0, batch_size=64)
    losses, representation = session.losses(session.batch(step=0))

``tasks.problem("my_package.problems:PROBLEM")`` and ``tasks.problem("my_problem.py:PROBLEM")`` give problems that are not of this package.
"""

from tasks.base import Evaluation, Kind, Metric, Problem, ProblemCard, Session, Split, Task, derive
from tasks.errors import MissingDependency, TaskError, require
from tasks.locations import Locations
from tasks.loop import LoopProblem, from_loop
from tasks.outside import LeftOut, Origin
from tasks.registry import load, origin, problem, problems, problems_left_out
from tasks.suites import Entry, Selection, Suite, parse_suite, suite, suite_names

__all__ = [
    "Entry",
    "Evaluation",
    "Kind",
    "LeftOut",
    "Locations",
    "LoopProblem",
    "Metric",
    "MissingDependency",
    "Origin",
    "Problem",
    "ProblemCard",
    "Selection",
    "Session",
    "Split",
    "Suite",
    "Task",
    "TaskError",
    "derive",
    "from_loop",
    "load",
    "origin",
    "parse_suite",
    "problem",
    "problems",
    "problems_left_out",
    "require",
    "suite",
    "suite_names",
]
