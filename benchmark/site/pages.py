"""From boards to pages: text by path, relative to the folder of the site. Nothing is written here.

Text from records is escaped wherever it stands: by autoescape in HTML, by :func:`json_block` in data for scripts, by
:func:`benchmark.site.marks.text` in figures; and no page lets a script run that is not a file of the site.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmark.site import columns, figures, summaries, training
from benchmark.site.data import Board, Entrant
from benchmark.site.marks import COLOURS, DASHES, Figure
from benchmark.site.names import slugs
from benchmark.views import footer, printable
from benchmark.views.text import interval, number, size

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"
FEW = 16
"""With no more entrants than this, all stand in a figure's chooser; of more, those that are shown first, and the others on request."""


@dataclass(frozen=True)
class Panel:
    """A figure on a page."""

    id: str
    title: str
    figure: Figure
    caption: str = ""
    chosen: bool = False
    """Whether the page's chooser decides which entrants it shows."""


@dataclass(frozen=True)
class Places:
    """Where the pages of a board are, relative to its own folder."""

    entrants: dict[str, str]
    problems: dict[str, str]
    pictures: dict[str, str] = field(default_factory=dict)
    """By the problem's label."""

    def method(self, name: str) -> str:
        return f"methods/{self.entrants[name]}.html"

    def problem(self, label: str) -> str:
        return f"problems/{self.problems[label]}.html"

    def runs(self, name: str, label: str) -> str:
        return f"runs/{self.entrants[name]}--{self.problems[label]}.html"


def places(board: Board, pictures: Mapping[str, str]) -> Places:
    """``pictures`` are file names by the name of the problem."""
    known = {problem.label: f"pictures/{pictures[problem.name]}" for problem in board.problems if problem.name in pictures}
    return Places(slugs(each.name for each in board.entrants), slugs(problem.label for problem in board.problems), known)


def site(boards: Sequence[Board], pictures: Mapping[str, str]) -> dict[str, str]:
    """All pages: of one board in the folder itself; of several, a folder each and a page that leads to them."""
    environment = _environment()
    if len(boards) == 1:
        return of_board(boards[0], places(boards[0], pictures), environment)
    folders = slugs(board.suite for board in boards)
    found = {"index.html": environment.get_template("overview.html").render(boards=boards, folders=folders, root="", assets="", home="")}
    for board in boards:
        folder = f"suites/{folders[board.suite]}/"
        pages = of_board(board, places(board, pictures), environment, up="../../")
        found |= {folder + path: page for path, page in pages.items()}
    return found


def of_board(board: Board, where: Places, environment: Environment | None = None, up: str = "") -> dict[str, str]:
    """The pages of one board. ``up`` leads from its folder to that of the site, and is empty where they are one."""
    environment = environment or _environment()
    render = partial(_render, environment, board, where, up)
    found = {"index.html": render("index.html", "", **_index(board, where))}
    for each in board.entrants:
        found[where.method(each.name)] = render("method.html", "../", **_method(board, where, each))
        for label in each.results:
            found[where.runs(each.name, label)] = render("runs.html", "../", entrant=each, result=each.results[label])
    for problem in board.problems:
        found[where.problem(problem.label)] = render("problem.html", "../", **_problem(board, where, problem.label))
    return found


def _render(environment: Environment, board: Board, where: Places, up: str, template: str, root: str, **values: Any) -> str:
    return environment.get_template(template).render(board=board, where=where, root=root, assets=root + up, home=up, **values)


