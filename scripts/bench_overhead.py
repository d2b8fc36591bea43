"""The harness against a loop that a user would write by hand, on `digits`: same data, batches, initial weights, steps and evaluations.

The two run in turn in one process on one thread, and are compared pair by pair in CPU seconds, so that a machine that changes its speed
changes both. Exits with 1 where the median ratio is above the limit.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy, mse_loss

import methods
import tasks
from benchmark.records import TrialSpec
from benchmark.train import Run
from tasks.supervised import SupervisedSession

LIMIT = 1.05


def bare(spec: TrialSpec) -> float:
    """The loop of a tutorial: no records, no methods, no checks. Returns its last training loss."""
    session = tasks.problem(spec.problem).open(spec.seed, spec.batch_size)
    assert isinstance(session, SupervisedSession)
    net = session.net
    train, validation = session._train, session._validation
    optimizer = torch.optim.Adam(net.parameters(), lr=spec.learning_rate, fused=True)
    batches = session._batches
    for step in range(1, spec.steps + 1):
        index = (step - 1) % batches
        if index == 0:
            session.batch(step - 1)  # draws the same permutation
            order = session._orders[0][1]
        rows = order[index * spec.batch_size : (index + 1) * spec.batch_size]
        x, digit, ink, slant = (tensor[rows] for tensor in train)
        z = net.trunk(x)
        loss = (cross_entropy(net.heads[0](z), digit) + mse_loss(net.heads[1](z), ink) + mse_loss(net.heads[2](z), slant)) / 3
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % spec.eval_every == 0 or step == spec.steps:
            net.eval()
            with torch.no_grad():
                x, digit, ink, slant = validation
                z = net.trunk(x)
                outputs = [head(z) for head in net.heads]
                (outputs[0].argmax(1) == digit).float().mean().item()
                for output, target in zip(outputs[1:], (ink, slant), strict=True):
                    mse_loss(output, target).sqrt().item()
            net.train()
    return float(loss.detach())


def harness(spec: TrialSpec) -> float:
    run = Run(spec, tasks.problem(spec.problem).card)
    run.train_model(tasks.problem(spec.problem).open(spec.seed, spec.batch_size))
    losses = run.curve[-1].train_losses
    return sum(loss or 0.0 for loss in losses) / len(losses)


def seconds(function: object, spec: TrialSpec) -> float:
    start = time.process_time()
    function(spec)  # type: ignore[operator]
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--out", type=Path, help="also write the figures to this Markdown file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    problem = tasks.problem("digits")
    spec = TrialSpec(
        suite="bench",
        problem="digits",
        problem_version=problem.card.version,
        data=problem.fingerprint(),
        method="equal",
        method_version=methods.card("equal").version,
        entrant="equal",
        hyperparameters={},
        learning_rate=problem.card.learning_rate,
        role="tune",
        seed=0,
        steps=given.steps,
        batch_size=problem.card.batch_size,
        eval_every=100,  # as in the suite `mixed`: 20 evaluations in 2,000 steps
        selection="last",
    )
    for function in (bare, harness):
        function(spec)  # imports, caches, allocator
    pairs = []
    for index in range(given.rounds):
        order = (bare, harness) if index % 2 else (harness, bare)
        taken = {function: seconds(function, spec) for function in order}
        pairs.append((taken[harness], taken[bare]))
    ratios = [a / b for a, b in pairs]
    median = statistics.median(ratios)
    lines = [
        f"harness / bare loop, digits, equal weights, {given.steps} steps, {given.rounds} pairs, CPU seconds on one thread:",
        f"median {median:.3f}, smallest {min(ratios):.3f}, largest {max(ratios):.3f}",
        f"bare {statistics.median(b for _, b in pairs) / given.steps * 1e6:.0f} us a step, "
        f"harness {statistics.median(a for a, _ in pairs) / given.steps * 1e6:.0f} us a step",
    ]
    print("\n".join(lines))
    if given.out:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    raise SystemExit(0 if median <= LIMIT else 1)


if __name__ == "__main__":
    main()
