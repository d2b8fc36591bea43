"""From what the user asked for to the list of trials. Nothing is run, and torch is not imported."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from msgspec import UNSET

import methods
import tasks
from benchmark.errors import UsageError
from benchmark.records import FINISHED, Role, RunRecord, TrialSpec, Value
from benchmark.search import propose

TUNING_SEED = 1_000_000
"""Seed of the tuning trials, far from the evaluation seeds 0, 1, 2, ..."""

UNIVERSAL: dict[str, methods.Hyperparameter] = {
    "scale": methods.Hyperparameter("scale", "native", "of the update", choices=("native", "sum", "mean", "grad_norm")),
    "learning_rate": methods.Hyperparameter("learning_rate", 1e-3, "of Adam on the model", low=1e-12, high=1e6),
}
"""What can be set for every method beside its own hyperparameters."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """A row of the table: a method and what the user pinned of it (values that differ from the published defaults)."""

    card: methods.Card
    pinned: tuple[tuple[str, Value], ...] = ()

    @property
    def label(self) -> str:
        settings = ", ".join(f"{name}={value}" for name, value in self.pinned)
        return f"{self.card.name}({settings})" if settings else self.card.name


@dataclass(frozen=True, slots=True)
class Study:
    """Everything that decides which trials exist: adding a method, a seed or budget only adds trials."""

    suite: tasks.Suite
    entrants: tuple[Entrant, ...]
    budget: int
    sources: tuple[str, ...]
    """Method files and objects of the user, for the workers to load."""
    fingerprints: dict[str, str]
    """Of the data, by problem."""
    where: tasks.Locations = field(default_factory=tasks.Locations)
    """Where the workers may look for the data."""
    together: int = 10
    """Seeds that are trained in one pass, where any are."""
    vectorized: frozenset[tuple[str, str]] = frozenset()
    """Problems and entrants (by label) whose evaluation seeds are trained together; all others are trained one by one."""


def choose_methods(requested: str, *, baselines: bool = True) -> tuple[list[str], tuple[str, ...]]:
    """``--methods a,b|all|path.py|MODULE:OBJECT``: the names, baselines included, in the order given, and what workers must load for them.

    Raises:
        MethodError: a name or file that is unknown or broken.
        UsageError: nothing was named.
    """
    found: list[str] = []
    sources: list[str] = []
    for word in filter(None, (w.strip() for w in requested.split(","))):
        if word == "all":
            found += methods.names()
        elif word.endswith(".py") or ":" in word:
            loaded = methods.load(word)
            found += loaded
            sources += filter(None, (source.origin for source in map(methods.find, loaded) if source))
        else:
            found.append(methods.card(word).name)
    if not found:
        expected = "expected names, 'all', FILE.py, MODULE:OBJECT or FILE.py:OBJECT (list names: python -m benchmark list methods)"
        raise UsageError(f"--methods is {requested!r}; {expected}")
    if baselines:
        found += [name for name in methods.names() if methods.card(name).baseline]
    return list(dict.fromkeys(found)), tuple(dict.fromkeys(sources))


def choose_entrants(names: Sequence[str], settings: Iterable[str]) -> tuple[Entrant, ...]:
    """One entrant a method, or one for every combination of the values that ``--set METHOD.NAME=V[,V...]`` gives.

    Raises:
        UsageError: a setting that is not of that form, or for a method that is not in the study.
        MethodError: a hyperparameter or value that the method does not have.
    """
    grids: dict[str, dict[str, list[Value]]] = {}
    for setting in settings:
        target, equals, values = setting.partition("=")
        name, hyperparameter = _target(target.strip(), names)
        if not (equals and hyperparameter and values.strip()):
            raise UsageError(f"--set {setting!r}: expected METHOD.HYPERPARAMETER=VALUE[,VALUE...], as in gradnorm.alpha=0.12,1.5")
        if name not in names:
            raise UsageError(
                f"--set {setting!r}: {name!r} is not in this study{methods.suggestion(name, names)} (it has: {', '.join(names)})"
            )
        card = methods.card(name)
        checked = [_check(card, hyperparameter, parse_value(v.strip())) for v in values.split(",")]
        grids.setdefault(name, {}).setdefault(hyperparameter, []).extend(checked)
    entrants = []
    for name in names:
        card = methods.card(name)
        grid = grids.get(name, {})
        for combination in itertools.product(*grid.values()):
            pinned = [(k, v) for k, v in zip(grid, combination, strict=True) if v != _default(card, k)]
            entrants.append(Entrant(card, tuple(sorted(pinned))))
        missing = card.missing(grid)
        if missing:
            give = " ".join(f"--set {name}.{argument}=VALUE" for argument in missing)
            raise UsageError(f"{name} needs {', '.join(missing)}: {give}, or make the object in a file and name FILE.py:OBJECT")
    return tuple(dict.fromkeys(entrants))


def check_tasks(entrants: Iterable[Entrant], problem: tasks.ProblemCard) -> None:
    """Raises UsageError where what was pinned does not suit the number of a problem's tasks."""
    for entrant in entrants:
        try:
            entrant.card.check_tasks(dict(entrant.pinned), len(problem.tasks))
        except methods.MethodError as error:
            order = "/".join(task.name for task in problem.tasks)
            raise UsageError(f"problem {problem.name}: {error} ({order}); choose problems with --problem") from error


