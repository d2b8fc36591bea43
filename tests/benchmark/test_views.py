from __future__ import annotations

import csv
import io
import json
import math
import re
from typing import Any

import pytest
from test_table import run, single

from benchmark.records import Cost, MetricInfo, RunRecord
from benchmark.store import Damaged
from benchmark.table import Duel, Table, build
from benchmark.views import SORTABLE, By, Format, arranged, document, markdown, printable, render, sections
from benchmark.views.columns import COLUMNS
from benchmark.views.text import duel, probability, size
from tests.made import make

FORMATS: tuple[Format, ...] = ("table", "md", "csv", "json")
HOSTILE = (
    "[red]x[/red]",
    "[/]",
    "<script>alert(1)</script>",
    "a|b",
    "=cmd()",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1+1",
    "\x1b[2Jgone",
    "two\nlines",
    "![i](http://x.y)",
    "`code`",
    "*bold*",
    "_it_",
    "&lt;",
    "\u202eright",
    '"quoted", comma',
    "[link](https://evil.example)",
)


def table() -> Table:
    records: list[RunRecord] = []
    for problem in ("digits", "wine"):
        for seed in range(3):
            where: dict[str, Any] = {"problem": problem, "seed": seed}
            records += single(error=1.0 + seed / 20, **where)
            records += [run("good", 0.9 + seed / 20, 0.8, **where), run("equal", 1.5 + seed / 20, 0.7, **where)]
            records += [run("broken", 0.5, 0.9, **where) if seed else make(entrant="broken", status="oom", **where)]
    return build(records, damaged=[Damaged("records/x.json", "not a record: <b>")])


def hostile() -> Table:
    """Every text that a record may carry, hostile: entrant, problem, metric, task, status message, damaged path."""
    records: list[RunRecord] = []
    for index, text in enumerate(HOSTILE):
        metrics = {text: MetricInfo(higher_is_better=False, task=text), "other": MetricInfo(higher_is_better=False, task="other")}
        for seed in range(2):
            fields: dict[str, Any] = {"metrics": metrics, "tasks": (text, "other"), "problem": text, "suite": "[bold]s|<i>", "seed": seed}
            records += [make({text: 1.0}, entrant="single", trained=[0], hyperparameters={"t": 0}, **fields)]
            records += [make({"other": 1.0}, entrant="single", trained=[1], hyperparameters={"t": 1}, **fields)]
            records += [make({text: 1.0 + index, "other": 1.0}, entrant=name, **fields) for name in HOSTILE]
    return build(records, damaged=[Damaged(text, text) for text in HOSTILE], draws=10)


