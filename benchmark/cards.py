"""The cards of methods, suites and problems as fields of text, for whoever shows them; a field may have several lines."""

from __future__ import annotations

import math

import methods as registry
import tasks


def method_fields(card: registry.Card) -> dict[str, str]:
    settings = []
    for h in card.hyperparameters:
        number = f"{h.low:g} to {h.high:g}" if not isinstance(h.default, str | bool) else ""
        allowed = ", ".join(h.choices) or number
        settings.append(f"{h.name} = {h.default}: {h.meaning}" + (f" ({allowed})" if allowed else ""))
    return {
        card.name: card.title,
        "paper": f"{card.paper}{f' (arXiv {card.arxiv})' if card.arxiv else ''}",
        "family": {"loss": "loss", "foreign": "known when it is made"}.get(card.family, f"{card.family}, gradients at: {card.where}"),
        "equation": card.equation,
        "scale": card.native_scale,
        "settings": "\n".join(settings) or "none",
        "claims": ", ".join(card.claims) or "none",
        "needs": ", ".join([*card.needs, *(["positive losses"] if card.positive_losses else [])]) or "the losses",
        "deviations": card.deviations or "none",
        "version": str(card.version),
        "use": f"balancer = methods.create({card.name!r}, num_tasks=T)",
    }


def suite_fields(suite: tasks.Suite) -> dict[str, str]:
    fields = {suite.name: suite.summary}
    for entry in suite.entries:
        fields[entry.problem] = ("on request (--problem), " if entry.on_request else "") + (
            f"{entry.seeds} seeds, {entry.steps} steps of {entry.batch_size}, "
            f"learning rate {entry.learning_rate:g}{_halved(entry.halve_every)}, "
            f"evaluated every {entry.eval_every} steps, metrics of the {entry.selection} evaluation"
        )
    return fields | {"run": f"python -m benchmark run --suite {suite.name}"}


def _halved(every: int | None) -> str:
    return f" halved every {every:,} steps" if every else ""


def problem_fields(card: tasks.ProblemCard) -> dict[str, str]:
    fields = {card.name: card.summary, "source": card.source, "licence": card.licence}
    if card.rows:
        fields["rows"] = "{:,} training, {:,} validation, {:,} test".format(*card.rows)
    for task in card.tasks:
        fields[task.name] = f"{task.kind}, {task.loss}; " + ", ".join(_metric(m) for m in task.metrics)
    if card.extra_metrics:
        fields["also"] = ", ".join(_metric(m) for m in card.extra_metrics)
    if card.model:
        fields["model"] = card.model
    return fields | {
        "run": f"{card.steps:,} steps of {card.batch_size}, learning rate {card.learning_rate:g}{_halved(card.halve_every)}",
        "needs": ", ".join(card.requires) or "torch only",
        "version": str(card.version),
    }


def _metric(metric: tasks.Metric) -> str:
    legal = f", {metric.low:g} to {metric.high:g}" if metric.low > -math.inf or metric.high < math.inf else ""
    return f"{metric.name} ({'higher' if metric.higher_is_better else 'lower'} is better{legal})"
