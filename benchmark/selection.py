"""Which configuration of a search is shown: a named rule on validation scores, a pure function of the tuning records.

Test metrics are not in a tuning record at all, and no other record is looked at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import UNSET

from benchmark.evidence import E, Evidence, One, Series, Setting
from benchmark.records import FINISHED, MetricInfo
from benchmark.search import ADAPTIVE, Adaptive, Kind

Rule = Literal["validation_delta_m", "normalised_loss"]
RULES: dict[Rule, str] = {
    "validation_delta_m": "mean change of the validation metrics against single-task training at its published defaults",
    "normalised_loss": "mean over the tasks of validation loss over that of the best constant",
}
"""What each rule makes small. The first is the default; where there is no such baseline, it is the second, and a note says so."""
DEFAULT: Rule = "validation_delta_m"

Key = tuple[object, ...]
"""What one search is over."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which trials compete, and what decides."""

    budget: int = 1
    kind: Kind | Adaptive = "quasi-random"
    seed: int = 0
    rule: Rule = DEFAULT

    def holds(self, spec: Setting) -> bool:
        """Whether this search proposes the configuration; the defaults are in every search."""
        return spec.trial == 0 or (spec.trial < self.budget and origin(spec) == (self.kind, self.seed))

    def flags(self) -> list[str]:
        """How the command line asks for it; none of them where nothing but the defaults is tried."""
        if self.budget == 1:
            return []
        flags = ["--budget", str(self.budget)]
        flags += ["--search", self.kind] * (self.kind != "quasi-random") + ["--study-seed", str(self.seed)] * bool(self.seed)
        return flags + ["--selection-rule", self.rule] * (self.rule != DEFAULT)


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner of one search."""

    record: One
    rule: Rule
    """That which decided."""


def explored(spec: Setting) -> bool:
    """Whether an adaptive search proposed the configuration: such a trial takes no part in a comparison at equal budgets."""
    return spec.search in ADAPTIVE


def origin(spec: Setting) -> tuple[str, int]:
    """What proposed the configuration of a trial above 0, and with which seed."""
    kind = "quasi-random" if spec.search is UNSET else spec.search
    return kind, 0 if spec.study_seed is UNSET else spec.study_seed


def pinned(spec: Setting) -> set[str]:
    """Names in the entrant's label: they are given, and not searched."""
    return set(re.findall(r"(\w+)=", spec.entrant.removeprefix(spec.method)))


def given(spec: Setting, name: str) -> str | None:
    """The value of a hyperparameter or the learning rate as ``--set`` takes it; None where the spec has none of that name."""
    value = spec.learning_rate if name == "learning_rate" else spec.hyperparameters.get(name)
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def group(spec: Setting) -> Key:
    """What one search is over: an entrant on a problem under one protocol (and one task, where each is trained alone)."""
    return (*_setting(spec), spec.entrant, spec.method_version, spec.release, spec.hyperparameters.get("task"))


def _setting(spec: Setting) -> Key:
    """What two entrants must share to be compared."""
    s = spec
    where = (s.suite, s.problem, s.problem_version, s.data, s.protocol)
    return (*where, s.steps, s.batch_size, s.halve_every, s.eval_every, s.selection, s.precision)


@dataclass(frozen=True, slots=True)
class Scored:
    """The finished trials of one search over one group, with what the rule says of each; lower is better."""

    rule: Rule
    """That which scored them."""
    trials: list[tuple[One, float]]


def scored(records: Iterable[Evidence], search: Search) -> dict[Key, Scored]:
    """Scores of all tuning trials of the search, group by group; a failed trial has none."""
    tuned = [r for r in records if not isinstance(r, Series) and r.spec.role == "tune" and search.holds(r.spec)]
    baselines = _baselines(tuned)
    groups: dict[Key, list[One]] = {}
    for record in tuned:
        if record.status in FINISHED:
            groups.setdefault(group(record.spec), []).append(record)
    found = {}
    for key, members in groups.items():
        rule, scores = search.rule, [loss_of(record) for record in members]
        if rule == "validation_delta_m":
            deltas = _deltas(members, baselines.get(_setting(members[0].spec), {}))
            rule, scores = (rule, deltas) if deltas else ("normalised_loss", scores)
        known = [(record, score) for record, score in zip(members, scores, strict=True) if score is not None]
        if known:
            found[key] = Scored(rule, known)
    return found


def choose(records: Iterable[Evidence], search: Search) -> dict[Key, Choice]:
    """For every group of tuning trials the best one of the search; the lower index wins a tie, and a failed trial never does."""
    return {
        key: Choice(min(of.trials, key=lambda one: (one[1], one[0].spec.trial, one[0].id))[0], of.rule)
        for key, of in scored(records, search).items()
    }


def loss_of(record: One) -> float | None:
    """The normalised validation loss at the selected step."""
    return record.loss


def compared(record: One) -> dict[str, MetricInfo]:
    """The metrics that Δm is made of, as far as the run trained their tasks."""
    trained = {name for index, name in enumerate(record.tasks) if index in record.trained}
    return {key: info for key, info in record.metrics.items() if info.task in trained and info.compared}


def delta_of(values: Mapping[str, float], baseline: Mapping[str, float], metrics: Mapping[str, MetricInfo]) -> float | None:
    """Δm % of these metrics, less those whose baseline is 0; None where nothing is left of them, or a value or baseline is missing."""
    return deltas_of([values], baseline, metrics)[0]


