"""Adaptive search, for a user's own exploration: Optuna proposes and, if wanted, ASHA ends early what does badly. Through Ray Tune.

What it tries depends on what came of earlier trials, and with several trials at once on their timing: its records say so (``search``), and
no comparison at equal budgets shows them. It sees one score alone, the normalised validation loss; the test split it never sees.
"""

from __future__ import annotations

import math
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import msgspec

import methods
from benchmark import plan, selection, study
from benchmark.executors import Job, Resources
from benchmark.executors.cluster import session
from benchmark.executors.ray import import_path
from benchmark.plan import TUNING_SEED, Study
from benchmark.records import FINISHED, RunRecord, TrialSpec, Value, decode, encode
from benchmark.search import RATE, Adaptive, Axis, settle, space
from benchmark.store import Store
from benchmark.study import Watcher

LOST = 1e9
"""The score of a trial that failed."""


def explored(
    wanted: Study, store: Store, jobs: int, watchers: Sequence[Watcher] = (), *, device: str, timeout: float, retries: int = 0
) -> Study:
    """The study with all trials of its adaptive search, those that are recorded already and those that were missing.

    Trial 0, the published defaults, is an ordinary tuning trial and has to be in the store.

    Args:
        jobs: trials at once.
        timeout: seconds of a trial. A search as a whole is ended after what all its trials may take.
        retries: times that a trial which was lost with its worker is run again.

    Raises:
        ExecutorError: Ray does not start.
    """
    found = []
    with session(Resources(jobs=jobs), threading.Event()), quiet_optuna():
        for base in plan.defaults(wanted, "tune", TUNING_SEED):
            entrant = next(each for each in wanted.entrants if each.label == base.entrant)
            known = tried(base, wanted, store)
            axes = space(entrant.card, base.hyperparameters, base.learning_rate, frozenset(dict(entrant.pinned)))
            if axes and len(known) < wanted.budget:
                _search(wanted, entrant.card, base, axes, known, store, jobs, watchers, device, timeout, retries)
            found += [record.spec for record in tried(base, wanted, store)]
    return replace(wanted, found=tuple(found))


def tried(base: TrialSpec, wanted: Study, store: Store) -> list[RunRecord]:
    """The records of one search, by index: the defaults, then what this kind of search proposed with this study seed."""
    search = replace(wanted.search, budget=sys.maxsize)
    key = selection.group(base)
    members = [r for r in store.scan().records if r.spec.role == "tune" and search.holds(r.spec) and selection.group(r.spec) == key]
    return sorted(members, key=lambda record: record.spec.trial)


def _search(
    wanted: Study,
    card: methods.Card,
    base: TrialSpec,
    axes: tuple[Axis, ...],
    known: Sequence[RunRecord],
    store: Store,
    jobs: int,
    watchers: Sequence[Watcher],
    device: str,
    timeout: float,
    retries: int,
) -> None:
    """One run of Tune, from what is known to the budget. Every trial is stored when it ends."""
    from ray import tune

    from benchmark.trial import failure

    kind: Adaptive = "asha" if wanted.kind == "asha" else "optuna"
    start, count = 1 + max((record.spec.trial for record in known), default=0), wanted.budget - len(known)
    fixed = msgspec.structs.replace(base, search=kind, study_seed=wanted.seed or msgspec.UNSET)
    for watcher in watchers:
        planned = [msgspec.structs.replace(fixed, trial=start + i) for i in range(count)]
        watcher.stage(f"{kind}: {base.entrant} on {base.problem}", planned, len(known))
    ended, seconds = 0, timeout * math.ceil(count / jobs)
    deadline = time.monotonic() + seconds

    def spec_of(values: Mapping[str, Value]) -> TrialSpec:
        own, rate = settle(card, base.hyperparameters, base.learning_rate, rounded(axes, values))
        return msgspec.structs.replace(fixed, hyperparameters=own, learning_rate=rate)

    def keep(record: RunRecord) -> None:
        nonlocal ended
        spec = msgspec.structs.replace(record.spec, trial=start + ended)
        record = msgspec.structs.replace(record, id=spec.id, spec=spec)
        store.save(record)
        ended += 1
        for watcher in watchers:
            watcher.seen(record)

    class Keeper(tune.Callback):  # type: ignore[misc]
        """Takes the records out of Tune's hands; the last one of a trial is the trial's."""

        def __init__(self) -> None:
            self.latest: dict[str, bytes] = {}

        def on_trial_result(self, *, trial: Any, result: dict[str, Any], **_: Any) -> None:
            self.latest[trial.trial_id] = result.pop("record", None) or self.latest[trial.trial_id]

        def on_trial_complete(self, *, trial: Any, **_: Any) -> None:
            data = self.latest.pop(trial.trial_id, None)
            if data is not None:
                keep(decode(data))
            elif time.monotonic() > deadline:
                keep(failure(spec_of(trial.config), "timeout", "its search ended, as all its time was spent", timeout))

        def on_trial_error(self, *, trial: Any, **_: Any) -> None:
            keep(failure(spec_of(trial.config), "error", "its Ray worker was lost", 0.0))

        def __reduce__(self) -> tuple[type, tuple[()]]:  # Tune writes its callbacks down
            return tune.Callback, ()

    job = msgspec.json.encode(study.job_of((fixed,), wanted.sources, wanted.where, device))
    work = _trainable(job, import_path(), [axis.name for axis in axes], kind == "asha")
    lost = tune.FailureConfig(max_failures=retries)  # whatever a trial raises is a record: what Tune sees fail is its worker
    with tempfile.TemporaryDirectory(prefix="lossbench-explore-", ignore_cleanup_errors=True) as folder:
        tune.Tuner(
            tune.with_resources(work, {"cpu": 1, "gpu": 1 / jobs if device == "cuda" else 0}),
            tune_config=tune.TuneConfig(
                search_alg=_optuna(axes, known, wanted.seed),
                scheduler=_asha(base) if kind == "asha" else None,
                num_samples=count,
                max_concurrent_trials=jobs,
                reuse_actors=True,
                time_budget_s=seconds,
                trial_name_creator=str,
                trial_dirname_creator=str,
                **({} if kind == "asha" else {"metric": "score", "mode": "min"}),
            ),
            run_config=tune.RunConfig(name="search", storage_path=folder, verbose=0, callbacks=[Keeper()], failure_config=lost),
        ).fit()


