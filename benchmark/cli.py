"""The command line. Every command imports what it needs when it runs, so that ``--help`` is instant and works without torch."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

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
Retries = Annotated[
    str, typer.Option("--retries", metavar="N", help="Times to run a trial again that was lost with its worker, before that is its record.")
]
Offline = Annotated[bool, typer.Option("--offline", help="Download nothing; say what is missing and how to fetch it.")]
Jobs = Annotated[str, typer.Option("--jobs", metavar="N", help="Trials at once; 0 is one a core, or all that a cluster has room for.")]
ExecutorName = Annotated[
    str,
    typer.Option("--executor", metavar="local|inline|ray", help="A pool of worker processes, this process, or Ray."),
]
Address = Annotated[str, typer.Option("--address", metavar="auto|HOST:PORT", help="The head of a Ray cluster (ray only); this machine.")]
CpusPerTrial = Annotated[str, typer.Option("--cpus-per-trial", metavar="N", help="Cores to set aside for a trial (ray only).")]
GpusPerTrial = Annotated[str, typer.Option("--gpus-per-trial", metavar="N", help="GPUs of a trial, such as 0.25 (ray only).")]

Wandb = Annotated[str, typer.Option("--wandb", metavar="online|offline|off", help="Track the study in Weights & Biases.")]
WandbRuns = Annotated[str, typer.Option("--wandb-runs", metavar="study|trial", help="What is one W&B run.")]
WandbProject = Annotated[str, typer.Option("--wandb-project", metavar="NAME", help="Where the runs go.", envvar="WANDB_PROJECT")]
WandbEntity = Annotated[str, typer.Option("--wandb-entity", metavar="TEAM", help="Whose; your own default.", envvar="WANDB_ENTITY")]


Suite = Annotated[str, typer.Option(metavar="NAME|FILE.toml", help="What to train: smoke, mixed, toy or a suite file.")]
Methods = Annotated[str, typer.Option(metavar="a,b|all|FILE.py|MODULE:OBJECT", help="Who takes part; baselines always do.")]
Seeds = Annotated[str, typer.Option(metavar="N", help="Evaluation seeds, in place of the suite's number.")]
Budget = Annotated[str, typer.Option(metavar="N", help="Configurations to try a method; 1 is the published defaults.")]
Search = Annotated[
    str,
    typer.Option(metavar="quasi-random|grid|optuna", help="How configurations are proposed; optuna: for exploring, in no leaderboard."),
]
Scheduler = Annotated[str, typer.Option(metavar="asha", help="With --search optuna: end early what does badly.")]
StudySeed = Annotated[str, typer.Option(metavar="N", help="Another one proposes other configurations.")]
SelectionRule = Annotated[str, typer.Option(metavar="validation_delta_m|normalised_loss", help="What chooses one of them.")]
RULE = "validation_delta_m"
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="METHOD.NAME=V[,V]", help="Pin a hyperparameter; several values make a grid.")
]
Problems = Annotated[list[str] | None, typer.Option(metavar="NAME", help="Only this problem of the suite (repeatable).")]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train; with ray, --gpus-per-trial says it.")]
Timeout = Annotated[str, typer.Option(metavar="SECONDS", help="What a trial may take (not inline).")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would run, and write nothing.")]
Retry = Annotated[str, typer.Option(metavar="failed", help="Run again the trials whose record is a failure.")]
Baselines = Annotated[bool, typer.Option(help="Add the baselines that Δm needs.")]

Engine = Annotated[
    str, typer.Option("--engine", metavar="auto|eager|vectorized", help="Seeds one by one, or all in one pass; auto measures.")
]
Together = Annotated[str, typer.Option("--together", metavar="N", help="Seeds in one pass; part of what identifies such a run.")]


# What leaderboard and compare look at.
OfSuite = Annotated[str | None, typer.Option(metavar="NAME", help="Only this suite; all that have records by default.")]
Against = Annotated[
    str, typer.Option("--baseline", metavar="ENTRANT", help="Measure Δm against this row; against single-task training by default.")
]
Tuned = Annotated[
    bool | None, typer.Option("--tuned/--default", help="What the largest common search chose, where there was one, or trial 0 alone.")
]
ShownBudget = Annotated[str, typer.Option(metavar="N", help="What a search over N configurations chose; the most that all had.")]
ShownSearch = Annotated[str, typer.Option(metavar="quasi-random|grid", help="Which search; that with the largest budget.")]
ShownSeed = Annotated[str, typer.Option(metavar="N", help="Of the search; that with the largest budget.")]
Protocol = Annotated[str, typer.Option(metavar="N", help="Only records of this protocol; several are not compared.")]


@app.command()
def run(
    suite: Suite = "smoke",
    methods: Methods = "all",
    seeds: Seeds = "",
    budget: Budget = "1",
    settings: Settings = None,
    problem: Problems = None,
    search: Search = "quasi-random",
    scheduler: Scheduler = "",
    study_seed: StudySeed = "0",
    selection_rule: SelectionRule = RULE,
    jobs: Jobs = "0",
    executor: ExecutorName = "local",
    address: Address = "",
    cpus_per_trial: CpusPerTrial = "",
    gpus_per_trial: GpusPerTrial = "",
    device: Device = "auto",
    timeout: Timeout = "3600",
    results: Results = RESULTS,
    dry_run: DryRun = False,
    retry: Retry = "",
    retries: Retries = "1",
    baselines: Baselines = True,
    data_dir: DataDir = None,
    offline: Offline = False,
    wandb: Wandb = "off",
    wandb_runs: WandbRuns = "study",
    wandb_project: WandbProject = "lossbench",
    wandb_entity: WandbEntity = "",
    engine: Engine = "eager",
    together: Together = "10",
) -> None:
    """Train what is missing of a study, record every run, and show the leaderboard. Run it again to resume."""
    _study(**locals())


def sweep(**flags: Any) -> None:
    """Tune every method equally, then train its best configuration on ten fresh seeds: run with --budget 8 --seeds 10."""
    _study(**flags)


def _with_flags_of(command: Callable[..., None], defaults: Mapping[str, str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a function the flags of another command, some with other defaults: typer reads them off its signature."""

    def given(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        flags = [flag.replace(default=defaults.get(name, flag.default)) for name, flag in signature.parameters.items()]
        function.__signature__ = signature.replace(parameters=flags)  # type: ignore[attr-defined]
        function.__annotations__ = command.__annotations__
        return function

    return given


app.command()(_with_flags_of(run, {"budget": "8", "seeds": "10"})(sweep))


def _study(
    *,
    seeds: str,
    budget: str,
    study_seed: str,
    jobs: str,
    address: str,
    cpus_per_trial: str,
    gpus_per_trial: str,
    timeout: str,
    retries: str,
    together: str,
    **others: Any,
) -> None:
    """What run and sweep do with their flags."""
    from benchmark.commands import flags
    from benchmark.commands.run import Request
    from benchmark.commands.run import run as execute
    from benchmark.tracking import Options

    settings, problems = (tuple(others.pop(name) or ()) for name in ("settings", "problem"))
    mode, runs, project, entity = (others.pop(name) for name in ("wandb", "wandb_runs", "wandb_project", "wandb_entity"))
    tracking = Options(mode=mode, runs=runs, project=project, entity=entity)
    request = Request(
        seeds=flags.whole("--seeds", seeds, 1) if seeds else None,
        budget=flags.whole("--budget", budget, 1),
        study_seed=flags.whole("--study-seed", study_seed, 0),
        settings=settings,
        problems=problems,
        jobs=flags.whole("--jobs", jobs, 0),
        address=address or None,
        cpus_per_trial=flags.positive("--cpus-per-trial", cpus_per_trial, "number") if cpus_per_trial else None,
        gpus_per_trial=flags.positive("--gpus-per-trial", gpus_per_trial, "number") if gpus_per_trial else None,
        timeout=flags.positive("--timeout", timeout),
        retries=flags.whole("--retries", retries, 0),
        together=flags.whole("--together", together, 1),
        tracking=tracking,
        **others,
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
    suite: OfSuite = None,
    output: Annotated[
        str, typer.Option("--format", metavar="table|md|csv|json", help="How to print it; md also writes README.md beside the records.")
    ] = "table",
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="Write it there too, in place of README.md; - only prints.")] = "",
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="method|problem|suite|task|race",
            help="What a table is of; task: means of every metric; race: against equal weights.",
        ),
    ] = "method",
    sort: Annotated[str, typer.Option("--sort", metavar="COLUMN", help="rank, dm, dp, mr, iqm, wins, n, failed, cost, ...")] = "",
    baseline: Against = "",
    tuned: Tuned = None,
    budget: ShownBudget = "",
    search: ShownSearch = "",
    study_seed: ShownSeed = "",
    selection_rule: SelectionRule = RULE,
    protocol: Protocol = "",
    published: Annotated[
        str | None, typer.Option("--published", metavar="[NAME]", help="Published tables of a benchmark, recomputed; without NAME a list.")
    ] = None,
    results: Results = RESULTS,
) -> None:
    """Rank the methods from the records, with intervals, failures and costs."""
    from benchmark.commands import flags
    from benchmark.commands.leaderboard import Request
    from benchmark.commands.leaderboard import leaderboard as execute

    only = flags.whole("--protocol", protocol, 1) if protocol else None
    if published is not None:
        from benchmark.commands import published as tables

        others: dict[str, object] = {"--suite": suite, "--out": out, "--by": by != "method", "--sort": sort, "--baseline": baseline}
        others |= {"--tuned or --default": tuned is not None, "--budget": budget, "--search": search, "--study-seed": study_seed}
        others |= {"--selection-rule": selection_rule != RULE}
        flags.unused("--published shows tables of others", others)
        print(tables.published(name=published, output=output, results=results, protocol=only), end="")
        return
    request = Request(
        suite=suite,
        output=output,
        out=out,
        by=by,
        sort=sort,
        baseline=baseline,
        tuned=tuned,
        results=results,
        budget=flags.whole("--budget", budget, 1) if budget else None,
        search=search,
        study_seed=flags.whole("--study-seed", study_seed, 0) if study_seed else None,
        rule=selection_rule,
        protocol=only,
    )
    execute(request)


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="An entrant, as the leaderboard names it.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    suite: OfSuite = None,
    output: Annotated[str, typer.Option("--format", metavar="table|json", help="How to print it.")] = "table",
    baseline: Against = "",
    tuned: Tuned = None,
    budget: ShownBudget = "",
    search: ShownSearch = "",
    study_seed: ShownSeed = "",
    selection_rule: SelectionRule = RULE,
    protocol: Protocol = "",
    results: Results = RESULTS,
) -> None:
    """Say in plain words whether two methods differ: seed by seed, with interval, test and effect size."""
    from benchmark.commands import flags
    from benchmark.commands.compare import compare as execute
    from benchmark.commands.leaderboard import Request

    request = Request(
        suite=suite,
        output=output,
        baseline=baseline,
        tuned=tuned,
        results=results,
        budget=flags.whole("--budget", budget, 1) if budget else None,
        search=search,
        study_seed=flags.whole("--study-seed", study_seed, 0) if study_seed else None,
        rule=selection_rule,
        protocol=flags.whole("--protocol", protocol, 1) if protocol else None,
    )
    execute(first, second, request)