def _target(text: str, names: Sequence[str]) -> tuple[str, str]:
    """Method and hyperparameter of a setting: they part at the first dot, of an adapted object at the first after its colon."""
    place, colon, rest = text.rpartition(":")
    name, _, hyperparameter = rest.partition(".")
    name = place + colon + name
    if colon and name not in names:
        name = methods.card(name).name  # a file may be given with its folders
    return name, hyperparameter


def parse_value(text: str) -> Value:
    """A number where it reads as one, true/false, else the word itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _check(card: methods.Card, name: str, value: Value) -> Value:
    if name == "scale":
        card.check_scale(str(value))
    if name in UNIVERSAL:
        return UNIVERSAL[name].check(value, card.name)
    if card.per_task and name == "task":
        raise UsageError(f"--set {card.name}.task: it is trained once for every task already")
    return card.resolve({name: value})[name]


def _default(card: methods.Card, name: str) -> Value | None:
    if name == "learning_rate":
        return None  # the suite's, which differs from problem to problem
    return UNIVERSAL[name].default if name in UNIVERSAL else card.resolve({}).get(name)


def with_overrides(suite: tasks.Suite, *, problems: Sequence[str] = (), seeds: int | None = None) -> tasks.Suite:
    """The suite with only some of its problems, or with another number of seeds; without a choice, all but those on request.

    Raises:
        UsageError: a problem that the suite does not have, or no choice where all of them are on request.
    """
    known = [entry.problem for entry in suite.entries]
    for name in problems:
        if name not in known:
            hint = methods.suggestion(name, known)
            raise UsageError(f"--problem {name!r} is not in suite {suite.name!r}{hint} (it has: {', '.join(known)})")
    entries = [entry for entry in suite.entries if (entry.problem in problems if problems else not entry.on_request)]
    if not entries:
        raise UsageError(f"suite {suite.name!r} runs its problems on request only: name some with --problem ({', '.join(known)})")
    return replace(suite, entries=tuple(replace(entry, seeds=seeds or entry.seeds) for entry in entries))


def tuning(study: Study) -> list[TrialSpec]:
    """The tuning trials: for every entrant and problem equally many configurations. None for a budget of 1: no choice."""
    trials = range(study.budget) if study.budget > 1 else ()
    return [
        spec
        for entry in study.suite.entries
        for entrant in study.entrants
        for trial in trials
        for spec in _specs(study, entry, entrant, trial, "tune", TUNING_SEED)
    ]


def evaluation(study: Study, tuned: Iterable[RunRecord] = ()) -> list[TrialSpec]:
    """The evaluation trials: the chosen configuration of every entrant on fresh seeds, seeds outermost so that rows grow together."""
    chosen = choose(tuned, study.budget)
    found: list[TrialSpec] = []
    for seed in range(max(entry.seeds for entry in study.suite.entries)):
        for entry in (e for e in study.suite.entries if seed < e.seeds):
            for entrant in study.entrants:
                for default in _specs(study, entry, entrant, 0, "eval", seed):
                    trial = chosen.get(group(default), 0)
                    found += [s for s in _specs(study, entry, entrant, trial, "eval", seed) if group(s) == group(default)]
    return found


def choose(tuned: Iterable[RunRecord], budget: int) -> dict[tuple[object, ...], int]:
    """For every group of tuning trials the index of the best one within the budget.

    Best is the lowest validation score at the selected step (mean over the trained tasks of validation loss over that of the best
    constant); the lower index wins a tie, and a failed trial never does. Test metrics are not in a tuning record at all.
    """
    best: dict[tuple[object, ...], tuple[float, int]] = {}
    for record in tuned:
        score = score_of(record)
        if record.spec.role == "tune" and record.spec.trial < budget and record.status in FINISHED and score is not None:
            key = group(record.spec)
            best[key] = min(best.get(key, (float("inf"), 0)), (score, record.spec.trial))
    return {key: trial for key, (_, trial) in best.items()}


def largest_budget(records: Iterable[RunRecord]) -> int:
    """The number of configurations of the largest search that was made; 1 where there was none."""
    return 1 + max((record.spec.trial for record in records if record.spec.role == "tune"), default=0)


def shown(records: Iterable[RunRecord], budget: int) -> tuple[list[RunRecord], list[str]]:
    """The evaluation records that a table of this budget is about, and notes on what it leaves out.

    Of every entrant that is the configuration that its search chose, and the published defaults where it was not searched.
    """
    records = list(records)
    chosen = choose(records, budget) if budget > 1 else {}
    evaluated = [record for record in records if record.spec.role == "eval"]
    kept = [record for record in evaluated if record.spec.trial == chosen.get(group(record.spec), 0)]
    notes = []
    if budget > 1:
        notes.append(f"every row is the best of a search over up to {budget} configurations (--budget 1 shows the published defaults)")
    lost = sorted({record.spec.entrant for record in evaluated} - {record.spec.entrant for record in kept})
    if lost:
        notes.append(f"no row for {', '.join(lost)}: their records belong to another budget (--budget N)")
    return kept, notes


def score_of(record: RunRecord) -> float | None:
    """The validation score at the selected step."""
    return next((point.score for point in record.curve if point.step == record.selected_step), None)


def group(spec: TrialSpec) -> tuple[object, ...]:
    """What one search is over: an entrant on a problem under one protocol (and one task, where each is trained alone)."""
    s = spec
    where = (s.suite, s.problem, s.problem_version, s.data, s.protocol)
    how = (s.steps, s.batch_size, s.halve_every, s.eval_every, s.selection, s.precision)
    return (*where, *how, s.entrant, s.method_version, s.release, s.hyperparameters.get("task"))


def _specs(study: Study, entry: tasks.Entry, entrant: Entrant, trial: int, role: Role, seed: int) -> Iterator[TrialSpec]:
    """One spec; for a method that trains every task alone, one a task."""
    card = entrant.card
    problem = tasks.problem(entry.problem).card
    pinned = dict(entrant.pinned)
    own = card.resolve({name: value for name, value in pinned.items() if name not in UNIVERSAL})
    rate = float(pinned.get("learning_rate", entry.learning_rate))
    own, rate = propose(card, own, rate, trial, pinned=frozenset(pinned))
    if "scale" in pinned:
        own = {**own, "scale": pinned["scale"]}
    stacked = role == "eval" and (entry.problem, entrant.label) in study.vectorized
    for task in range(len(problem.tasks)) if card.per_task else (None,):
        yield TrialSpec(
            suite=study.suite.name,
            problem=entry.problem,
            problem_version=problem.version,
            data=study.fingerprints[entry.problem],
            method=card.name,
            method_version=card.version,
            release=card.release or UNSET,
            entrant=entrant.label,
            hyperparameters=own if task is None else {**own, "task": task},
            learning_rate=rate,
            trial=trial,
            role=role,
            seed=seed,
            steps=entry.steps,
            batch_size=entry.batch_size,
            halve_every=entry.halve_every or UNSET,
            eval_every=entry.eval_every,
            selection=entry.selection,
            engine="vectorized" if stacked else UNSET,
            together=study.together if stacked else UNSET,
        )
