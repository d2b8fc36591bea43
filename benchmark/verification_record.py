"""What must hold inside one record, whoever made it: an edit of one number usually breaks one of these."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

from benchmark.records import FINISHED, Point, RunRecord
from benchmark.selection import pinned

LARGEST = 2**31 - 1
"""Of a whole number that the command line takes."""


def contradictions(record: RunRecord) -> Iterator[str]:
    """One line for each thing in which a record contradicts itself; what :func:`benchmark.records.check` asks for is not asked again."""
    impossible = list(nonsense(record))
    if impossible:
        yield from impossible
        return
    yield from _label(record)
    yield from _steps(record)
    yield from _times(record)
    yield from _selected(record)
    yield from _measured(record)


def nonsense(record: RunRecord) -> Iterator[str]:
    """One line for each number that no trial can have: records come from anywhere, and nothing is computed from such."""
    spec = record.spec
    for name, least in (("seed", 0), ("steps", 1), ("batch_size", 1), ("eval_every", 1), ("trial", 0)):
        value = getattr(spec, name)
        if not least <= value <= LARGEST:
            yield f"{name} is {value}; expected {least} to {LARGEST}"
    count = len(record.tasks)
    if sorted(set(record.trained)) != record.trained or not set(record.trained) <= set(range(count)):
        yield f"it trained tasks {record.trained} of {count}"
    if record.status in FINISHED and not record.trained:
        yield "it finished, but trained no task"
    for point in record.curve:
        for what, values, allowed in (
            ("train_losses", point.train_losses, {count}),
            ("validation_losses", point.validation_losses, {count}),
            ("weights", point.weights, {0, count}),
        ):
            if len(values) not in allowed:
                yield f"{len(values)} {what} at step {point.step}; expected {count}, one a task"


def _label(record: RunRecord) -> Iterator[str]:
    """The row's name says what was pinned, and the hyperparameters are what was run."""
    spec = record.spec
    values = {**spec.hyperparameters, "learning_rate": spec.learning_rate}
    for name in sorted(pinned(spec) & values.keys()):
        if f"{name}={values[name]}" not in spec.entrant:
            yield f"its row is called {spec.entrant}, but it ran with {name}={values[name]}"


def _steps(record: RunRecord) -> Iterator[str]:
    """The curve has the points that the spec asks for, and the cost the steps and passes."""
    spec, steps = record.spec, [point.step for point in record.curve]
    points = -(-spec.steps // spec.eval_every)
    due = [min(spec.eval_every * (1 + index), spec.steps) for index in range(min(points, len(steps)))]
    if steps != due or (record.status in FINISHED and len(steps) < points):
        ends = "it finished, but " * (record.status in FINISHED)
        expected = f"expected {points}, one every {spec.eval_every} steps to step {spec.steps}"
        yield f"{ends}its curve has points at steps {_few(steps)}; {expected}"
    if record.cost is None:
        if record.status in FINISHED:
            yield "it finished, but has no cost"
        return
    done = record.cost.steps
    if done != spec.steps and record.status in FINISHED:
        yield f"it finished, but did {done} steps of {spec.steps}"
    if not (steps[-1] if steps else 0) <= done <= spec.steps:
        yield f"it did {done} steps of {spec.steps}, and its curve ends at {steps[-1] if steps else 0}"
    if record.cost.backward_passes < done:
        yield f"{record.cost.backward_passes} backward passes in {done} steps; expected one a step or more"
    if sum(record.cost.paths.values()) > max(record.cost.backward_passes, done):
        yield f"task gradients were taken {sum(record.cost.paths.values())} times in {done} steps"


def _times(record: RunRecord) -> Iterator[str]:
    """Seconds neither run backwards nor add up to something else."""
    seconds = [0.0, *(point.seconds for point in record.curve)]
    for before, after in pairwise(seconds):
        if not before <= after < math.inf:
            yield f"training time goes from {before!r} s to {after!r} s along the curve"
            break
    cost = record.cost
    if cost is None:
        return
    for name, value in (("train", cost.train), ("method", cost.method), ("evaluation", cost.evaluation)):
        if not 0 <= value < math.inf:
            yield f"cost.{name} is {value!r} s; expected 0 or more"
    whole = cost.train + cost.method
    if record.curve and (seconds[-1] != whole if record.status in FINISHED else seconds[-1] > whole):
        yield f"its curve ends after {seconds[-1]!r} s of training, but train and method took {whole!r} s"


def _selected(record: RunRecord) -> Iterator[str]:
    """The selected step is the one that the selection rule picks."""
    step, curve = record.selected_step, record.curve
    if record.status not in FINISHED:
        if step is not None and step not in {point.step for point in curve}:
            yield f"selected step {step} is not on its curve"
        return
    if not curve:
        return  # said above
    if record.spec.selection == "last":
        expected = curve[-1].step
    else:
        scores = [(point.score, point.step) for point in curve if point.score is not None]
        if len(scores) < len(curve):
            return  # infinite or no number: which of the two is not recorded
        expected = min(scores)[1]
    if step != expected:
        score = next((point.score for point in curve if point.step == step), None)
        best = next(point.score for point in curve if point.step == expected)
        yield f"selected step {step} (score {score!r}), but the rule {record.spec.selection!r} picks step {expected} (score {best!r})"


def _measured(record: RunRecord) -> Iterator[str]:
    """The metrics at the selected step are those of the curve, and both splits have the same ones."""
    if record.status not in FINISHED:
        return
    point = next((each for each in record.curve if each.step == record.selected_step), None)
    if point is not None:
        yield from _as_on_curve(record, point)
    if not record.validation:
        yield "it finished, but has no validation metrics"
    if record.spec.role == "eval" and record.test.keys() != record.validation.keys():
        odd = sorted(record.test.keys() ^ record.validation.keys())
        yield f"test and validation metrics differ in {', '.join(odd)}"


def _as_on_curve(record: RunRecord, point: Point) -> Iterator[str]:
    if not isinstance(point.metrics, dict):
        return  # from before curves had metrics
    for key in sorted(point.metrics.keys() | record.validation.keys()):
        there, here = point.metrics.get(key), record.validation.get(key)
        if there != here:
            yield f"validation {key} is {here!r}, but {there!r} on the curve at the selected step {point.step}"


def _few(steps: list[int]) -> str:
    if not steps:
        return "(none)"
    return ", ".join(map(str, steps)) if len(steps) <= 4 else f"{steps[0]}, {steps[1]}, ..., {steps[-1]} ({len(steps)})"