@app.command()
def advise(
    problem: Annotated[str, typer.Option(metavar="FILE.py:OBJECT|MODULE:OBJECT|NAME", help="Yours, as tasks.from_loop makes it.")],
    time: Annotated[str, typer.Option("--time", metavar="10m", help="What it may take: a number with s, m or h.")] = "10m",
    methods: Methods = "all",
    jobs: Jobs = "0",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    results: Results = RESULTS,
    json: Annotated[bool, typer.Option("--json", help="The answer and its evidence as one document.")] = False,
    data_dir: DataDir = None,
    offline: Offline = False,
) -> None:
    """Say which method to use on your own problem, found in the time given, with the evidence."""
    from benchmark.commands import flags
    from benchmark.commands.advise import Request
    from benchmark.commands.advise import advise as execute

    execute(
        Request(
            problem=problem,
            time=time,
            methods=methods,
            jobs=flags.whole("--jobs", jobs, 0),
            device=device,
            results=results,
            json=json,
            data_dir=data_dir,
            offline=offline,
        )
    )


@app.command()
def site(
    suite: Annotated[str, typer.Option(metavar="NAME", help="Only this suite; all that have records by default.")] = "",
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write; one that this made is replaced.")] = Path("site"),
    pictures: Annotated[bool, typer.Option("--pictures", help="First train shortly and draw the problems that have no picture.")] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Serve it to this machine, and open the browser.")] = False,
    port: Annotated[str, typer.Option(metavar="N", help="Where to serve; 0 is any that is free.")] = "8000",
    results: Results = RESULTS,
) -> None:
    """Write the leaderboard, its figures and every run behind them as a folder of pages that needs no network."""
    from benchmark.commands import flags
    from benchmark.commands.site import site as execute

    number = flags.whole("--port", port, 0)
    execute(suite=suite, results=results, out=out, pictures=pictures, serve=serve, port=number)


