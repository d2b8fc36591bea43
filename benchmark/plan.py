"""From what the user asked for to the list of trials. Nothing is run, and torch is not imported."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import msgspec
from msgspec import UNSET

import methods
import tasks
from benchmark.errors import UsageError
from benchmark.records import Role, RunRecord, TrialSpec, Value
from benchmark.search import ADAPTIVE, Adaptive, Kind, propose
from benchmark.selection import DEFAULT, Choice, Rule, Search, choose, group

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
    kind: Kind | Adaptive = "quasi-random"
    """How configurations are proposed."""
    seed: int = 0
    """Of the search."""
    rule: Rule = DEFAULT
    """How one of them is chosen."""
    found: tuple[TrialSpec, ...] = ()
    """The tuning trials of an adaptive search, which cannot be planned."""

    together: int = 10
    """Seeds that are trained in one pass, where any are."""
    vectorized: frozenset[tuple[str, str]] = frozenset()
    """Problems and entrants (by label) whose evaluation seeds are trained together; all others are trained one by one."""

    @property
    def search(self) -> Search:
        return Search(self.budget, self.kind, self.seed, self.rule)


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


def choose_entrants(names: Sequence[str], settings: Iterable[str], *, searched: bool = False) -> tuple[Entrant, ...]:
    """One entrant a method, or one for every combination of the values that ``--set METHOD.NAME=V[,V...]`` gives.

    A value that is the published default pins nothing, as the run is the same; but in a study that searches it keeps the default.

    Raises:
        UsageError: a setting that is not of that form, or for a method that is not in the study.
        MethodError: a hyperparameter or value that the method does not have.
    """
    grids: dict[str, dict[str, list[Value]]] = {}
    for setting in settings:
        target, equals, values = setting.partition("=")
        name, hyperparameter = setting_of(target.strip(), names)
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
            pinned = [(k, v) for k, v in zip(grid, combination, strict=True) if searched or v != _default(card, k)]
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


def setting_of(text: str, names: Sequence[str]) -> tuple[str, str]:
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


def resolved(entrant: Entrant) -> dict[str, Value]:
    """The pinned values over the published defaults, the learning rate left out."""
    pinned = dict(entrant.pinned)
    own = entrant.card.resolve({name: value for name, value in pinned.items() if name not in UNIVERSAL})
    return own | ({"scale": pinned["scale"]} if "scale" in pinned else {})


def hyperparameters(entrant: Entrant) -> dict[str, Value]:
    """What decides how the entrant makes its steps; of task after task, the first."""
    first: dict[str, Value] = {"task": 0} if entrant.card.per_task else {}
    return resolved(entrant) | first


def runs_a_seed(entry: tasks.Entry, entrant: Entrant) -> int:
    """Trials that one seed of an evaluation takes."""
    return len(tasks.problem(entry.problem).card.tasks) if entrant.card.per_task else 1


def with_overrides(suite: tasks.Suite, *, problems: Sequence[str] = (), seeds: int | None = None) -> tasks.Suite:
    """The suite with only some of its problems, or with another number of seeds; without a choice, all but those on request.

    Raises:
        UsageError: a problem that the suite does not have, or no choice where all of them are on request.
    """
    known = [entry.problem for entry in suite.entries]
    problems = [tasks.problem(name).card.name if ":" in name else name for name in problems]
    for name in problems:
        if name not in known:
            hint = methods.suggestion(name, known)
            raise UsageError(f"--problem {name!r} is not in suite {suite.name!r}{hint} (it has: {', '.join(known)})")
    entries = [entry for entry in suite.entries if (entry.problem in problems if problems else not entry.on_request)]
    if not entries:
        raise UsageError(f"suite {suite.name!r} runs its problems on request only: name some with --problem ({', '.join(known)})")
    return replace(suite, entries=tuple(replace(entry, seeds=seeds or entry.seeds) for entry in entries))


def tuning(study: Study) -> list[TrialSpec]:
    """The tuning trials: for every entrant and problem equally many configurations. None for a budget of 1: no choice.

    A configuration that an earlier trial has is not tried again: it would give the same numbers, and the earlier trial wins a tie.
    """
    found = list(study.found)
    for entry in study.suite.entries if study.budget > 1 and study.kind not in ADAPTIVE else ():
        for entrant in study.entrants:
            tried = set()
            for trial in range(study.budget):
                own, rate = _configuration(study, entry, entrant, trial)
                configuration = (tuple(own.items()), rate)
                if configuration not in tried:
                    found += _specs(study, entry, entrant, trial, (own, rate), "tune", TUNING_SEED)
                tried.add(configuration)
    return found


def references(study: Study) -> list[TrialSpec]:
    """The tuning trials that the others are measured against when one is chosen: single-task training, whether it takes part or not.

    So the choice does not depend on who else was asked for, and a reader of the records makes the same one.
    """
    if study.budget == 1 or study.kind in ADAPTIVE:
        return []
    cards = [card for card in map(methods.card, methods.names()) if card.baseline and card.per_task]
    return defaults(replace(study, entrants=tuple(map(Entrant, cards))), "tune", TUNING_SEED)


def defaults(study: Study, role: Role, seed: int) -> list[TrialSpec]:
    """The published defaults of every entrant on every problem, with what the user pinned."""
    return [
        spec
        for entry in study.suite.entries
        for entrant in study.entrants
        for spec in _specs(study, entry, entrant, 0, _configuration(study, entry, entrant, 0), role, seed)
    ]


def evaluation(study: Study, tuned: Iterable[RunRecord] = ()) -> list[TrialSpec]:
    """The evaluation trials: the chosen configuration of every entrant on fresh seeds, seeds outermost so that rows grow together."""
    chosen = choose(tuned, study.search)
    found: list[TrialSpec] = []
    for seed in range(max(entry.seeds for entry in study.suite.entries)):
        for entry in (e for e in study.suite.entries if seed < e.seeds):
            for entrant in study.entrants:
                published = _configuration(study, entry, entrant, 0)
                for default in _specs(study, entry, entrant, 0, published, "eval", seed):
                    choice = chosen.get(group(default))
                    found.append(_of(choice, default) if choice else default)
    return found


def _of(choice: Choice, default: TrialSpec) -> TrialSpec:
    """The evaluation trial of the chosen configuration."""
    best = choice.record.spec
    return msgspec.structs.replace(
        default,
        hyperparameters=best.hyperparameters,
        learning_rate=best.learning_rate,
        trial=best.trial,
        search=best.search,
        study_seed=best.study_seed,
    )


def _configuration(study: Study, entry: tasks.Entry, entrant: Entrant, trial: int) -> tuple[dict[str, Value], float]:
    """Hyperparameters and learning rate of a trial of this entrant on this problem."""
    card, pinned = entrant.card, dict(entrant.pinned)
    own = resolved(entrant)
    rate = float(pinned.get("learning_rate", entry.learning_rate))
    if trial:
        assert study.kind == "quasi-random" or study.kind == "grid"  # the trials of others are in ``found``
        own, rate = propose(card, own, rate, trial, pinned=frozenset(pinned), kind=study.kind, seed=study.seed)
    return own, rate


def _specs(
    study: Study, entry: tasks.Entry, entrant: Entrant, trial: int, configuration: tuple[dict[str, Value], float], role: Role, seed: int
) -> Iterator[TrialSpec]:
    """One spec; for a method that trains every task alone, one a task."""
    card = entrant.card
    problem = tasks.problem(entry.problem).card
    own, rate = configuration
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
            optimizer=entry.optimizer,
            eval_every=entry.eval_every,
            selection=entry.selection,
            search="grid" if trial and study.kind == "grid" else UNSET,
            study_seed=study.seed if trial and study.seed and study.kind != "grid" else UNSET,
            engine="vectorized" if stacked else UNSET,
            together=study.together if stacked else UNSET,
        )
