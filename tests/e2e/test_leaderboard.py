"""``leaderboard`` from the records to the screen and the file: every flag, and every kind of records that it must not be fooled by."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from benchmark import cli, provenance
from benchmark.records import Cost, Point, RunRecord
from benchmark.store import Store
from tests.benchmark.test_records import make

Capture = pytest.CaptureFixture[str]

PLACE = {"lossbench": "0.1.0", "torch": "2.13.0", "device": "cpu"}


def trial(entrant: str, error: float, seed: int = 0, **fields: object) -> RunRecord:
    """One run of 100 steps with a curve; single-task training makes one record a task (:func:`single`)."""
    cost = Cost(train=1.0, method=1.0 + error, evaluation=0.1, steps=100, backward_passes=100, peak_memory=400_000_000)
    record = make({"error": error, "accuracy": 0.8}, entrant=entrant, seed=seed, cost=cost, environment=PLACE, **fields)  # type: ignore[arg-type]
    points = [
        Point(step=step, train_losses=[], validation_losses=[], weights=[], score=error / step, seconds=step / 50) for step in (50, 100)
    ]
    return msgspec.structs.replace(record, curve=points, selected_step=100)


def single(seed: int, **fields: object) -> list[RunRecord]:
    values = {"error": 1.0 + seed / 50}, {"accuracy": 0.8}
    of_task = [{"trained": [t], "hyperparameters": {"task": t}, "method": "single_task"} for t in (0, 1)]
    return [make(values[t], entrant="single_task", seed=seed, environment=PLACE, **(of_task[t] | fields)) for t in (0, 1)]  # type: ignore[arg-type]


def study(*entrants: str, seeds: int = 4, problems: tuple[str, ...] = ("digits", "wine"), **fields: object) -> list[RunRecord]:
    """Each entrant worse than the one before."""
    records = []
    for problem in problems:
        for seed in range(seeds):
            records += single(seed, problem=problem, **fields)
            records += [
                trial(e, 0.7 + 0.3 * i + (seed * (i + 1) % 3) / 50, seed, problem=problem, **fields) for i, e in enumerate(entrants)
            ]
    return records


def kept(folder: Path, records: Iterable[RunRecord]) -> Path:
    store = Store(folder / "results")
    for record in records:
        store.save(record)
    return folder / "results"


def shown(results: Path, capsys: Capture, *flags: str) -> tuple[str, str]:
    """What a call prints, on stdout and stderr."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        cli.main(["leaderboard", "--results", str(results), *flags])
    said = capsys.readouterr()
    assert exit_.value.code == 0, said.err
    return said.out, said.err


def refused(results: Path, capsys: Capture, *flags: str) -> str:
    """The one line of a call that must not work."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit_:
        cli.main(["leaderboard", "--results", str(results), *flags])
    said = capsys.readouterr()
    assert exit_.value.code == 2
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    return said.err


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two suites: all methods in one, all but ``pcgrad`` in the other."""
    records = study("mgda", "equal", "pcgrad") + study("mgda", "equal", suite="other", problems=("digits",))
    return kept(tmp_path_factory.mktemp("board"), records)


def test_the_terminal_has_every_column(results: Path, capsys: Capture) -> None:
    out, _ = shown(results, capsys, "--suite", "toy")
    for name in (
        "rank",
        "Δm %",
        "[low, high]",
        "Δp %",
        "rank",
        "IQM %",
        "wins vs equal",
        "n",
        "failed",
        "cost",
        "passes",
        "memory",
        "provenance",
    ):
        assert name in out
    assert max(map(len, out.splitlines())) <= 100
    mgda = [line for line in out.splitlines() if line.lstrip().startswith("mgda")]
    assert mgda[0].split()[:3] == ["mgda", "1", "a"]
    assert any("8/8 p=.25" in line for line in mgda)
    assert any("400 MB" in line and "self-reported" in line for line in mgda)
    assert "Provenance: LossBench 0.1.0, torch 2.13.0, cpu" in " ".join(out.split())
    assert "Cost: time of a step over that of equal." in out