@app.command()
def status(
    suite: Annotated[str | None, typer.Option(metavar="NAME", help="Only this suite; the last study of each by default.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again and again until it is complete.")] = False,
    results: Results = RESULTS,
) -> None:
    """Say what of a study is done, running, failed and missing, and for how long yet."""
    from benchmark.commands.status import status as execute

    execute(suite=suite, watch=watch, results=results)


@app.command()
def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask nothing of the network.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    results: Results = RESULTS,
) -> None:
    """Say whether this machine can run a study, and what mends what is wrong."""
    from benchmark.commands.doctor import doctor as execute

    execute(results, offline=offline, as_json=as_json)


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
def validate(
    submission: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A method file, a registered name, or MODULE:OBJECT.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
    time: Annotated[str, typer.Option(metavar="TIME", help="What it may take, such as 120s or 5m.")] = "120s",
    memory: Annotated[str, typer.Option(metavar="SIZE", help="What it may take, such as 4GB.")] = "4GB",
) -> int:
    """Examine a method in a sandbox, every check named; exits with 1 where one fails."""
    from benchmark.commands.validate import validate as execute

    return execute(submission, as_json=as_json, time=time, memory=memory)


@app.command()
def plot(
    name: Annotated[
        str,
        typer.Argument(metavar="PROBLEM|SUITE|sensitivity", help="What to train; of a suite, its problems with known fronts. Or the word."),
    ],
    of: Annotated[
        str, typer.Argument(metavar="[METHOD.NAME]", help="After sensitivity: the score against this hyperparameter, from records alone.")
    ] = "",
    methods: Annotated[
        str, typer.Option("--methods", "--method", metavar="a,b|FILE.py", help="Who trains; equal weights, or six for known fronts.")
    ] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="METHOD.NAME=V[,V]", help="Pin a hyperparameter.")] = None,
    steps: Annotated[str, typer.Option(metavar="N", help="Steps of a run; the problem's, at most 4000 for known fronts.")] = "",
    seeds: Annotated[str, typer.Option(metavar="N", help="Runs a method; 1, or 5 for known fronts.")] = "",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda", help="Where to train.")] = "auto",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="A .png, .svg or .pdf; NAME.png in this folder.")] = None,
    suite: Annotated[str, typer.Option(metavar="NAME", help="sensitivity: only records of this suite.")] = "",
    problem: Annotated[list[str] | None, typer.Option(metavar="NAME", help="sensitivity: only this problem (repeatable).")] = None,
    results: Results = RESULTS,
    data_dir: DataDir = None,
    offline: Offline = False,
) -> None:
    """Train shortly and draw inputs, targets and predictions, or the ways to a known front; or draw a hyperparameter's effect."""
    from benchmark.commands import flags

    if name == "sensitivity":
        from benchmark.commands.sensitivity import sensitivity

        flags.unused(
            "plot sensitivity trains nothing",
            {
                "--set": settings,
                "--steps": steps,
                "--seeds": seeds,
                "--data-dir": data_dir,
                "--offline": offline,
                "--device": device != "auto",
            },
        )
        sensitivity(of, methods=methods, suite=suite, problems=problem or [], results=results, out=out)
        return
    flags.unused(f"plot {name} reads no records", {"--suite": suite, "--problem": problem})
    if of:
        flags.only_after_sensitivity(name, of)
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