def deltas_of(
    values: Sequence[Mapping[str, float]], baseline: Mapping[str, float], metrics: Mapping[str, MetricInfo]
) -> list[float | None]:
    """:func:`delta_of` each."""
    from benchmark import statistics  # numpy, which a plan without a search has no need of

    whole = [index for index, each in enumerate(values) if metrics.keys() <= each.keys() & baseline.keys()]
    used = [key for key in metrics if baseline.get(key) != 0.0]
    found: list[float | None] = [None] * len(values)
    if not used or not whole:
        return found
    higher = [metrics[key].higher_is_better for key in used]
    rows = [[values[index][key] for key in used] for index in whole]
    change = statistics.relative_change(rows, [baseline[key] for key in used], higher)
    for index, delta in zip(whole, statistics.delta_m(change).tolist(), strict=True):
        found[index] = delta
    return found


def _deltas(members: Sequence[One], baseline: Mapping[str, float]) -> list[float | None]:
    """Δm % of every record on the validation split; nothing where the baseline does not allow it for any."""
    metrics = {key: info for record in members for key, info in compared(record).items()}
    scores = deltas_of([record.validation for record in members], baseline, metrics)
    return scores if any(score is not None for score in scores) else []


def _baselines(tuned: Iterable[One]) -> dict[Key, dict[str, float]]:
    """Validation metrics of single-task training at its published defaults, by setting, its tasks put together.

    Of several entrants that train single tasks, that without a pinned value, then that with the most metrics.
    """
    entrants: dict[Key, dict[str, list[One]]] = {}
    for record in tuned:
        if record.spec.trial == 0 and record.status in FINISHED and len(record.trained) == 1 < len(record.tasks):
            entrants.setdefault(_setting(record.spec), {}).setdefault(record.spec.entrant, []).append(record)
    found = {}
    for key, candidates in entrants.items():
        wholes = []
        for entrant, members in candidates.items():
            newest = max(record.spec.age for record in members)
            current = sorted((record for record in members if record.spec.age == newest), key=lambda record: record.id)
            values = {metric: record.validation[metric] for record in current for metric in compared(record) if metric in record.validation}
            wholes.append((entrant != current[0].spec.method, -len(values), entrant, values))
        found[key] = min(wholes, key=lambda one: one[:3])[-1]
    return found


def largest(records: Iterable[Evidence], kind: Kind | None = None, seed: int | None = None) -> Search:
    """The search with the most configurations that was made, of this kind and seed if one is given; a budget of 1 where there was none."""
    sizes: Counter[tuple[str, int]] = Counter()
    for record in records:
        where = origin(record.spec)
        if (
            record.spec.role == "tune"
            and record.spec.trial
            and not explored(record.spec)
            and kind in (None, where[0])
            and seed in (None, where[1])
        ):
            sizes[where] = max(sizes[where], 1 + record.spec.trial)
    order = sorted(sizes, key=lambda where: (-sizes[where], where[0] != "quasi-random", where))
    if not order:
        return Search(kind=kind or "quasi-random", seed=seed or 0)
    best = order[0]
    return Search(sizes[best], "grid" if best[0] == "grid" else "quasi-random", best[1])


def shown(records: Iterable[E], search: Search) -> tuple[list[E], list[str]]:
    """The evaluation records that a table of this search is about, and notes on how they were chosen and what is left out.

    Of every entrant that is the configuration that its search chose, and the published defaults where it was not searched.
    """
    records = list(records)
    chosen = choose(records, search) if search.budget > 1 else {}
    equal = [record for record in records if search.kind in ADAPTIVE or not explored(record.spec)]
    evaluated = [record for record in equal if record.spec.role == "eval"]
    kept = []
    for record in evaluated:
        choice = chosen.get(group(record.spec))
        if record.spec.trial == (choice.record.spec.trial if choice else 0) and search.holds(record.spec):
            kept.append(record)
    notes = describe(search, chosen.values()) if search.budget > 1 else []
    if len(equal) < len(records):
        names = sorted({f"{record.spec.entrant} ({record.spec.search})" for record in records if explored(record.spec)})
        count = sum(record.count for record in records) - sum(record.count for record in equal)
        notes.append(f"{count} records of adaptive searches left out, as their budgets are not equal: {', '.join(names)}")
    lost = sorted({record.spec.entrant for record in evaluated} - {record.spec.entrant for record in kept})
    if lost:
        notes.append(
            f"no row for {', '.join(lost)}: what this search chose of them was not evaluated (another search: --budget, --search, "
            "--study-seed, --selection-rule; evaluate this one's choice: python -m benchmark sweep with its --budget)"
        )
    return kept, notes


def describe(search: Search, choices: Iterable[Choice]) -> list[str]:
    """How the rows of a table were chosen, one note a line."""
    seeded = f" (study seed {search.seed})" if search.seed else ""
    notes = [
        f"every row is the best of a search over up to {search.budget} configurations, {search.kind}{seeded}; --budget 1 shows the "
        f"published defaults. Selection rule: {search.rule}, the {RULES[search.rule]}; validation split only, on a seed of its own"
    ]
    if search.kind in ADAPTIVE:
        notes.append(
            f"explored by {search.kind}: not a comparison at equal budgets. No leaderboard shows a configuration that {search.kind} "
            "proposed; where the published defaults won, their runs are those of any other study, and leaderboards show them"
        )
    others: dict[str, set[str]] = {}
    for choice in choices:
        if choice.rule != search.rule:
            others.setdefault(choice.record.spec.problem, set()).add(choice.record.spec.entrant)
    for problem, entrants in sorted(others.items()):
        notes.append(
            f"{problem}: {', '.join(sorted(entrants))} chosen by normalised_loss, as there are no validation metrics of single-task "
            "training at its published defaults to compare with"
        )
    return notes
