from __future__ import annotations

import pytest

from benchmark import plan, rerun
from benchmark.records import RunRecord
from benchmark.selection import Search
from tests.made import make


def of(
    entrants: tuple[str, ...], problems: tuple[str, ...] = ("gradnorm_toy", "wine"), suite: str = "smoke", seeds: int = 2
) -> list[RunRecord]:
    return [make(entrant=e, problem=p, suite=suite, seed=s) for e in entrants for p in problems for s in range(seeds)]


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (of(("equal", "mgda")), "run --suite smoke --methods mgda --seeds 2"),
        (of(("equal", "rlw")), "run --suite smoke --methods equal,rlw --seeds 2"),
        (of(("mgda",), ("wine",)), "run --suite smoke --problem wine --methods mgda --seeds 2"),
        (of(("mgda",), ("wine",), suite="mine"), "run --suite mine.toml --methods mgda --seeds 2"),
        (of(("mgda",), ("wine", "not_of_it"), suite="smoke"), "run --suite smoke.toml --methods mgda --seeds 2"),
        (of(("mgda",), ("gradnorm_toy",), seeds=3) + of(("mgda",), ("wine",)), "run --suite smoke --methods mgda"),
        (of(tuple(plan.choose_methods("all")[0])), "run --suite smoke --methods all --seeds 2"),
        ([], ""),
        ([make(role="tune", entrant="mgda")], ""),
    ],
)
def test_the_command_is_what_the_records_say(records: list[RunRecord], expected: str) -> None:
    assert rerun.command(records, Search()) == (f"python -m benchmark {expected}" if expected else "")


def test_pinned_values_make_the_grid_that_gives_the_same_entrants() -> None:
    rows = {"gradnorm": 1.5, "gradnorm(alpha=0.12)": 0.12}
    records = [
        make(entrant=e, method="gradnorm", hyperparameters={"alpha": a}, suite="smoke", problem=p)
        for e, a in rows.items()
        for p in ("gradnorm_toy", "wine")
    ]
    command = rerun.command(records, Search())
    assert command == "python -m benchmark run --suite smoke --methods gradnorm --set gradnorm.alpha=0.12,1.5 --seeds 1"
    setting = command.split("--set ")[1].split()[0]
    assert {entrant.label for entrant in plan.choose_entrants(["gradnorm"], [setting])} == set(rows)


def test_a_search_is_a_sweep() -> None:
    search = Search(budget=8, kind="grid", seed=3)
    assert rerun.command(of(("mgda",)), search).endswith(
        "sweep --suite smoke --methods mgda --seeds 2 --budget 8 --search grid --study-seed 3"
    )


@pytest.mark.parametrize("name", ["a;rm -rf .", "$(x)", "`x`", "a b", "x\ny", "a|b", "ä", "'"])
def test_a_name_that_is_not_fit_for_a_shell_gives_no_command(name: str) -> None:
    assert rerun.command(of((name,)), Search()) == ""