@app.command()
def submit(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A method's file; with --check a bundle.")],
    results: Results = RESULTS,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="The bundle, a new folder; NAME-submission.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put the file into methods/ of this checkout; --out for a bundle too.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Check a bundle that was received; nothing in it is run.")] = False,
) -> int:
    """Pack a method that passes validate with its records of suite smoke: a folder, to be committed as it is in a pull request. --check
    exits with 1 where one is wrong."""
    from benchmark.commands import flags
    from benchmark.commands import submit as command

    if check:
        flags.unused("--check looks at a bundle alone", {"--out": out, "--install": install})
        return command.check(path)
    command.submit(path, results=results, out=out, into_package=install)
    return 0


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the method: small letters, digits and underscores.")],
    family: Annotated[str, typer.Option(metavar="loss|gramian|jacobian", help="What it looks at.")] = "gramian",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where to write NAME.py.")] = Path(),
) -> None:
    """Write a method's file that runs as it is, for your equation."""
    from benchmark.commands.new import new as execute

    execute(name, family, out)


results_app = typer.Typer(help="Pack, unpack, merge and check folders of records.", rich_markup_mode=None)
app.add_typer(results_app, name="results")


@results_app.command()
def pack(results: Results = RESULTS) -> None:
    """Pack all loose records into one Parquet file, which every command reads like them. Needs pyarrow."""
    from benchmark.commands.results import pack as execute

    execute(results)


@results_app.command()
def unpack(results: Results = RESULTS) -> None:
    """Make the packed records loose again, a JSON file each."""
    from benchmark.commands.results import unpack as execute

    execute(results)


