"""Which method to use on one's own problem."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

import methods as registry
import tasks
from benchmark import executors, plan
from benchmark.advice import code, halving, rungs, words
from benchmark.commands.flags import DEVICES, locations, one_of
from benchmark.executors import Resources
from benchmark.machine import resolve_device
from benchmark.progress import StudyProgress
from benchmark.races import REFERENCE
from benchmark.store import Store
from benchmark.views.export import json_of

PARTS, LEAST = 4, 10.0
"""What a trial may take: this part of the time, and no less than these seconds. One that hangs must not cost all of it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """A question as the command line asks it."""

    problem: str
    time: str
    methods: str
    jobs: int
    device: str
    results: Path
    json: bool
    data_dir: Path | None
    offline: bool


def advise(request: Request) -> None:
    """Runs what is missing and prints the answer.

    Raises:
        UsageError, MethodError, TaskError, StoreError, ExecutorError: the question cannot be answered as it is asked.
    """
    one_of("--device", request.device, DEVICES)
    seconds = rungs.seconds_of(request.time)
    names, sources = plan.choose_methods(request.methods, baselines=False)
    resolve_device(request.device)
    problem = tasks.problem(request.problem)
    name = problem.card.name
    problem.require()
    losses = [task.name for task in problem.card.tasks]
    where = locations(request.data_dir, request.offline)
    problem.prepare(where)
    loop = code.loop_of(problem, where)
    cards = {each: registry.card(each) for each in names}
    alone = {each: "trains a network a task" for each, card in cards.items() if card.per_task}
    jobs = request.jobs or executors.cores()
    asked = halving.Asked(name, tuple(n for n in names if n not in alone), sources, seconds, jobs, request.device, where)
    console = Console(stderr=True)
    store = Store(request.results)
    store.check_writable(1_000_000)

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False)

    with StudyProgress(console, jobs) as progress, executors.create("local", Resources(jobs, max(seconds / PARTS, LEAST))) as pool:
        try:
            found = halving.climb(asked, store, pool, [progress], say)
        except KeyboardInterrupt:
            say(f"interrupted; what finished is in {request.results}: the same command goes on from there")
            raise
    if request.json:
        print(json_of(asdict(found) | {"code": code.lines_of_code(found, loop)}), end="")
        return
    shown = Console()
    shown.print(Text(f"\n{request.problem}: {len(losses)} losses ({', '.join(losses)})\n"))
    for paragraph in words.sentences(found):
        shown.print(Text(paragraph + "\n"))
    for line in code.lines_of_code(found, loop):
        shown.print(Text(f"    {line}"), soft_wrap=True)
    shown.print(Text(""))
    shown.print(words.evidence(found))
    shown.print(Text(""))
    for note in words.notes(found) + [f"Not compared: {each}: {why}" for each, why in alone.items() if each != REFERENCE]:
        shown.print(Text(note))
    sys.stdout.flush()
