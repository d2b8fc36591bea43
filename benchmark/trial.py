"""One trial: a spec in, a record out. Failures are records too; only an interrupt gets past :func:`execute`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

import methods
import tasks
from benchmark import machine
from benchmark.executors import Job
from benchmark.records import Cost, MetricInfo, RunRecord, Status, TrialSpec
from benchmark.train import Diverged, Run, finite

NO_MEMORY = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What RuntimeErrors say where memory ran out: torch's allocator on the CPU, the CUDA driver and cuBLAS have no exception of their own."""


def execute(job: Job) -> tuple[RunRecord, ...]:
    """Runs the trials of a job on one thread and says how each went."""
    return tuple(_alone(spec, job) for spec in job.specs)


def watched(job: Job, watch: Callable[[RunRecord], None]) -> RunRecord:
    """Runs the one trial of a job; ``watch`` is given, after every evaluation, the record as it would be if the run were stopped there."""
    return _alone(job.spec, job, watch)


def _alone(spec: TrialSpec, job: Job, watch: Callable[[RunRecord], None] | None = None) -> RunRecord:
    run = Run(spec, tasks.problem(spec.problem).card)
    status: Status = "ok"
    message = ""
    environment: dict[str, str] = {}
    session: tasks.Session | None = None
    device = machine.resolve_device(job.device)
    machine.reset_peak_memory(device)
    with one_thread(), torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        torch.manual_seed(tasks.derive(spec.seed, "training"))  # dropout and the like; no method draws from it
        try:
            for path in job.sources:
                methods.load(path)
            environment = machine.environment(device, spec.method)
            session = _opened(spec, job.where, device)
            if watch is not None:
                tell, seen = watch, environment
                run.watch = lambda step: tell(_record(run, "stopped", f"stopped early, at step {step} of {spec.steps}", {}, seen, None))
            run.train_model(session)
        except Diverged as error:
            status, message = "diverged", str(error)
        except (torch.OutOfMemoryError, MemoryError) as error:
            status, message = "oom", one_line(error)
        except Exception as error:  # noqa: BLE001 - whatever a method or problem raises is the trial's outcome, recorded with its reason
            status, message = ("oom" if any(words in str(error) for words in NO_MEMORY) else "error"), one_line(error)
    events = {**(session.events if session else {}), **(run.balancer.events if run.balancer else {})}
    if status == "ok" and any(event.endswith("_gap") for event in events):
        status, message = "degraded", f"the solver missed its certificate: {events}"
    return _record(run, status, message, events, environment, machine.peak_memory(device))


def _opened(spec: TrialSpec, where: tasks.Locations, device: str) -> tasks.Session:
    """The session of a trial, on the data that its spec names: a user's files may have changed since it was planned.

    Raises:
        TaskError: they have.
    """
    problem = tasks.problem(spec.problem)
    if not problem.embedded and (found := problem.fingerprint(where)) != spec.data:
        raise tasks.TaskError(f"problem {spec.problem!r}: its data changed while the study ran ({found}, planned {spec.data}); run again")
    return problem.open(spec.seed, spec.batch_size, device, where)


def failure(spec: TrialSpec, status: Status, message: str, seconds: float) -> RunRecord:
    """The record of a trial whose worker could not return one: killed, hung, out of memory."""
    run = Run(spec, tasks.problem(spec.problem).card, train=seconds)
    return _record(run, status, message, {}, {}, None)


def one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def _record(run: Run, status: Status, message: str, events: dict[str, int], environment: dict[str, str], peak: int | None) -> RunRecord:
    card, balancer = run.card, run.balancer
    return RunRecord(
        id=run.spec.id,
        spec=run.spec,
        status=status,
        message=message,
        tasks=[task.name for task in card.tasks],
        trained=list(balancer.tasks) if balancer else _trained(run.spec, len(card.tasks)),
        metrics={
            key: MetricInfo(
                higher_is_better=metric.higher_is_better,
                low=finite([metric.low])[0],
                high=finite([metric.high])[0],
                task=key.split("/")[0] if "/" in key else None,
                compared=metric.compared,
            )
            for key, metric in card.metrics().items()
        },
        curve=run.curve,
        selected_step=run.selected_step,
        validation=run.validation,
        test=run.test,
        cost=Cost(
            train=run.train,
            method=run.method,
            evaluation=run.evaluation,
            steps=run.steps,
            backward_passes=balancer.backward_passes if balancer else 0,
            paths=balancer.paths if balancer else {},
            peak_memory=peak,
        ),
        events=events,
        environment=environment,
    )


def _trained(spec: TrialSpec, num_tasks: int) -> list[int]:
    """The tasks that a run would have trained, had it got as far as building its method."""
    task = spec.hyperparameters.get("task")
    if isinstance(task, int) and methods.card(spec.method).per_task:
        return [task]
    return list(range(num_tasks))


@contextmanager
def one_thread() -> Iterator[None]:
    """Convolutions round differently on two threads, and one thread a trial is what a pool of trials wants."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