@pytest.mark.parametrize("by", ["method", "task"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_shows_every_row(format: Format, by: By) -> None:
    text = render(table(), format, by=by)
    assert text.endswith("\n")
    for entrant in ("single", "good", "equal", "broken"):
        assert entrant in text


@pytest.mark.parametrize("width", [60, 80, 100, 160])
@pytest.mark.parametrize("by", ["method", "task"])
def test_the_terminal_table_fits_and_cuts_nothing_off(width: int, by: By) -> None:
    long = "gradnorm(" + ", ".join(f"name_{i}=0.123" for i in range(5)) + ")"
    full = build([*single(), *(run(name, 1.0, 0.8) for name in (long, "x"))])
    lines = render(full, by=by, width=width).splitlines()
    assert max(map(len, lines)) <= width
    first = "".join(line[: 1 + min(28, width // 2)].strip() for line in lines)
    assert long.replace(" ", "") in first.replace(" ", "")


def test_what_the_terminal_says() -> None:
    text = render(table())
    assert re.search(r"single +- +reference", text)
    assert re.search(r"good +1 a +-[\d.]+ \[", text)
    assert re.search(r"broken +3 +\(-[\d.]+\)", text)
    assert re.search(r"broken .*4/6 +2 oom", text)
    assert "26 records" not in text
    assert "30 records, 2 problems, 3 seeds, 1 damaged record." in text
    assert "Lower Δm is better; negative = better than single-task training" in text
    assert "95 % interval" in text
    assert "\x1b" not in text
    assert "\x1b[" in render(table(), colour=True)


def test_rows_like_the_best_have_its_letter() -> None:
    rows = [record for seed in range(3) for record in [*single(seed=seed), run("x", 0.9, 0.8, seed=seed), run("y", 0.9, 0.8, seed=seed)]]
    text = render(build([*rows, *(run("z", 5.0, 0.8, seed=seed) for seed in range(3))]))
    assert re.search(r"x +1 a ", text)
    assert re.search(r"y +1 a ", text)
    assert re.search(r"z +3 b ", text)
    assert "Letter after the rank: a cannot be told apart from the best row" in " ".join(text.split())
    assert re.search(r"y +2 \? ", render(build([*single(), run("x", 0.9, 0.8), run("y", 1.0, 0.8)])))


@pytest.mark.parametrize("by", ["method", "task"])
def test_hostile_text_is_inert_in_the_terminal(by: By) -> None:
    text = render(hostile(), by=by, width=200)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[red]x[/red]" in text  # shown as it is, not as a style
    assert "\\x1b[2Jgone" in text


@pytest.mark.parametrize("by", ["method", "task"])
def test_hostile_text_is_inert_in_markdown(by: By) -> None:
    text = render(hostile(), "md", by=by)
    assert "<" not in text
    assert ">" not in text
    assert not re.search(r"(?<!\\)[\]\[`*]", text.replace("**", ""))  # every bracket, star and backtick is escaped
    assert "://" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
    assert "&lt;" not in text.replace("&#38;lt;", "")


@pytest.mark.parametrize("by", ["method", "task"])
def test_hostile_text_is_inert_in_a_spreadsheet(by: By) -> None:
    rows = list(csv.reader(io.StringIO(render(hostile(), "csv", by=by))))
    assert len({len(row) for row in rows}) == 1
    assert len(rows) > len(HOSTILE)
    for cell in (cell for row in rows for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))):
        float(cell)  # a number, or else a formula
    assert not any(character in cell for row in rows for cell in row for character in "\n\t\x1b")


def test_hostile_text_is_inert_in_json_inside_a_page() -> None:
    text = render(hostile(), "json")
    assert not set("<>&") & set(text)
    names = {row["entrant"] for row in json.loads(text)["rows"]}
    assert names == {"single", *HOSTILE}


def test_json_carries_everything() -> None:
    data = json.loads(render(table(), "json"))
    broken = data["rows"][-1]
    assert broken["entrant"] == "broken"
    assert broken["failures"] == {"oom": 2}
    assert broken["delta_m"]["low"] is None
    assert broken["cells"]["digits"]["seeds"] == 2
    assert data["damaged"] == [{"path": "records/x.json", "reason": "not a record: <b>"}]


def test_csv_numbers_are_those_of_the_table() -> None:
    lines = list(csv.DictReader(io.StringIO(render(table(), "csv"))))
    for line, row in zip(lines, table().rows, strict=True):
        assert line["entrant"] == row.entrant
        assert line["rank"] == ("" if row.rank is None else str(row.rank))
        assert float(line["delta_m"]) == row.delta_m.value
        assert line["delta_m_low"] == ("" if math.isnan(row.delta_m.low) else str(row.delta_m.low))
    tasks = list(csv.DictReader(io.StringIO(render(table(), "csv", by="task"))))
    assert len(tasks) == 2 * 2 * 4
    assert {line["higher_is_better"] for line in tasks if line["metric"] == "accuracy"} == {"true"}


@pytest.mark.parametrize("format", FORMATS)
def test_an_empty_table_can_be_shown(format: Format) -> None:
    render(build([]), format)
    render(build([]), format, by="task")


def test_numbers_that_are_not_there_read_as_such() -> None:
    text = render(build([run("x", 1.0, 0.8)]))
    assert re.search(r"x +1 +n/a", text)
    assert not re.search(r"\bnan\b", text)
    assert not re.search(r"\bnan\b", render(build([run("x", 1.0, 0.8)]), "csv"))


def test_unknown_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of table, md, csv, json"):
        render(build([]), "html")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected one of method, task"):
        render(build([]), by="seed")  # type: ignore[arg-type]


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_every_column_is_somewhere_at_every_width(width: int) -> None:
    text = render(table(), width=width)
    assert max(map(len, text.splitlines())) <= width
    for column in COLUMNS:
        name = column.header(table())
        assert name.split()[-1] in text or column.optional, name
    assert "IQM [low, high]" in text or width == 80  # where it would take a block of its own


def test_columns_are_sorted_best_first_with_failures_last_and_the_baseline_on_top() -> None:
    assert [row.entrant for row in arranged(table(), "dm").rows] == ["single", "good", "equal", "broken"]
    assert [row.entrant for row in arranged(table(), "method").rows] == ["single", "equal", "good", "broken"]
    assert all(arranged(table(), name).rows[-1].entrant == "broken" for name in SORTABLE)  # whose Δm is the best of all


def test_every_number_of_a_row_that_lacks_runs_is_in_parentheses_or_empty() -> None:
    cost = Cost(train=1.0, method=1.0, evaluation=0.0, steps=10, backward_passes=10, peak_memory=10**6)
    records = [record for seed in range(3) for record in single(seed=seed)]
    records += [run(name, 1.1, 0.8, seed=seed, cost=cost) for name in ("x", "equal") for seed in range(3) if (name, seed) != ("x", 1)]
    built = build(records)
    (x,) = [row for row in built.rows if row.entrant == "x"]
    texts = {column.name or column.header(built): column.text(x, built) for column in COLUMNS}
    assert texts.pop("method") == "x"
    assert (texts.pop("rank"), texts.pop("n"), texts.pop("failed"), texts.pop("provenance")) == ("2", "2/3", "0", "self-reported")
    assert texts.pop("mr") == "2.00"  # an incomplete row ties for the last place
    assert {name: text for name, text in texts.items() if text} == {
        "dm": "(+5.00)",
        "dp": "(-5.00)",
        "cost": "(1.00x)",
        "passes": "(1.0)",
        "memory": "(1 MB)",
    }


def test_where_so_few_seeds_can_show_nothing_that_is_said() -> None:
    assert "; with 3 seeds and 1 row never below 0.25." in render(table(), width=200)
    records = [
        record for seed in range(10) for record in [*single(seed=seed), run("equal", 1.0, 0.8, seed=seed), run("x", 0.9, 0.8, seed=seed)]
    ]
    assert "never below" not in render(build(records), width=200)


def test_wins_and_sizes_read_as_tables_have_them() -> None:
    assert duel(Duel(71, 0, 9, 0.0041)) == "71/80 p=.004"
    assert [probability(p) for p in (0.0001, 0.0499, 0.25, 1.0, math.nan)] == ["p<.001", "p=.050", "p=.25", "p=1", ""]
    assert [size(value) for value in (512.0, 396_292_096.0, 999.6e6, 2.5e9, math.nan)] == ["512 B", "396 MB", "1 GB", "2.5 GB", "n/a"]


def test_rows_of_several_places_say_theirs_and_rows_of_one_do_not() -> None:
    one, two = ({"lossbench": version, "torch": "2.13.0", "device": "cpu"} for version in ("0.1.0", "0.2.0"))
    same = render(build([run("x", 1.0, 0.8, environment=one), run("y", 1.0, 0.8, environment=one)]))
    assert "Provenance: LossBench 0.1.0, torch 2.13.0, cpu; self-reported" in " ".join(same.split())
    assert same.count("0.1.0") == 1
    mixed = render(build([run("x", 1.0, 0.8, environment=one), run("y", 1.0, 0.8, environment=two)]), width=160)
    assert "it differs between rows" in mixed
    assert "0.2.0" in mixed


def test_hostile_text_is_inert_on_a_whole_page() -> None:
    page = document([sections.of_method(hostile())], "--suite --> <script>")
    first, *rest = page.splitlines()
    assert first.startswith("<!-- Generated by: python -m benchmark leaderboard ")
    assert first.index("-->") == len(first) - 3
    assert "<" not in "\n".join(rest)
    assert "://" not in page


def test_escapes() -> None:
    assert printable("a\x1b[0m\nb\u202e") == "a\\x1b[0m\\nb\\u202e"
    assert markdown("gradnorm(alpha=0.12)") == "gradnorm(alpha=0.12)"
    assert markdown("imtl_g") == "imtl_g"
    assert markdown("a|<b>@c") == "a&#124;&#60;b&#62;&#64;c"
    assert markdown("[x](http://y)") == "\\[x\\](http&#58;//y)"