@results_app.command()
def merge(
    other: Annotated[Path, typer.Argument(metavar="DIR", help="Another folder of results; nothing in it is changed.")],
    prefer: Annotated[str, typer.Option(metavar="ours|theirs", help="Whose record stays where both have a trial and differ.")] = "",
    results: Results = RESULTS,
) -> int:
    """Add the records of DIR; where both have a trial and differ, say so and merge nothing."""
    from benchmark.commands.results import merge as execute

    return execute(results, other, prefer)


@results_app.command()
def check(results: Results = RESULTS) -> int:
    """Read every record, recompute its id and ranges, and list what is wrong; exits with 1 where anything is."""
    from benchmark.commands.results import check as execute

    return execute(results)


@app.command()
def verify(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="A folder of records.", envvar="LOSSBENCH_RESULTS")] = RESULTS,
    sample: Annotated[str, typer.Option(metavar="K", help="Records to run again, at random; 0 trains nothing. One a row or more.")] = "",
    whole: Annotated[bool, typer.Option("--all", help="Run every record again.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that have a verdict already.")] = False,
    suite: Annotated[str, typer.Option(metavar="NAME", help="Only this suite.")] = "",
    methods: Annotated[str, typer.Option(metavar="a,b,FILE.py", help="Only these methods; a file makes its methods known.")] = "",
    seed: Annotated[str, typer.Option(metavar="N", help="Of the drawing; without, one that nobody can foresee.")] = "",
    jobs: Jobs = "0",
    executor: Annotated[str, typer.Option(metavar="local|inline", help="A pool of worker processes, or this process.")] = "local",
    tolerance: Annotated[str, typer.Option(metavar="X", help="Compare losses within X, relative, and not to the last digit.")] = "",
    data_dir: DataDir = None,
    offline: Offline = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> int:
    """Check every record of RESULTS and run some again; the verdicts are the provenance of its rows. Exits with 1 where any fails."""
    from benchmark.commands import flags
    from benchmark.commands.verify import Request
    from benchmark.commands.verify import verify as execute

    request = Request(
        results=results,
        sample=flags.whole("--sample", sample, 0) if sample else None,
        whole=whole,
        again=again,
        suite=suite,
        methods=methods,
        seed=flags.whole("--seed", seed, 0) if seed else None,
        jobs=flags.whole("--jobs", jobs, 0),
        executor=executor,
        data_dir=data_dir,
        offline=offline,
        tolerance=flags.positive("--tolerance", tolerance, "number") if tolerance else None,
        as_json=as_json,
    )
    return execute(request)


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(metavar="[NAME|FILE.toml]", help="A published experiment; without, a list of what there is.")] = "",
    methods: Annotated[str, typer.Option("--methods", metavar="a,b", help="Only these rows, by the source's names or ours.")] = "",
    jobs: Jobs = "0",
    results: Results = RESULTS,
    output: Annotated[str, typer.Option("--format", metavar="table|md|json", help="How to print the verdicts.")] = "table",
    dry_run: DryRun = False,
    data_dir: DataDir = None,
    offline: Offline = False,
) -> int:
    """Train what is missing of a published experiment and say, cell by cell, whether ours is what is printed.

    Exits with 1 where it is not, or a run failed.
    """
    from benchmark.commands import flags
    from benchmark.commands.reproduce import Request
    from benchmark.commands.reproduce import reproduce as execute

    number = flags.whole("--jobs", jobs, 0)
    request = Request(
        name=name, results=results, jobs=number, methods=methods, data_dir=data_dir, offline=offline, dry_run=dry_run, output=output
    )
    return execute(request)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command and exits: 0 done, 2 a mistake in the call (one line, nothing written), 130 interrupted."""
    from typer.exceptions import TyperException

    given = _spelled_out(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(given or ["--help"], prog_name="python -m benchmark", standalone_mode=False)
    except TyperException as error:
        known = {each.name or getattr(each.callback, "__name__", "") for each in app.registered_commands} | {"results"}
        command = given[0] if given and given[0] in known else ""
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


def _spelled_out(arguments: Sequence[str]) -> list[str]:
    """``--published`` alone as ``--published=``: typer has no option whose value may be left out."""
    following = [*arguments[1:], "--"]
    return [f"{a}=" if a == "--published" and after.startswith("-") else a for a, after in zip(arguments, following, strict=True)]


def _fail(message: str) -> None:
    from benchmark.views.text import printable  # names from records are in some messages

    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(2)
