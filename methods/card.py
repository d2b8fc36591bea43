"""A method's card: what it is, where it comes from, what can be set and what it promises. Read without importing torch."""

from __future__ import annotations

import keyword
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from methods import fields
from methods.errors import MethodError, suggestion
from methods.fields import EXACT, WORDS, finite, shown

Value = float | int | str | bool
Family = Literal["loss", "gramian", "jacobian", "several", "foreign"]  # foreign: one of these, known when the object is built
Where = Literal["shared", "last", "representation"]
Claim = Literal[
    "permutation_equivariant",  # relabelling the tasks relabels the weights
    "loss_scale_invariant",  # the direction does not change when L_t (and its L_t(0) and prior) is multiplied by c_t > 0
    "non_conflicting",  # <g_t, d> >= 0 for every task
    "simplex",  # native weights are >= 0 and sum to 1
    "zero_at_pareto_stationarity",  # d = 0 where 0 is a convex combination of the gradients
    "degree_0",  # d(sJ) = d(J)
    "degree_1",  # d(sJ) = s d(J)
]
Fact = Literal["initial_losses", "prior_losses"]
SCALES = ("native", "sum", "mean", "grad_norm")
MODELS_RATE = "learning_rate"
"""What a study tunes beside a method's own hyperparameters: it would set both."""
LONGEST = 60
"""Letters of a method's name: it becomes a column, a file and a module."""


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """Something that can be set: its published default, what is legal, and the range that a study tunes over.

    ``low``/``high`` bound a number inclusively; ``choices`` lists the words; without them a method checks
    its word itself. ``sweep`` is (from, to), searched on a log scale if ``log``, or the words to try; an empty sweep is never tuned.
    ``weights`` marks a word that is the default or numbers between slashes, one a task: see :func:`parse_weights`.

    Raises:
        MethodError: a field of another type, or with a value that makes no sense; the field, its value and what was expected.
    """

    name: str
    default: Value
    meaning: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    sweep: tuple[float, float] | tuple[str, ...] | tuple[()] = ()
    log: bool = False
    weights: bool = False

    def __post_init__(self) -> None:
        whose = f"hyperparameter {self.name if isinstance(self.name, str) else ''}".rstrip()
        fields.check(self, whose)
        if not self.name.isidentifier() or keyword.iskeyword(self.name):
            raise MethodError(f"{whose}: name is {shown(self.name)}; expected a word that Python can have as an argument's name")
        if self.low > self.high:
            raise MethodError(f"{whose}: low is {self.low:g} and high is {self.high:g}; expected low to be at most high")
        if self.weights and not isinstance(self.default, str):
            raise MethodError(f"{whose}: default is {shown(self.default)}; expected a word, as weights=True says")
        self._legal(self.default, f"{whose}: default")
        for value in self.sweep:
            self._legal(value, f"{whose}: sweep has a value that")
        self._check_sweep(whose)

    def _check_sweep(self, whose: str) -> None:
        """Raises MethodError where nothing could be drawn from the sweep, whose values are legal each."""
        if not self.sweep or isinstance(self.default, str):
            return
        low, high = float(self.sweep[0]), float(self.sweep[-1])
        if not low < high:
            raise MethodError(f"{whose}: sweep is {shown(self.sweep)}; expected (from, to) with from below to")
        if self.log and not low > 0:
            raise MethodError(f"{whose}: sweep begins at {low:g}; expected a number above 0, as it is on a log scale")

    def check(self, value: Value, method: str) -> Value:
        """The value in its canonical type (an int given for a float becomes a float), so that equal settings have equal records.

        Raises:
            MethodError: wrong type, outside the range, or not one of the choices.
        """
        return self._legal(value, f"{method}.{self.name}")

    def _legal(self, value: Value, where: str) -> Value:
        """``check``, for a message that begins with ``where``."""
        if self.choices:
            if value not in self.choices:
                near = suggestion(str(value), self.choices) if isinstance(value, str) else ""
                raise MethodError(f"{where} is {shown(value)}; expected one of {', '.join(self.choices)}{near}")
            return value
        if isinstance(self.default, str):  # a word that the method itself checks
            if not isinstance(value, str):
                raise MethodError(f"{where} is {shown(value)}; expected a word, like {self.default!r}")
            if self.weights and value != self.default:
                parse_weights(value, where, self.default)
            return value
        if isinstance(self.default, bool):
            if not isinstance(value, bool):
                raise MethodError(f"{where} is {shown(value)}; expected true or false")
            return value
        if isinstance(value, bool) or not isinstance(value, numbers.Real) or not finite(value):  # numpy's numbers are Real too
            raise MethodError(f"{where} is {shown(value)}; expected a finite number")
        low, high = self.low, self.high
        if isinstance(self.default, int):
            if value != int(value):
                raise MethodError(f"{where} is {shown(value)}; expected a whole number")
            value, low, high = int(value), max(low, -EXACT), min(high, EXACT)
        else:
            value = float(value)
        if not low <= value <= high:
            legal = f"a number in [{self.low:g}, {self.high:g}]" if not self.low <= value <= self.high else WORDS[int]
            raise MethodError(f"{where} is {shown(value)}; expected {legal}")
        return value