def test_by_problem_is_a_ranked_table_a_problem(results: Path, capsys: Capture) -> None:
    out, _ = shown(results, capsys, "--by", "problem", "--suite", "toy")
    assert out.index("toy/digits") < out.index("toy/wine")
    assert out.count("Lower Δm is better") == 1
    lines = list(csv.DictReader(io.StringIO(shown(results, capsys, "--by", "problem", "--format", "csv")[0])))
    ranked = [(line["suite"], line["problem"], line["entrant"], line["rank"]) for line in lines if line["rank"]]
    assert ranked[:3] == [("other", "digits", "mgda", "1"), ("other", "digits", "equal", "2"), ("toy", "digits", "mgda", "1")]
    alone = json.loads(shown(results, capsys, "--by", "problem", "--suite", "toy", "--format", "json")[0])
    whole = json.loads(shown(results, capsys, "--suite", "toy", "--format", "json")[0])
    cells = {row["entrant"]: row["cells"]["wine"]["delta_m"]["value"] for row in whole["rows"]}
    assert {row["entrant"]: row["delta_m"]["value"] for row in alone[1]["rows"]} == pytest.approx(cells)


def test_by_suite_has_a_column_a_suite_and_marks_who_is_not_in_all(results: Path, capsys: Capture) -> None:
    out, _ = shown(results, capsys, "--by", "suite")
    header = next(line.split() for line in out.splitlines() if line.split()[:2] == ["method", "rank"])
    assert header == ["method", "rank", "all", "other", "toy"]
    pcgrad = next(line.split() for line in out.splitlines() if line.split()[:1] == ["pcgrad"])
    assert pcgrad[1] == "3"  # below all complete rows
    assert pcgrad[2].startswith("(")
    assert pcgrad[3] == "n/a"
    assert "other/digits: pcgrad was not run with seeds 0-3" in out


def test_by_task_has_the_means_of_every_metric(results: Path, capsys: Capture) -> None:
    out, _ = shown(results, capsys, "--by", "task", "--suite", "other")
    assert "error ↓" in out
    assert "accuracy ↑" in out


def test_by_race_is_against_equal_weights_or_whoever_is_the_baseline(results: Path, capsys: Capture, tmp_path: Path) -> None:
    out, _ = shown(results, capsys, "--by", "race", "--suite", "toy")
    assert "digits: validation score at the same step" in out
    assert "final score of equal" in out
    assert "final score of mgda" in shown(results, capsys, "--by", "race", "--suite", "toy", "--baseline", "mgda")[0]
    lines = list(csv.DictReader(io.StringIO(shown(results, capsys, "--by", "race", "--suite", "toy", "--format", "csv")[0])))
    assert {line["entrant"] for line in lines} == {"mgda", "equal", "pcgrad"}
    numbers = json.loads(shown(results, capsys, "--by", "race", "--suite", "toy", "--format", "json")[0])
    assert [(line["entrant"], line["measure"], line["at"]) for line in numbers] == [
        (line["entrant"], line["measure"], line["at"]) for line in lines
    ]
    assert [line["runs"] for line in numbers] == [int(line["runs"]) for line in lines]
    alone = kept(tmp_path, study("mgda", "pcgrad", seeds=2))
    assert "no runs of equal weights to race against: name another entrant with --baseline" in refused(alone, capsys, "--by", "race")


def test_several_suites_are_one_document_in_every_format(results: Path, capsys: Capture) -> None:
    tables = json.loads(shown(results, capsys, "--format", "json")[0])
    assert [table["suites"] for table in tables] == [["other"], ["toy"]]
    lines = list(csv.DictReader(io.StringIO(shown(results, capsys, "--format", "csv")[0])))
    assert {(line["suite"], line["entrant"]) for line in lines} >= {("other", "mgda"), ("toy", "pcgrad")}
    assert all(line["delta_m wine"] == "" for line in lines if line["suite"] == "other")
    assert not any("suite" in line.values() for line in lines)  # one header
    out, _ = shown(results, capsys)
    assert out.count("Lower Δm is better") == 1


