"""What is written to W&B. wandb is imported here alone, in the service's process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from benchmark import table, views
from benchmark.records import RunRecord, failed
from benchmark.table import Table
from benchmark.tracking import Options, content, folder
from benchmark.tracking.ledger import Ledger, digest
from tasks.network import silence

ANSWER = 2.0
"""Seconds that the server may take to say that it is there."""

INIT = 15.0
"""Seconds that a server which is there may take to open a run (W&B takes up to twice that, and a minute and a half by default)."""

LIGHT = {
    "console": "off",
    "silent": True,
    "quiet": True,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "disable_git": True,
    "disable_code": True,
    "disable_job_creation": True,
    "save_code": False,
    "x_transaction_log_flush_interval": 1.0,
    "init_timeout": INIT,
}
"""Settings of a run: nothing of the machine, the user's folder or the terminal goes to W&B; what is written can be read a second later."""


class Refusal(Exception):
    """The server cannot be used; one line with the remedy."""


class Writer:
    """One study in W&B: a row of history for every trial, if wanted a run of its own as well, and tables at the end.

    Args:
        options: where to.
        results: folder of the study.
        begun: told the run's id and address as soon as it is open.
        alive: called after every part of the work.
    """

    def __init__(self, options: Options, results: Path, begun: Callable[[str, str], None], alive: Callable[[], None]) -> None:
        import wandb

        self._wandb = wandb
        self._options, self._results, self._begun, self._alive = options, results, begun, alive
        self._suite, self._config = "", dict[str, Any]()
        self._ledger: Ledger
        self._run: Any = None

    def log_in(self) -> None:
        """Raises Refusal where nobody is logged in, or the server does not answer; within seconds."""
        server = str(self._wandb.setup().settings.base_url)
        try:
            known = self._wandb.login(verify=False)
        except Exception as error:  # UsageError without a key, AuthenticationError for one that cannot be one; other versions, other errors
            raise Refusal(f"--wandb online: {_line(error)} (run: wandb login; or set WANDB_API_KEY); or use {_OFFLINE}") from error
        if not known:
            raise Refusal(f"--wandb online needs a log-in to {server}: run wandb login, or set WANDB_API_KEY; or use {_OFFLINE}")
        reason = silence(server, "the W&B server", ANSWER)
        if reason:
            raise Refusal(f"--wandb online: {reason} (WANDB_BASE_URL is {server}); use {_OFFLINE}")

    def begin(self, suite: str, config: dict[str, Any]) -> None:
        """Opens the study's run, or continues it.

        Raises:
            Refusal: online, the server will not have it.
        """
        o = self._options
        server = str(self._wandb.setup().settings.base_url) if o.mode == "online" else ""
        self._suite, self._config = suite, config
        self._ledger = Ledger(Ledger.path(folder(self._results), suite, (o.mode, server, o.entity, o.project, o.runs)))
        tags = [suite[: content.LONGEST_TAG]]
        try:
            self._run = self._init(self._ledger.run, name=suite, config=config, job_type="study", tags=tags)
        except Exception as error:
            raise Refusal(f"--wandb {o.mode}: W&B opens no run in project {o.project!r}: {_line(error)}") from error
        self._run.define_metric("*", summary="none")  # else the summary repeats the last row
        self._begun(self._ledger.run, str(self._run.url or ""))

    def add(self, record: RunRecord) -> None:
        """One trial, once."""
        entry = digest(record)
        if self._ledger.has(entry):
            return
        if self._options.runs == "trial":
            self._add_run(record, f"{self._ledger.run}-{entry}")
        self._run.log(content.row(record), step=len(self._ledger), commit=True)  # else it is written with the next one
        self._ledger.add(entry)
        self._alive()

    def end(self, tuning: Sequence[RunRecord], evaluation: Sequence[RunRecord]) -> None:
        """What earlier calls did not write, then tables, plots, artifact and summary of the whole study."""
        records = [*tuning, *evaluation]
        for record in records:
            self.add(record)
        try:
            self._conclude(records, table.build(evaluation) if evaluation else None)
        except Exception:
            with suppress(Exception):  # what was logged still arrives
                self.stop(1)
            raise
        self.stop(0)

    def _conclude(self, records: Sequence[RunRecord], built: Table | None) -> None:
        self._alive()
        self._run.summary.update(content.summary(records, built))
        logged: dict[str, Any] = {"trials": self._table(*content.trials(records))}
        if built is not None:
            logged |= self._leaderboard(built)
        self._run.log(logged, step=len(self._ledger))
        self._ledger.add("tables")
        self._alive()
        self._run.log_artifact(self._artifact(records, built))
        self._alive()

    def stop(self, code: int) -> None:
        """Closes what is open: 0 for a study that is done."""
        if self._run is not None:
            self._run.finish(exit_code=code)
            self._run = None

    def _add_run(self, record: RunRecord, run_id: str) -> None:
        spec = record.spec
        config = {"study": self._ledger.run, "id": record.id, **msgspec.to_builtins(spec), "environment": record.environment}
        name = f"{spec.entrant} on {spec.problem}, seed {spec.seed}"
        run = self._init(run_id, name=name, config=config, job_type=spec.role, tags=content.tags(record), reinit="create_new")
        run.define_metric("*", summary="none")
        for step, values in content.curve(record):
            run.log(values, step=step)
        found: dict[str, Any] = {"status": record.status, "message": record.message, "selected_step": record.selected_step}
        found |= {"score": content.row(record)["score"], "seconds": content.seconds(record)}
        found |= {f"{split}/{key}": value for split in ("validation", "test") for key, value in getattr(record, split).items()}
        run.summary.update(found | {f"events/{name}": count for name, count in record.events.items()})
        run.finish(exit_code=int(failed(record.status)))

    def _init(self, run_id: str, **facts: Any) -> Any:
        o = self._options
        mode: Any = o.mode
        known = type(self._wandb.Settings()).model_fields
        settings: dict[str, Any] = {name: value for name, value in LIGHT.items() if name in known}  # an older wandb does not know them all
        return self._wandb.init(
            id=run_id,
            resume="allow",
            mode=mode,
            project=o.project,
            entity=o.entity or None,
            group=f"{self._suite} {self._ledger.run}",
            dir=str(self._results),
            settings=self._wandb.Settings(**settings),
            **facts,
        )

    def _table(self, columns: Sequence[str], lines: Sequence[Sequence[Any]]) -> Any:
        kind = self._wandb.Table
        kind.MAX_ROWS = max(kind.MAX_ROWS, len(lines))  # else it is cut at 10,000 trials
        return kind(columns=list(columns), data=[list(line) for line in lines], allow_mixed_types=True)

    def _leaderboard(self, built: Table) -> dict[str, Any]:
        """The tables of the terminal as numbers, and the methods by Δm as a plot; as a picture too, where matplotlib is there."""
        found: dict[str, Any] = {}
        for name, lines in (("leaderboard", views.method_lines(built)), ("metrics", views.metric_lines(built))):
            if lines:
                found[name] = self._table(list(lines[0]), [list(map(_known, line.values())) for line in lines])
        ranked = [
            [each.entrant, each.delta_m.value] for each in built.rows if each.rank is not None and _known(each.delta_m.value) is not None
        ]
        if ranked:
            plotted = self._table(["method", "delta_m"], ranked)
            found["delta_m"] = self._wandb.plot.bar(plotted, "method", "delta_m", title="Δm % (lower is better)")
            picture = self._results / "wandb" / "leaderboard.png"
            with suppress(ImportError):  # of matplotlib, which nothing else here needs
                from benchmark import pictures

                pictures.leaderboard(built, picture)
                found["picture"] = self._wandb.Image(str(picture))
        return found

    def _artifact(self, records: Sequence[RunRecord], built: Table | None) -> Any:
        """The study's records, a JSON line each, with the leaderboard made of them."""
        artifact = self._wandb.Artifact(f"records-{self._suite}", type="records", metadata=self._config)
        with artifact.new_file("records.jsonl", mode="wb") as file:
            for record in records:
                file.write(msgspec.json.encode(record) + b"\n")
        if built is not None:
            for name, form in (("leaderboard.md", "md"), ("leaderboard.json", "json")):
                with artifact.new_file(name, mode="w", encoding="utf-8") as file:
                    file.write(views.render(built, form))  # type: ignore[arg-type]
        return artifact


_OFFLINE = "--wandb offline, and send the run later with wandb sync"


def _known(value: Any) -> Any:
    """A table's cell: nan is nothing."""
    return None if isinstance(value, float) and value != value else value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
