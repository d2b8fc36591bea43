"""The command line. Every command imports what it needs when it runs, so that ``--help`` is instant and works without torch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="benchmark",
    help="Which way of balancing several losses should I use, and is the difference real?",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where records are kept.", envvar="LOSSBENCH_RESULTS")]
RESULTS = Path("results")

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", metavar="DIR", help="Local copies of data sets: DIR/PROBLEM, or the files in DIR itself.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing; say what is missing and how to fetch it.")]

Engine = Annotated[
    str, typer.Option("--engine", metavar="auto|eager|vectorized", help="Seeds one by one, or all in one pass; auto measures.")
]
Together = Annotated[str, typer.Option("--together", metavar="N", help="Seeds in one pass; part of what identifies such a run.")]


@app.command()
def run(
    suite: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="What to train: smoke, mixed, toy or a suite file.")] = "smoke",
    methods: Annotated[str, typer.Option(metavar="a,b|all|FILE.py|MODULE:OBJECT", help="Who takes part; baselines always do.")] = "all",
    seeds: Annotated[str, typer.Option(metavar="N", help="Evaluation seeds, in place of the suite's number.")] = "",
    budget: Annotated[str, typer.Option(metavar="N", help="Configurations to try a method; 1 is the published defaults.")] = "1",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="METHOD.NAME=V[,V]", help="Pin a hyperparameter; several values make a grid.")
    ] = None,
    problem: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this problem of the suite (repeatable).")] = None,
    jobs: Annotated[str, typer.Option(metavar="N", help="Trials at once; 0 is one a core.")] = "0",
    executor: Annotated[str, typer.Option(metavar="local|inline", help="A pool of worker processes, or this process.")] = "local",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    timeout: Annotated[str, typer.Option(metavar="SECONDS", help="What a trial may take (local only).")] = "3600",
    results: Results = RESULTS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and write nothing.")] = False,
    retry: Annotated[str, typer.Option(metavar="failed", help="Run again the trials whose record is a failure.")] = "",
    baselines: Annotated[bool, typer.Option(help="Add the baselines that Δm needs.")] = True,
    data_dir: DataDir = None,
    offline: Offline = False,
    engine: Engine = "eager",
    together: Together = "10",
) -> None:
    """Train what is missing of a study, record every run, and show the leaderboard. Run it again to resume."""
    from benchmark.commands import flags
    from benchmark.commands.run import Request
    from benchmark.commands.run import run as execute

    request = Request(
        suite=suite,
        methods=methods,
        seeds=flags.whole("--seeds", seeds, 1) if seeds else None,
        budget=flags.whole("--budget", budget, 1),
        settings=tuple(settings or ()),
        problems=tuple(problem or ()),
        jobs=flags.whole("--jobs", jobs, 0),
        executor=executor,
        device=device,
        timeout=flags.positive("--timeout", timeout),
        results=results,
        dry_run=dry_run,
        retry=retry,
        baselines=baselines,
        data_dir=data_dir,
        offline=offline,
        engine=engine,
        together=flags.whole("--together", together, 1),
    )
    execute(request)


@app.command()
def prepare(
    suite: Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="Every problem of this suite, those on request included.")] = "",
    problem: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this problem (repeatable).")] = None,
    data_dir: DataDir = None,
    offline: Offline = False,
) -> None:
    """Download, decode and cache ahead what problems need; say how much there is and where."""
    from benchmark.commands.prepare import prepare as execute

    execute(suite=suite, problems=problem or [], data_dir=data_dir, offline=offline)


@app.command()
def leaderboard(
    suite: Annotated[str | None, typer.Option(metavar="NAME", help="Only this suite; all that have records by default.")] = None,
    output: Annotated[str, typer.Option("--format", metavar="table|md|csv|json", help="How to print it.")] = "table",
    budget: Annotated[str, typer.Option(metavar="N", help="Show what a search over N configurations chose; the largest made.")] = "",
    results: Results = RESULTS,
) -> None:
    """Rank the methods from the records, with intervals, failures and costs."""
    from benchmark.commands import flags
    from benchmark.commands.leaderboard import leaderboard as execute

    execute(suite=suite, output=output, budget=flags.whole("--budget", budget, 1) if budget else None, results=results)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(metavar="methods|suites|problems", help="What to list.")],
) -> None:
    """List what there is."""
    from benchmark.commands import cards

    cards.list_(what)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A method, FILE.py, MODULE:OBJECT, a suite, a problem or a record's id.")],
    results: Results = RESULTS,
) -> None:
    """Show one card, or one record."""
    from benchmark.commands import cards

    cards.show(name, results)


@app.command()
def plot(
    name: Annotated[str, typer.Argument(metavar="PROBLEM|SUITE", help="What to train; of a suite, its problems with known fronts.")],
    methods: Annotated[
        str, typer.Option("--methods", "--method", metavar="a,b|FILE.py", help="Who trains; equal weights, or six for known fronts.")
    ] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="METHOD.NAME=V[,V]", help="Pin a hyperparameter.")] = None,
    steps: Annotated[str, typer.Option(metavar="N", help="Steps of a run; the problem's, at most 4000 for known fronts.")] = "",
    seeds: Annotated[str, typer.Option(metavar="N", help="Runs a method; 1, or 5 for known fronts.")] = "",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .png, .svg or .pdf; NAME.png in this folder.")] = None,
    data_dir: DataDir = None,
    offline: Offline = False,
) -> None:
    """Train shortly and draw inputs, targets and predictions, or the ways to a known front."""
    from benchmark.commands import flags
    from benchmark.commands.plot import plot as execute

    execute(
        name,
        methods=methods,
        settings=settings or [],
        steps=flags.whole("--steps", steps, 1) if steps else None,
        seeds=flags.whole("--seeds", seeds, 1) if seeds else None,
        device=device,
        out=out,
        data_dir=data_dir,
        offline=offline,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 2 a mistake in the call (one line, nothing written), 130 interrupted."""
    from typer.exceptions import TyperException

    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="python -m benchmark", standalone_mode=False)
    except TyperException as error:
        command = given[0] if given and given[0] in {c.name or getattr(c.callback, "__name__", "") for c in app.registered_commands} else ""
        _fail(f"{error.format_message()} (see: {' '.join(['python -m benchmark', command]).strip()} --help)")
    except typer.Abort:
        sys.exit(130)
    except BrokenPipeError:  # the reader of a pipe has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        from benchmark.errors import user_errors

        if not isinstance(error, user_errors()):
            raise
        _fail(str(error))
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(2)