def rounded(axes: Sequence[Axis], values: Mapping[str, Value]) -> dict[str, Value]:
    """Values as a search of equal budgets has them: numbers of three digits."""
    return {axis.name: value if isinstance(value := values[axis.name], str | int) else float(f"{value:.3g}") for axis in axes}


def _optuna(axes: Sequence[Axis], known: Sequence[RunRecord], seed: int) -> Any:
    """Optuna's sampler (Akiba et al. 2019; TPE), told what is known of the space already."""
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
    from ray.tune.search.optuna import OptunaSearch

    ranges: dict[str, BaseDistribution] = {}
    for axis in axes:
        if axis.words:
            ranges[axis.name] = CategoricalDistribution(axis.words)
        elif isinstance(axis.default, int):
            ranges[axis.name] = IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        else:
            ranges[axis.name] = FloatDistribution(axis.low, axis.high, log=axis.log)
    points, scores = [], []
    for record in known:
        loss = selection.loss_of(record) if record.status in FINISHED else LOST
        point = {axis.name: record.spec.learning_rate if axis.name == RATE else record.spec.hyperparameters[axis.name] for axis in axes}
        inside = all(axis.words or axis.low <= float(point[axis.name]) <= axis.high for axis in axes)
        if inside and record.status != "stopped" and loss is not None:
            points.append(point)
            scores.append(loss)
    given = {"points_to_evaluate": points, "evaluated_rewards": scores} if points else {}
    return OptunaSearch(space=ranges, metric="score", mode="min", seed=seed + len(known), **given)


def _asha(base: TrialSpec) -> Any:
    """Li et al. 2020: of those that got as far, the best third goes on; nobody is stopped in the first ninth of the steps."""
    from ray.tune.schedulers import ASHAScheduler

    grace = max(1, base.eval_every, base.steps // 9)
    return ASHAScheduler(time_attr="step", metric="score", mode="min", max_t=base.steps, grace_period=grace, reduction_factor=3)


def _trainable(job: bytes, paths: Sequence[str], searched: Sequence[str], early: bool) -> Callable[[Mapping[str, Value]], None]:
    """What Ray sends to its workers: by value, and with nothing in it that only this package can read."""

    def lossbench(config: Mapping[str, Value]) -> None:
        import sys

        sys.path[:0] = [path for path in paths if path not in sys.path]
        from benchmark.explore import attempt

        attempt(job, config, searched, early)

    return lossbench


def attempt(data: bytes, values: Mapping[str, Value], searched: Sequence[str], early: bool) -> None:
    """One trial inside a Ray worker: trains, and reports the validation score, after every evaluation if it may be stopped early."""
    from ray import tune

    from benchmark.trial import watched

    job = msgspec.json.decode(data, type=Job)
    for path in job.sources:
        methods.load(path)
    base, card = job.spec, methods.card(job.spec.method)
    axes = [axis for axis in space(card, base.hyperparameters, base.learning_rate) if axis.name in searched]
    own, rate = settle(card, base.hyperparameters, base.learning_rate, rounded(axes, values))
    spec = msgspec.structs.replace(base, hyperparameters=own, learning_rate=rate)

    def report(record: RunRecord) -> None:
        scores = [point.score for point in record.curve if point.score is not None]
        if early and scores and record.curve[-1].step < spec.steps:
            score = min(scores) if spec.selection == "best" else scores[-1]
            tune.report({"score": score, "step": record.curve[-1].step, "record": encode(record)})

    record = watched(msgspec.structs.replace(job, specs=(spec,)), report)
    loss = selection.loss_of(record) if record.status in FINISHED else None
    tune.report({"score": LOST if loss is None else loss, "step": spec.steps, "record": encode(record)})


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna says nothing but errors; afterwards what it said before."""
    with warnings.catch_warnings(action="ignore"):
        import optuna
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
