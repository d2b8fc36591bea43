"""How the seeds of a study are trained: one by one (``eager``), a block in one pass (``vectorized``), or what is sooner done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from rich.console import Console

import tasks
from benchmark import plan, study
from benchmark.errors import UsageError
from benchmark.plan import Study
from benchmark.store import Store

NAMES = ("auto", "eager", "vectorized")

FEW = 8_000
"""Steps a worker below which nothing is measured: training small networks so long takes about as long as measuring does."""

Pair = tuple[str, str]
"""A problem and the label of an entrant."""


def choose(wanted: Study, engine: str, together: int, store: Store, device: str, jobs: int, console: Console) -> Study:
    """The study with an engine for every entrant on every problem; says what it chose and why.

    Tuning trials have one seed each and always run one by one. ``auto`` keeps to what the store has of a configuration, so that going on
    with a study never changes how it is run.

    Raises:
        UsageError: ``vectorized``, but nothing of the study can be trained so.
    """
    if engine == "eager":
        return wanted
    wanted = replace(wanted, together=together)
    if engine == "auto":
        return _automatic(wanted, store, device, jobs, console)
    possible, why = supported(wanted)
    whole = len(wanted.suite.entries) * len(wanted.entrants)
    if not possible:
        raise UsageError(f"--engine vectorized, but no entrant can be trained so on any problem ({_shown(why)}): use --engine eager")
    if why:
        console.print(
            f"trained one by one: {whole - len(possible)} of {whole} ({_shown(why)})", markup=False, highlight=False, soft_wrap=True
        )
    return replace(wanted, vectorized=possible)


def supported(wanted: Study) -> tuple[frozenset[Pair], Counter[str]]:
    """What can be trained in one pass, and why the rest cannot, counted."""
    from benchmark.vectorized.support import Unsupported, check  # imports torch

    possible: set[Pair] = set()
    why: Counter[str] = Counter()
    for entry in wanted.suite.entries:
        for entrant in wanted.entrants:
            try:
                check(tasks.problem(entry.problem), entrant.card.name, plan.hyperparameters(entrant), entry.optimizer)
            except Unsupported as error:
                why[str(error)] += 1
            else:
                possible.add((entry.problem, entrant.label))
    return frozenset(possible), why


def _shown(why: Counter[str]) -> str:
    return "; ".join(f"{reason}: {count}" for reason, count in why.most_common(4)) + (
        f"; {len(why) - 4} more reasons" if len(why) > 4 else ""
    )


def _automatic(wanted: Study, store: Store, device: str, jobs: int, console: Console) -> Study:
    """Keeps what is recorded, measures the rest problem by problem."""
    specs = [record.spec for record in store.scan().records if record.spec.suite == wanted.suite.name]
    blocks = Counter(spec.together for spec in specs if isinstance(spec.together, int))
    if blocks and wanted.together not in blocks:
        wanted = replace(wanted, together=blocks.most_common(1)[0][0])
        console.print(f"--engine auto: blocks of {wanted.together} seeds, as in the records", markup=False, highlight=False)
    stacked: set[Pair] = set()
    open_: set[Pair] = set()
    tuned = study.tuned(wanted, store)
    pairs = {(entry.problem, entrant.label) for entry in wanted.suite.entries for entrant in wanted.entrants}
    alone = plan.evaluation(wanted, tuned)
    together = plan.evaluation(replace(wanted, vectorized=frozenset(pairs)), tuned)
    recorded: dict[Pair, list[bool]] = {pair: [] for pair in pairs}
    for specs, vectorized in ((alone, False), (together, True)):
        for spec in specs:
            if study.readable(spec, store) is not None:
                recorded[spec.problem, spec.entrant].append(vectorized)
    for pair, found in recorded.items():
        if found and sum(found) > len(found) / 2:
            stacked.add(pair)
        elif not found:
            open_.add(pair)
    for entry in wanted.suite.entries:
        entrants = [entrant for entrant in wanted.entrants if (entry.problem, entrant.label) in open_]
        steps = sum(entry.seeds * entry.steps * plan.runs_a_seed(entry, entrant) for entrant in entrants) // jobs
        if 0 < steps < FEW:
            _say(console, entry, f"one by one (about {steps:,} steps, over before one is compiled)")
        elif entrants:
            from benchmark.vectorized.choice import pays  # imports torch

            verdict = pays(wanted, entry, entrants, device, jobs)
            stacked |= {(entry.problem, label) for label in verdict.vectorized}
            _say(console, entry, verdict.reason)
    return replace(wanted, vectorized=frozenset(stacked))


def _say(console: Console, entry: tasks.Entry, reason: str) -> None:
    console.print(f"--engine auto, {entry.problem}: {reason}", markup=False, highlight=False, soft_wrap=True)