def check_name(name: str) -> None:
    """Raises MethodError for what no method can be called."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > LONGEST:
        raise MethodError(
            f"method name {shown(name)}: expected up to {LONGEST} lower-case letters, digits and underscores, starting with a letter"
        )


def parse_weights(text: str, where: str, default: str, count: int | None = None) -> list[float]:
    """Reads ``1/10/5/200``; the word ``default`` is 1 each, for a ``count`` of tasks.

    Raises:
        MethodError: not finite numbers of at least 0 with one above 0, or not ``count`` of them.
    """
    if text == default and count is not None:
        return [1.0] * count
    try:
        weights = [float(part) for part in text.split("/")]
    except ValueError as error:
        raise MethodError(f"{where} is {text!r}; expected numbers between slashes, as 1/10/5/200, or {default}") from error
    if count is not None and len(weights) != count:
        raise MethodError(f"{where} is {text!r}: {len(weights)} weights; expected {count}, one a task")
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise MethodError(f"{where} is {text!r}; expected finite numbers of at least 0, one of them above 0")
    return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What a reader must know of a method before using it, and what its contract tests check.

    ``version`` grows whenever the same input would give another update. ``where`` says at which parameters the task gradients are
    looked at. ``native_scale`` says whether equal tasks of weight 1 (``sum``) or 1/T (``mean``) come out. ``needs`` lists the facts about
    the tasks that must be given; ``coincides`` the methods whose direction is the same, with the reason in ``deviations``.
    ``per_task`` marks a method that is trained once for every task, each time with its own value of the hyperparameter ``task``;
    ``baseline`` one that every study contains. ``release`` is the version of the code that an adapted object comes from.

    Raises:
        MethodError: a field of another type, or with a value that makes no sense; the field, its value and what was expected.
    """

    name: str
    version: int
    title: str
    paper: str
    year: int
    arxiv: str = ""
    family: Family
    equation: str
    where: Where = "shared"
    native_scale: Literal["sum", "mean", "unknown"] = "sum"
    hyperparameters: tuple[Hyperparameter, ...] = ()
    claims: tuple[Claim, ...] = ()
    needs: tuple[Fact, ...] = ()
    coincides: tuple[str, ...] = ()
    deviations: str = ""
    positive_losses: bool = False
    randomised: bool = False
    per_task: bool = False
    baseline: bool = False
    release: str = ""

    def __post_init__(self) -> None:
        fields.check(self, shown(self.name).strip("'"))
        check_name(self.name)
        if self.version < 1:
            raise MethodError(f"{self.name}: version is {self.version!r}; expected 1 or more")
        if self.family == "foreign":
            raise MethodError(f"{self.name}: family is 'foreign', of objects to adapt; expected loss, gramian, jacobian or several")
        known = [hyperparameter.name for hyperparameter in self.hyperparameters]
        if twice := next((name for name in known if known.count(name) > 1), ""):
            raise MethodError(f"{self.name}: hyperparameters has {twice!r} more than once; expected a name of its own for each")
        if MODELS_RATE in known:
            raise MethodError(
                f"{self.name}: hyperparameters has {MODELS_RATE!r}, which a study sets for the model; expected another name, as lr"
            )

    def resolve(self, given: dict[str, Value]) -> dict[str, Value]:
        """All hyperparameters: the given ones, checked, over the defaults.

        Raises:
            MethodError: a name that the card does not declare, or a value that it does not allow.
        """
        known = {h.name: h for h in self.hyperparameters}
        for name in given:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise MethodError(f"{self.name} has no hyperparameter {name!r}{suggestion(name, known)} (it has: {allowed})")
        return {name: h.check(given.get(name, h.default), self.name) for name, h in known.items()}

    def check_tasks(self, given: Mapping[str, Value], count: int) -> None:
        """Raises MethodError where a value that is given does not suit this number of tasks."""
        for hyperparameter in self.hyperparameters:
            if hyperparameter.weights and hyperparameter.name in given:
                parse_weights(str(given[hyperparameter.name]), f"{self.name}.{hyperparameter.name}", str(hyperparameter.default), count)

    def missing(self, given: Iterable[str]) -> tuple[str, ...]:
        """Hyperparameters that have no default and are not among the given ones: only an adapted object has such."""
        return ()

    def check_scale(self, scale: str) -> None:
        """Raises MethodError for a scale that does not exist, or that nothing is known to bring the method to."""
        if scale not in SCALES:
            raise MethodError(f"{self.name}: scale is {scale!r}; expected one of {', '.join(SCALES)}{suggestion(scale, SCALES)}")
        if self.native_scale == "unknown" and scale in ("sum", "mean"):
            raise MethodError(f"{self.name}: scale is {scale!r}, but its own scale is not known: expected native or grad_norm")