def _index(board: Board, where: Places) -> dict[str, Any]:
    panels = [
        _panel("change", "Δm with intervals", figures.change(board), "Dots are means over all problems, lines their intervals."),
        _panel(
            "ranks",
            "Critical difference",
            summaries.ranks(board),
            "Friedman's mean ranks, one block a problem. Bars are as long as Nemenyi's critical difference: two methods whose bars do not "
            "meet differ at the 5 % level. The shaded part is the best method's.",
        ),
        _panel(
            "cost",
            "Quality against cost",
            figures.cost(board),
            f"Down and to the left is better. The step of {board.table.cost_of or 'the cheapest'} takes 1.",
        ),
        _panel(
            "profiles",
            "Performance profiles",
            summaries.profiles(board),
            "The share of a method's runs, over all problems and seeds, at or below each Δm. Higher is better.",
            chosen=True,
        ),
    ]
    return {
        "columns": columns.leaderboard(board, where.runs, where.method),
        "ranks": [columns.rank(each) for each in board.entrants],
        "panels": [panel for panel in panels if panel],
        "families": sorted({each.family for each in board.entrants}),
        "notes": footer(board.table),
        "chooser": _chooser(board, [each for each in board.entrants if each.row.rank is not None and each.row.complete]),
    }


def _method(board: Board, where: Places, entrant: Entrant) -> dict[str, Any]:
    weights = [_panel(f"weights-{i}", label, training.weights(result)) for i, (label, result) in enumerate(entrant.results.items())]
    course = [
        _panel(
            "cosine",
            "Gradient cosine",
            training.conflicts(entrant, "cosine"),
            "Below zero, two tasks pull against each other. Recorded where the method looks at the gradients.",
        ),
        _panel("conflicts", "Conflict rate", training.conflicts(entrant, "conflicts"), "How many pairs of tasks have a negative cosine."),
    ]
    return {
        "entrant": entrant,
        "columns": columns.of_method(entrant, board.problems, where.runs),
        "rank": columns.rank(entrant),
        "weights": [panel for panel in weights if panel],
        "course": [panel for panel in course if panel],
    }


def _problem(board: Board, where: Places, label: str) -> dict[str, Any]:
    problem = next(each for each in board.problems if each.label == label)
    validation, train = (
        [_panel(f"{which}-{i}", task, drawn, chosen=True) for i, (task, drawn) in enumerate(training.losses(board, label, which))]
        for which in ("validation", "training")
    )
    return {
        "problem": problem,
        "columns": columns.metrics(board, problem, where.runs),
        "change": _panel(
            "change", "Δm with intervals", figures.change(board, label), "Dots are means over the seeds, lines their intervals."
        ),
        "trade_off": _panel("trade-off", "Trade-off", training.trade_off(board, label), chosen=True),
        "validation": validation,
        "training": train,
        "course": [_panel(f"metric-{i}", key, drawn, chosen=True) for i, (key, drawn) in enumerate(training.metrics(board, label))],
        "chooser": _chooser(board, [each for each in board.entrants if label in each.results]),
        "picture": where.pictures.get(label),
    }


def _panel(name: str, title: str, drawn: Figure | None, caption: str = "", *, chosen: bool = False) -> Panel | None:
    return Panel(name, title, drawn, caption, chosen) if drawn is not None else None


def _chooser(board: Board, entrants: Sequence[Entrant]) -> dict[str, Any]:
    """Of these, who is shown first and who is not yet, and who stands behind a fold."""
    first = set(board.shown_first())
    few = len(entrants) <= FEW
    return {
        "first": [(each, each.name in first) for each in entrants if few or each.name in first],
        "others": [] if few else [each for each in entrants if each.name not in first],
    }


def json_block(value: Any) -> Any:
    """JSON that may stand inside a script element whatever it holds; nan is null."""
    from markupsafe import Markup

    text = msgspec.json.encode(value).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # nothing of HTML is left in it


def _environment() -> Environment:
    """Raises what jinja2 raises for a template that names what it was not given."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    environment.filters |= {"json_block": json_block, "lines": _lines, "milliseconds": _milliseconds, "bytes": _bytes}
    environment.globals |= {
        "colours": COLOURS,
        "dashes": DASHES,
        "number": partial(number, digits=2),
        "bounds": partial(interval, digits=2),
    }
    return environment


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.3g} ms"


def _bytes(count: int | None) -> str:
    return "" if count is None else size(float(count))


def _lines(text: str) -> list[str]:
    return text.split("\n")