def test_sorting_by_any_column_keeps_what_is_measured_against_on_top(results: Path, capsys: Capture) -> None:
    def order(*flags: str) -> list[str]:
        found = json.loads(shown(results, capsys, "--suite", "toy", "--format", "json", *flags)[0])
        return [row["entrant"] for row in found["rows"]]

    assert order() == ["single_task", "mgda", "equal", "pcgrad"]
    assert order("--sort", "method") == ["single_task", "equal", "mgda", "pcgrad"]
    for column in ("rank", "dm", "dp", "mr", "iqm", "cost"):
        assert order("--sort", column) == ["single_task", "mgda", "equal", "pcgrad"]
    assert order("--sort", "wins") == ["single_task", "mgda", "pcgrad", "equal"]  # it has none over itself
    assert "did you mean 'cost'" in refused(results, capsys, "--sort", "cots")


def test_another_baseline_is_said_and_a_wrong_one_refused(results: Path, capsys: Capture) -> None:
    out, _ = shown(results, capsys, "--suite", "toy", "--baseline", "equal")
    words = " ".join(out.split())
    assert "Δm, Δp and IQM compare with equal, and not with single-task training" in words
    assert "negative = better than equal" in words
    assert next(line.split() for line in out.splitlines() if line.split()[:1] == ["equal"])[:3] == ["equal", "-", "reference"]
    assert "did you mean 'equal'" in refused(results, capsys, "--baseline", "eqaul")


def test_where_another_baseline_was_not_run_nothing_is_measured_against_it(results: Path, capsys: Capture, tmp_path: Path) -> None:
    out, err = shown(results, capsys, "--by", "suite", "--baseline", "pcgrad")
    assert next(line.split() for line in out.splitlines() if line.split()[:2] == ["method", "rank"]) == ["method", "rank", "all", "toy"]
    assert err == "warning: other is left out, as pcgrad was not run on it\n"
    assert "has no evaluation records in suite other" in refused(results, capsys, "--baseline", "pcgrad")
    folder = kept(tmp_path, study("mgda", "equal", seeds=2, problems=("digits",)) + study("mgda", seeds=2, problems=("wine",)))
    out, err = shown(folder, capsys, "--by", "problem", "--baseline", "equal")
    assert "toy/digits" in out
    assert "toy/wine" not in out
    assert err == "warning: wine is left out, as equal was not run on it\n"


def tuned() -> list[RunRecord]:
    """A study whose search chose the third configuration of ``mgda``, and the defaults of the others."""
    found = study("mgda", "equal", seeds=2, problems=("digits",))
    for entrant, best in (("mgda", 2), ("equal", 0), ("single_task", 0)):
        for number in range(4):
            values = {"error": 0.5 if number == best else 2.0 + number, "accuracy": 0.8}
            hyper = {"task": 0} if entrant == "single_task" else {}
            rate = 1e-3 * (1 + number)
            for task in (0, 1) if entrant == "single_task" else (None,):
                fields = {"trained": [task], "hyperparameters": hyper | {"task": task}} if task is not None else {"hyperparameters": hyper}
                record = make(role="tune", entrant=entrant, seed=1_000_000, trial=number, learning_rate=rate, **fields)  # type: ignore[arg-type]
                mine = {key: values[key] for key in (("error", "accuracy") if task is None else (("error", "accuracy")[task],))}
                found.append(msgspec.structs.replace(record, validation=mine))
    return found + [trial("mgda", 0.1, seed, trial=2, learning_rate=3e-3) for seed in range(2)]


def test_tuned_shows_what_the_search_chose_and_default_trial_0_alone(tmp_path: Path, capsys: Capture, results: Path) -> None:
    folder = kept(tmp_path, tuned())

    def error(*flags: str) -> float:
        rows = json.loads(shown(folder, capsys, "--format", "json", *flags)[0])["rows"]
        return float(next(row for row in rows if row["entrant"] == "mgda")["cells"]["digits"]["metrics"]["error"]["value"])

    assert error() == pytest.approx(0.1)
    assert error("--tuned") == pytest.approx(0.1)
    assert error("--default") == pytest.approx(0.71)
    assert "--budget does not go with this: --default shows" in refused(folder, capsys, "--default", "--budget", "4")
    assert "--tuned, but nothing was tuned of toy (tune: python -m benchmark sweep --suite toy)" in refused(
        results, capsys, "--tuned", "--suite", "toy"
    )


