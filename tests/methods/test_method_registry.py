"""How methods are found: built-in files, a user's file, a class of the running session."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from torch import Tensor

import methods
from methods import registry
from methods.card import Family
from tests import linear
from tests.inputs import gaussian

GOOD = """
import methods
from pathlib import Path
Path(__file__).with_suffix(".ran").touch()

@methods.register(methods.Card(
    name="mine", version=2, title="Mine", paper="-", year=2026, family="loss", equation="the sum",
    hyperparameters=(methods.Hyperparameter("gain", -1.0, "of the sum", low=-2.0),), claims=("permutation_equivariant",),
))
class Mine(methods.LossMethod):
    def objective(self, losses):
        return self.gain * losses.sum()
"""


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    defined, loaded, modules = dict(registry._defined), dict(registry._loaded), set(sys.modules)
    yield
    for known, before in ((registry._defined, defined), (registry._loaded, loaded)):
        known.clear()
        known.update(before)
    for name in set(sys.modules) - modules:
        if name.startswith("lossbench_method_"):
            del sys.modules[name]


def write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_is_read_and_run_only_when_its_method_is_created(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    assert methods.load(path) == methods.load(str(path)) == ["mine"]
    assert "mine" in methods.names()
    assert methods.card("mine").version == 2
    assert not path.with_suffix(".ran").exists()
    assert linear.direction("mine", gaussian(2, 3)).tolist() == pytest.approx((-gaussian(2, 3).sum(0)).tolist())
    assert path.with_suffix(".ran").exists()
    assert methods.get("mine").card == methods.card("mine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "registers no method: decorate a class with @methods.register"),
        ("class Broken(:\n", "is not Python"),
        (GOOD.replace('"mine"', '"pcgrad"'), "registers 'pcgrad', but that name belongs to .*pcgrad.py: choose another"),
        (GOOD.replace("version=2", "version=1 + some"), "mine.py:6: the card cannot be read"),
        (GOOD.replace("version=2", "verzion=2"), "mine.py:6: the card cannot be read: .*verzion"),
        (GOOD.replace("version=2", "version=0"), "mine.py:6: the card cannot be read: mine: version is 0"),
        (GOOD.replace('"mine"', '"Mine!"'), "mine.py:6: the card cannot be read: method name 'Mine!'"),
        (GOOD.replace("-1.0,", "-9.0,"), r"mine.py:6: .* hyperparameter gain: default is -9.0; expected a number in \[-2, inf\]"),
        ("import methods\n@methods.register(CARD)\nclass Mine: pass\n", "mine.py:2: the card cannot be read"),
        ("import methods\n@methods.register('mine')\nclass Mine: pass\n", r"register\(...\) needs a Card\(...\) written out in place"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(methods.MethodError, match=message):
        methods.load(write(tmp_path, text))
    assert "mine" not in methods.names()


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match=r"no such method file: .*nowhere.py"):
        methods.load(tmp_path / "nowhere.py")


def test_two_files_with_one_name(tmp_path: Path) -> None:
    methods.load(write(tmp_path, GOOD))
    with pytest.raises(methods.MethodError, match=r"other.py registers 'mine', but that name belongs to .*mine.py"):
        methods.load(write(tmp_path, GOOD, "other.py"))


def define(name: str) -> type[methods.Method]:
    card = methods.Card(name=name, version=1, title="", paper="", year=2026, family="loss", equation="")

    @methods.register(card)
    class Defined(methods.LossMethod):
        def objective(self, losses: Tensor) -> Tensor:
            return losses.max()

    return Defined


def test_a_class_of_the_running_session() -> None:
    defined = define("worst_only")
    assert methods.get("worst_only") is defined
    assert methods.card("worst_only").title == ""
    assert "worst_only" in methods.names()
    again = define("worst_only")  # a notebook cell that is run again
    assert methods.get("worst_only") is again


def test_a_class_of_the_session_cannot_take_the_place_of_a_built_in() -> None:
    with pytest.raises(methods.MethodError, match=r"Defined registers 'pcgrad', but that name belongs to .*pcgrad.py"):
        define("pcgrad")
    assert methods.get("pcgrad").__name__ == "PCGrad"


def test_a_method_file_can_be_imported_before_it_is_asked_for() -> None:
    import methods.pcgrad  # registers itself under its own name: no clash

    assert methods.get("pcgrad") is methods.pcgrad.PCGrad


@pytest.mark.parametrize("name", methods.names())
def test_the_card_read_from_the_file_is_that_of_the_class(name: str) -> None:
    source = registry.find(name)
    assert source is not None
    assert methods.get(name).card == source.card == methods.card(name)
    assert methods.card(name).family in get_args(Family)
    assert source.digest() == source.digest()


@pytest.mark.parametrize("name", methods.names())
def test_every_hyperparameter_is_read(name: str) -> None:
    """Its name is in the method's code; its sweep is legal."""
    card, source = methods.card(name), registry.find(name)
    assert source is not None
    for hyperparameter in card.hyperparameters:
        assert f"self.{hyperparameter.name}" in source.path.read_text() + Path(registry.__file__).with_name("initial.py").read_text()
        for value in hyperparameter.sweep:
            hyperparameter.check(value, name)


def test_cards_name_only_methods_that_exist() -> None:
    for name in methods.names():
        assert set(methods.card(name).coincides) <= set(methods.names())


def test_names_are_in_alphabetical_order() -> None:
    assert methods.names() == sorted(methods.names())
