"""One trial: a spec in, a record out. Failures are records too; only an interrupt gets past :func:`execute`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from msgspec import UNSET

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
    with _conditions(job) as device:
        if job.spec.engine == "vectorized":
            return _together(job, device)
        return tuple(_alone(spec, job, device) for spec in job.specs)


@contextmanager
def _conditions(job: Job) -> Iterator[str]:
    """The user's problems known, one thread, and the global generators as they were afterwards; gives the device."""
    for source in job.problems:
        tasks.load(source)
    device = machine.resolve_device(job.device)
    machine.reset_peak_memory(device)
    with one_thread(), torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
        yield device


def watched(job: Job, watch: Callable[[RunRecord], None]) -> RunRecord:
    """Runs the one trial of a job; ``watch`` is given, after every evaluation, the record as it would be if the run were stopped there."""
    with _conditions(job) as device:
        return _alone(job.spec, job, device, watch)


def _alone(spec: TrialSpec, job: Job, device: str, watch: Callable[[RunRecord], None] | None = None) -> RunRecord:
    run = Run(spec, tasks.problem(spec.problem).card)
    environment: dict[str, str] = {}
    session: tasks.Session | None = None
    error: Exception | None = None
    torch.manual_seed(tasks.derive(spec.seed, "training"))  # dropout and the like; no method draws from it
    try:
        for path in job.sources:
            methods.load(path)
        environment = machine.environment(device, spec.method, spec.problem)
        session = _opened(spec, job.where, device)
        if watch is not None:
            tell, seen = watch, environment
            run.watch = lambda step: tell(_record(run, "stopped", f"stopped early, at step {step} of {spec.steps}", {}, seen, None))
        run.train_model(session)
    except Exception as raised:  # noqa: BLE001 - whatever a method or problem raises is the trial's outcome, recorded with its reason
        error = raised
    return _ended(run, error, session.events if session else {}, environment, machine.peak_memory(device))


def _together(job: Job, device: str) -> tuple[RunRecord, ...]:
    """The trials of one block of seeds, trained in one pass."""
    from benchmark.vectorized.engine import Note, Seat, train_together  # what it needs of torch takes a second to import

    card = tasks.problem(job.spec.problem).card
    runs = [Run(spec, card) for spec in job.specs]
    seats: dict[int, Seat] = {}
    errors: dict[int, Exception] = {}
    environment: dict[str, str] = {}
    note = Note()
    try:
        for path in job.sources:
            methods.load(path)
        environment = machine.environment(device, job.spec.method, job.spec.problem)
        for index, spec in enumerate(job.specs):
            try:
                seats[index] = Seat(runs[index], _opened(spec, job.where, device))
            except Exception as raised:  # noqa: BLE001 - as above, of one seed
                errors[index] = raised
        if seats:
            note = train_together(list(seats.values()), int(job.spec.together))  # type: ignore[arg-type]
    except Exception as raised:  # noqa: BLE001 - as above, of all seeds
        errors |= {index: raised for index in range(len(runs)) if index not in errors}
    errors |= {index: seat.error for index, seat in seats.items() if seat.error is not None}
    if note.compile_seconds or note.trouble or any(seat.run.steps for seat in seats.values()):
        environment |= {"step": f"not compiled: {note.trouble}" if note.trouble else "compiled"}
    peak = machine.peak_memory(device)
    records = []
    for index, run in enumerate(runs):
        run.compilation = note.compile_seconds / len(runs)
        events = {**(seats[index].session.events if index in seats else {}), **({"step_not_compiled": 1} if note.trouble else {})}
        records.append(_ended(run, errors.get(index), events, environment, peak))
    return tuple(records)


def _ended(run: Run, error: Exception | None, events: dict[str, int], environment: dict[str, str], peak: int | None) -> RunRecord:
    """The record of a run that ended with this error, or without one."""
    status: Status = "ok"
    message = ""
    if isinstance(error, Diverged):
        status, message = "diverged", str(error)
    elif isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        status, message = "oom", one_line(error)
    elif error is not None:
        status, message = ("oom" if any(words in str(error) for words in NO_MEMORY) else "error"), one_line(error)
    events = {**events, **(run.balancer.events if run.balancer else {})}
    if status == "ok" and any(event.endswith("_gap") for event in events):
        status, message = "degraded", f"the solver missed its certificate: {events}"
    return _record(run, status, message, events, environment, peak)


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
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".removesuffix(": ")


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
            compilation=UNSET if run.compilation is None else run.compilation,
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
