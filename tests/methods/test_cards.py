"""Cards refuse what makes no sense, each time in a line that names the field, its value and what was expected."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import methods
from methods import registry
from methods.card import Card, Hyperparameter
from methods.fields import EXACT


def card(**fields: Any) -> Card:
    given = {"name": "mine", "version": 1, "title": "", "paper": "", "year": 2026, "family": "loss", "equation": "", **fields}
    return Card(**given)


def hyperparameter(default: Any = 1.0, **fields: Any) -> Hyperparameter:
    return Hyperparameter(**{"name": "a", "default": default, "meaning": "m", **fields})


def refuses(make: Callable[..., object], message: str, **fields: Any) -> None:
    with pytest.raises(methods.MethodError, match=message) as caught:
        make(**fields)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": 5}, "5: name is 5; expected text"),
        ({"name": None}, "None: name is None; expected text"),
        ({"name": "a" * 61}, "method name 'aaa.*: expected up to 60 lower-case letters"),
        ({"version": "1"}, "mine: version is '1'; expected a whole number"),
        ({"version": True}, "mine: version is True; expected a whole number"),
        ({"version": 1.0}, "mine: version is 1.0; expected a whole number"),
        ({"version": -1}, "mine: version is -1; expected 1 or more"),
        ({"year": 10**400}, r"mine: year is 1000.* \.\.\.; expected a whole number up to 2\^53"),
        ({"title": "\ud800"}, r"mine: title is '\\ud800'; expected text that UTF-8 can hold"),
        ({"title": None}, "mine: title is None; expected text"),
        ({"family": "gramain"}, "mine: family is 'gramain'; expected one of loss, gramian, .*; did you mean 'gramian'"),
        ({"family": "foreign"}, "mine: family is 'foreign', of objects to adapt"),
        ({"family": ["loss"]}, r"mine: family is \['loss'\]; expected one of loss"),
        ({"where": 3}, "mine: where is 3; expected one of shared, last, representation"),
        ({"claims": ["simplex"]}, r"mine: claims is \['simplex'\]; expected a tuple, each one of permutation_equivariant"),
        ({"claims": "simplex"}, "mine: claims is 'simplex'; expected a tuple"),
        ({"claims": ("simplex", "simplx")}, r"mine: claims\[1\] is 'simplx'; expected one of .*; did you mean 'simplex'"),
        ({"claims": ({"simplex"},)}, r"mine: claims\[0\] is {'simplex'}; expected one of"),
        ({"needs": ("losses",)}, r"mine: needs\[0\] is 'losses'; expected one of initial_losses, prior_losses"),
        ({"coincides": (1,)}, r"mine: coincides\[0\] is 1; expected text"),
        ({"baseline": 1}, "mine: baseline is 1; expected True or False"),
        ({"hyperparameters": ("a",)}, r"mine: hyperparameters\[0\] is 'a'; expected a Hyperparameter"),
        ({"hyperparameters": (hyperparameter(), hyperparameter(2.0))}, "mine: hyperparameters has 'a' more than once"),
        (
            {"hyperparameters": (Hyperparameter("learning_rate", 1.0, ""),)},
            "'learning_rate', which a study sets for the model; expected another",
        ),
    ],
)
def test_a_card_names_the_field_the_value_and_what_was_expected(fields: dict[str, Any], message: str) -> None:
    refuses(card, message, **fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": 1}, "hyperparameter: name is 1; expected text"),
        ({"name": "learning rate"}, "name is 'learning rate'; expected a word that Python can have"),
        ({"name": "lambda"}, "name is 'lambda'; expected a word that Python can have"),
        ({"default": float("nan")}, "hyperparameter a: default is nan; expected a number"),
        ({"default": float("inf")}, "hyperparameter a: default is inf; expected a finite number"),
        ({"default": 10**400}, r"hyperparameter a: default is 1000.* \.\.\.; expected a number below 1e308"),
        ({"default": 16**5000}, "hyperparameter a: default is a int that is too long to be shown; expected"),
        ({"default": 10**300}, r"hyperparameter a: default is 1000.*; expected a whole number up to 2\^53"),
        ({"default": [1]}, r"hyperparameter a: default is \[1\]; expected a number"),
        ({"default": None}, "hyperparameter a: default is None; expected a number"),
        ({"meaning": 1}, "hyperparameter a: meaning is 1; expected text"),
        ({"low": "0"}, "hyperparameter a: low is '0'; expected a number"),
        ({"low": float("nan")}, "hyperparameter a: low is nan; expected a number"),
        ({"low": 3.0, "high": 1.0}, "hyperparameter a: low is 3 and high is 1; expected low to be at most high"),
        ({"low": 2.0}, r"hyperparameter a: default is 1.0; expected a number in \[2, inf\]"),
        ({"choices": ["x"]}, r"hyperparameter a: choices is \['x'\]; expected a tuple, each text"),
        ({"default": "y", "choices": ("x",)}, "hyperparameter a: default is 'y'; expected one of x"),
        ({"sweep": [0.1, 1.0]}, r"hyperparameter a: sweep is \[0.1, 1.0\]; expected a tuple \(a number"),
        ({"sweep": (0.1, 1.0, 2.0)}, "hyperparameter a: sweep is .*; expected a tuple"),
        ({"sweep": ("x",)}, "hyperparameter a: sweep has a value that is 'x'; expected a finite number"),
        ({"sweep": (0.1, 2.0), "high": 1.0}, r"sweep has a value that is 2.0; expected a number in \[-inf, 1\]"),
        ({"sweep": (2.0, 0.1)}, r"hyperparameter a: sweep is \(2.0, 0.1\); expected \(from, to\) with from below to"),
        ({"sweep": (0.0, 1.0), "log": True}, "hyperparameter a: sweep begins at 0; expected a number above 0"),
        ({"default": "x", "sweep": (0.1, 1.0)}, "sweep has a value that is 0.1; expected a word, like 'x'"),
        ({"weights": True}, "hyperparameter a: default is 1.0; expected a word, as weights=True says"),
    ],
)
def test_a_hyperparameter_names_the_field_the_value_and_what_was_expected(fields: dict[str, Any], message: str) -> None:
    refuses(hyperparameter, message, **fields)


@pytest.mark.parametrize("value", [10**400, 16**5000, float("nan"), [1], None, "one"], ids=lambda value: type(value).__name__)
def test_a_value_that_no_record_can_hold_is_refused(value: Any) -> None:
    for declared in (hyperparameter(), hyperparameter(1)):
        refuses(lambda h=declared: h.check(value, "mine"), "mine.a is .*; expected a finite number")


def test_whole_numbers_end_where_readers_of_records_round_them() -> None:
    assert hyperparameter(1).check(EXACT, "mine") == EXACT
    refuses(lambda: hyperparameter(1).check(EXACT + 1, "mine"), "mine.a is 9007199254740993; expected a whole number up to 2")


@pytest.mark.parametrize(
    ("literal", "message"),
    [
        ("**{'claims': ()}", r"mine.py:5: the card cannot be read: Card\(\*\*...\) is not written out in place"),
        ("claims=CLAIMS", r"the card cannot be read: 'CLAIMS' is not written out; expected a number, text"),
        ("claims=({[]},)", "the card cannot be read: "),
        ("deviations=" + "-" * 900 + "1", "the card cannot be read: |too deeply"),
    ],
)
def test_a_card_that_cannot_be_read_is_an_error_of_one_line(tmp_path: Path, literal: str, message: str) -> None:
    path = tmp_path / "mine.py"
    card = f'methods.Card(name="mine", version=1, title="", paper="", year=2026, family="loss", equation="", {literal})'
    path.write_text(f"import methods\n\n\n\n@methods.register({card})\nclass Mine(methods.LossMethod):\n    pass\n", encoding="utf-8")
    with pytest.raises(methods.MethodError, match=message):
        registry.read(path)


def test_a_file_that_is_nested_too_deeply_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    card = 'methods.Card(name="mine", version=1, title="", paper="", year=2026, family="loss", equation="")'
    deep = "+".join(["1"] * 3000)
    path.write_text(f"import methods\nX = {deep}\n@methods.register({card})\nclass Mine(methods.LossMethod):\n    pass\n", encoding="utf-8")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)  # Python's own, which some packages raise when they are imported
    try:
        with pytest.raises(methods.MethodError, match="nested too deeply to be read as Python: write it flatter"):
            registry.read(path)["mine"].digest()
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", ["partial", "importlib", "registry", "annotations", "names", "families", "solvers", "lambda", "create"])
def test_no_new_method_takes_the_place_of_something_in_the_package(name: str) -> None:
    assert registry.reserved(name)


def test_other_names_are_free() -> None:
    assert not any(map(registry.reserved, ("root_norm", "my_method", "partially", "match")))