def test_a_search_that_nobody_made_is_not_shown_as_if_it_had_been(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, tuned() + study("mgda", "equal", suite="other"))
    said = refused(folder, capsys, "--search", "grid", "--study-seed", "3")
    assert "no grid search with study seed 3 was made of other, toy" in said
    assert "no search with study seed 0 was made of other" in refused(folder, capsys, "--suite", "other", "--study-seed", "0")
    out = " ".join(shown(folder, capsys, "--study-seed", "0")[0].split())
    assert "no search with study seed 0 was made of other: these are the published defaults" in out
    assert "was made of toy" not in out
    assert "--selection-rule does not go with this" in refused(folder, capsys, "--default", "--selection-rule", "normalised_loss")


def test_a_legend_that_is_not_true_of_all_suites_says_of_which_it_is(tmp_path: Path, capsys: Capture) -> None:
    other = [msgspec.structs.replace(record, environment=PLACE | {"device": "cuda"}) for record in study("mgda", "equal", suite="other")]
    folder = kept(tmp_path, study("mgda", "equal") + other)
    for flags in ((), ("--format", "md", "--out", "-")):
        out = " ".join(shown(folder, capsys, *flags)[0].split())
        assert "suite toy: Provenance: LossBench 0.1.0, torch 2.13.0, cpu;" in out
        assert "suite other: Provenance: LossBench 0.1.0, torch 2.13.0, cuda;" in out
        assert out.count("Lower Δm is better") == 1
        assert "suite toy: Lower" not in out


