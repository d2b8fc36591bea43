"""The text of the pull request: what it is, what it claims, what was found, its row, and how to check it all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import methods
from benchmark.board import Row, Table
from benchmark.records import RunRecord
from benchmark.submission.smoke import SUITE, Evidence
from benchmark.table import build
from benchmark.validation import Validation
from benchmark.views.page import markdown
from benchmark.views.text import duel, gap, interval, number


def text(card: methods.Card, digest: str, validation: Validation, evidence: Evidence) -> str:
    """Markdown; whatever comes from the submission is shown as it is and never interpreted."""
    name = markdown(card.name)
    arxiv = f" (arXiv {card.arxiv})" if card.arxiv else ""
    facts = {
        "Method": f"{card.name}, version {card.version}: {card.title}",
        "Equation": card.equation,
        "Paper": f"{card.paper}{arxiv}",
        "Family": card.family,
        "Claims": ", ".join(card.claims) or "none",
        "Settings": "; ".join(f"{h.name} = {h.default}: {h.meaning}" for h in card.hyperparameters) or "none",
        "Coincides with": ", ".join(card.coincides) or "nothing that it says",
        "Deviations": card.deviations or "none",
        "Source": f"{card.name}.py, digest {digest}, which every record of it has",
    }
    blocks = [
        f"# Add {name}",
        "\n".join(f"- **{key}**: {markdown(str(value))}" for key, value in facts.items()),
        f"## On suite {SUITE}",
        _measured(card.name, evidence),
        "## What validation found",
        _findings(validation),
        "## For whoever reviews this",
        _review(card.name),
    ]
    return "\n\n".join(blocks) + "\n"


def row_of(name: str, records: Sequence[RunRecord]) -> tuple[Table, Row]:
    """The submission's row among the baselines."""
    table = build(records)
    return table, next(row for row in table.rows if row.entrant == name)


def told(name: str, evidence: Evidence) -> list[str]:
    """The row in words, a line each."""
    table, row = row_of(name, evidence.records)
    against = table.baseline or "nothing"
    lines = [
        f"Δm {number(row.delta_m.value, 2)} %{gap(interval(row.delta_m, 2))} against {against}, lower is better; n = {row.finished} of "
        f"{row.expected} runs (problem x seed), {100 * table.confidence:g} % interval",
        f"IQM {number(row.iqm.value, 2)} %{gap(interval(row.iqm, 2))}; mean rank {number(row.mean_rank, 2)}",
    ]
    if row.wins is not None:
        lines.append(f"wins against {table.equal}: {duel(row.wins)}")
    cost = f"a step costs {number(row.cost, 2)} times one of {table.cost_of or 'the cheapest'}"
    lines.append(f"{cost}, {number(row.passes, 2)} backward passes a step")
    events = Counter[str]()
    for record in evidence.own:
        events.update(record.events)
    if events:
        lines.append(f"events: {', '.join(f'{event} {count:,} times' for event, count in sorted(events.items()))}")
    return lines


def _measured(name: str, evidence: Evidence) -> str:
    return "\n".join(f"- {markdown(line)}" for line in told(name, evidence)) + "\n\nThe whole table is in `leaderboard.md`."


def _findings(validation: Validation) -> str:
    counts = Counter(finding.status for finding in validation.findings)
    summary = ", ".join(f"{count} {status}" for status, count in counts.items())
    remarks = [finding for finding in validation.findings if finding.status != "passed"]
    lines = [f"- **{markdown(finding.check)}** ({finding.status}): {markdown(finding.message)}" for finding in remarks]
    return "\n".join([f"{summary}. What is no plain pass:" if lines else f"{summary}.", *([""] if lines else []), *lines])


def _review(name: str) -> str:
    return "\n".join(
        [
            "Nothing of a bundle is run by the first command. The others run the method in a child process that is confined.",
            "",
            "```console",
            "python -m benchmark submit --check BUNDLE                          # every file made again, and compared",
            f"python -m benchmark validate BUNDLE/{name}.py",
            f"python -m benchmark verify BUNDLE --methods BUNDLE/{name}.py --all   # every record again",
            f"python -m benchmark submit BUNDLE/{name}.py --results BUNDLE --install",
            "```",
        ]
    )
