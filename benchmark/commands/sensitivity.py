"""The score against one hyperparameter, from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import methods as registry
import tasks
from benchmark import plan
from benchmark.commands.leaderboard import warn
from benchmark.errors import UsageError
from benchmark.store import Store


def sensitivity(of: str, *, methods: str, suite: str, problems: Sequence[str], results: Path, out: Path | None) -> None:
    """Draws METHOD.HYPERPARAMETER; prints the file. Nothing is trained.

    Args:
        methods: where the method is a user's, its file.

    Raises:
        UsageError, MethodError, TaskError: nothing like it is known or recorded.
    """
    tasks.require(["matplotlib"], "plot sensitivity")
    names = registry.names() + (plan.choose_methods(methods, baselines=False)[0] if methods else [])
    method, name = plan.setting_of(of, names)
    if not name:
        raise UsageError(f"plot sensitivity {of!r}: expected METHOD.HYPERPARAMETER, as in gradnorm.alpha or gradnorm.learning_rate")
    card = registry.card(method)
    if name not in plan.UNIVERSAL:
        card.resolve({name: next((h.default for h in card.hyperparameters if h.name == name), 0)})
    from benchmark import pictures, sensitivity, sensitivity_picture  # numpy

    path = out or Path(f"sensitivity-{card.name}-{name}.png".replace(":", "-").replace("/", "-"))
    pictures.check(path)
    scan = Store(results).scan()
    warn(scan)
    wanted = [p for word in problems for p in word.split(",")]
    records = [r for r in scan.records if suite in ("", r.spec.suite) and (not wanted or r.spec.problem in wanted)]
    if not records:
        there = sorted({f"{r.spec.suite}/{r.spec.problem}" for r in scan.records})
        known = f"there are records of: {', '.join(there)}" if there else "make some: python -m benchmark sweep"
        raise UsageError(
            f"no records of {'/'.join(filter(None, [suite, ','.join(wanted)])) or 'anything'} in {results.resolve()} ({known})"
        )
    found = sensitivity.panels(records, card, name)
    scores = ", ".join(sorted({panel.score for panel in found}))
    sensitivity_picture.sensitivity(found, f"{card.name}: {scores} against {name.replace('_', ' ')}", path)
    print(path)