def test_a_page_says_how_it_is_made_in_words_that_a_shell_takes(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda(alpha=0.5)", "equal"))
    out, _ = shown(folder, capsys, "--baseline", "mgda(alpha=0.5)", "--format", "md", "--out", "-")
    assert "leaderboard --baseline 'mgda(alpha=0.5)' --format md -->" in out.splitlines()[0]


def test_names_in_an_error_move_no_cursor(tmp_path: Path, capsys: Capture) -> None:
    said = refused(kept(tmp_path, study("red(name=\x1b[31m\u202e)", "equal")), capsys, "--baseline", "nobody")
    assert "red(name=\\x1b[31m\\u202e)" in said
    assert said.rstrip("\n").isprintable()


def test_markdown_writes_the_readme_beside_the_records_and_says_so(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda", "equal") + study("mgda", "equal", suite="other"))
    out, err = shown(folder, capsys, "--format", "md")
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert page == out
    assert page.splitlines()[0] == "<!-- Generated by: python -m benchmark leaderboard --format md -->"
    assert f"wrote {folder / 'README.md'}" in err
    for part in (
        "## Suite other",
        "## Suite toy",
        "**Δm % by problem**",
        "**Behind these numbers**",
        "## How to read this",
        "| mgda | 1 a |",
    ):
        assert part in page
    assert "python -m benchmark run --suite toy.toml --methods mgda --seeds 4" in page
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "records"]  # no temporary file is left
    shown(folder, capsys, "--format", "md", "--suite", "toy")  # its own page may be written over
    assert "## Suite other" not in (folder / "README.md").read_text(encoding="utf-8")
    assert "leaderboard --suite toy --format md -->" in (folder / "README.md").read_text(encoding="utf-8").splitlines()[0]


def test_a_readme_of_somebody_else_is_left_alone(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda", "equal", seeds=2))
    (folder / "README.md").write_text("# Mine\n", encoding="utf-8")
    assert "was not written by this command" in refused(folder, capsys, "--format", "md")
    assert (folder / "README.md").read_text(encoding="utf-8") == "# Mine\n"
    out, err = shown(folder, capsys, "--format", "md", "--out", "-")
    assert out.startswith("<!-- Generated by")
    assert err == ""
    other = tmp_path / "board.md"
    assert shown(folder, capsys, "--format", "md", "--out", str(other))[0] == other.read_text(encoding="utf-8")
    assert "cannot be written" in refused_after(folder, capsys, "--format", "md", "--out", str(tmp_path / "no" / "such.md"))


def refused_after(results: Path, capsys: Capture, *flags: str) -> str:
    """The last line of a call that fails where its text is already printed."""
    with pytest.raises(SystemExit) as exit_:
        cli.main(["leaderboard", "--results", str(results), *flags])
    assert exit_.value.code == 2
    return capsys.readouterr().err


def test_any_format_can_be_written_to_a_file(results: Path, capsys: Capture, tmp_path: Path) -> None:
    for output in ("table", "csv", "json"):
        path = tmp_path / f"board.{output}"
        out, _ = shown(results, capsys, "--format", output, "--out", str(path))
        assert path.read_text(encoding="utf-8") == out
    assert not (results / "README.md").exists()


def test_several_protocols_are_refused_and_one_can_be_chosen(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda", "equal", seeds=2) + study("mgda", "equal", seeds=1, protocol=2))
    line = refused(folder, capsys)
    assert "16 of protocol 1 (suite toy) and 8 of protocol 2 (suite toy)" in line
    assert "--protocol 2" in line
    assert json.loads(shown(folder, capsys, "--protocol", "2", "--format", "json")[0])["records"] == 8
    assert "--protocol 3: no records of it (there are: 1, 2)" in refused(folder, capsys, "--protocol", "3")


def test_tuning_under_another_protocol_is_not_what_a_table_compares(tmp_path: Path, capsys: Capture) -> None:
    tuning = make(role="tune", entrant="mgda", seed=1_000_000, trial=3, protocol=2, environment=PLACE)
    folder = kept(tmp_path, [*study("mgda", "equal", seeds=2), tuning])
    assert json.loads(shown(folder, capsys, "--default", "--format", "json")[0])["records"] == 16


def test_one_method_only_and_one_seed_are_each_said_in_a_line(tmp_path: Path, capsys: Capture) -> None:
    out, _ = shown(kept(tmp_path, study("mgda", seeds=1)), capsys, "--format", "json")
    notes = json.loads(out)["notes"]
    assert sum(note.startswith("one method only, mgda") for note in notes) == 1
    assert sum(note.startswith("one seed on digits, wine: no interval, letter or p") for note in notes) == 1


def test_a_copied_record_counts_once_and_is_named(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda", "equal", seeds=2))
    victim = sorted(folder.rglob("*.json"))[0]
    (victim.parent / "copy.json").write_bytes(victim.read_bytes())
    out, err = shown(folder, capsys, "--format", "json")
    assert json.loads(out)["records"] == 16
    assert len(err.splitlines()) == 1
    assert "copy.json: misplaced" in err


def test_a_record_from_a_newer_schema_is_named_with_the_remedy(tmp_path: Path, capsys: Capture) -> None:
    folder = kept(tmp_path, study("mgda", "equal", seeds=2))
    victim = sorted(folder.rglob("*.json"))[0]
    victim.write_text(victim.read_text(encoding="utf-8").replace('"schema": 1', '"schema": 99'), encoding="utf-8")
    _, err = shown(folder, capsys)
    assert len(err.splitlines()) == 1
    assert "schema 99, but this LossBench reads schema 1: update LossBench" in err
    for path in folder.rglob("*.json"):
        path.write_text('{"schema": 99}', encoding="utf-8")
    line = refused(folder, capsys)
    assert "no records, but 16 files that cannot be read as such: schema 99" in line


def test_a_verdict_is_read_and_a_broken_one_named(tmp_path: Path, capsys: Capture) -> None:
    records = study("mgda", "equal", seeds=2)
    folder = kept(tmp_path, records)
    for record in (record for record in records if record.spec.entrant == "mgda"):
        provenance.write(folder, record, "verified", provenance.Why(by="another machine", how="run again: identical"))
    (folder / "verdicts" / "x.json").write_text("{", encoding="utf-8")
    out, err = shown(folder, capsys, "--format", "csv")
    status = {line["entrant"]: line["status"] for line in csv.DictReader(io.StringIO(out))}
    assert status == {"single_task": "self-reported", "mgda": "verified", "equal": "self-reported"}
    assert len(err.splitlines()) == 1
    assert "verdicts/x.json: not a verdict" in err


@pytest.mark.parametrize("by", ["method", "problem", "suite", "task", "race"])
def test_no_leaderboard_needs_torch(by: str, results: Path) -> None:
    flags = ["leaderboard", "--by", by, "--format", "md", "--out", "-", "--results", str(results)]
    block = "sys.modules.update(dict.fromkeys(('torch', 'ray', 'wandb', 'sklearn', 'matplotlib')))"
    program = f"import sys\n{block}\nfrom benchmark.cli import main\nmain({flags!r})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "mgda" in ran.stdout
