"""Objects of other code by name: what is read, what is run, and when; and what leads nowhere."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import methods
from methods import registry
from methods.foreign import source, text
from tests import linear
from tests.methods.foreign.loop import train

MINE = """
from pathlib import Path
import torch
Path(__file__).with_suffix(".ran").touch()
__version__ = 4

def geometric(losses, power=1.0):
    return losses.prod() ** (power / len(losses))

def needy(losses, temperature, *, floor):
    return losses.sum()

class Learned(torch.nn.Module):
    def __init__(self, num_tasks, gain=1.0):
        super().__init__()
        self.gain, self.s = gain, torch.nn.Parameter(torch.rand(num_tasks))

    def forward(self, losses):
        return self.gain * (self.s * losses).sum()

class Counting:
    calls = 0

    def __call__(self, losses):
        self.calls += 1
        return losses.sum() * self.calls

counting = Counting()
number = 3
"""


def write(folder: Path, content: str = MINE, name: str = "mine.py") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package on the path that nobody installed; importing any of it leaves a trace."""
    trace = "from pathlib import Path\nPath(__file__).with_suffix('.ran').touch()\n"
    write(tmp_path / "mypackage", trace + "from .losses import geometric as mean\nfrom . import losses\n", "__init__.py")
    write(tmp_path / "mypackage", MINE, "losses.py")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "mypackage"


def test_an_object_of_a_file_is_read_when_it_is_named_and_run_when_it_is_created(tmp_path: Path) -> None:
    path = write(tmp_path)
    assert methods.load(f"{path}:geometric") == ["mine.py:geometric"]
    card = methods.card("mine.py:geometric")
    assert (card.family, card.release, card.claims, card.version) == ("foreign", "4", (), source.VERSION)
    assert not path.with_suffix(".ran").exists()
    assert linear.close(train(methods.create("mine.py:geometric", 3)), train(methods.create("gls", 3)), 1e-10)
    assert path.with_suffix(".ran").exists()


def test_an_object_of_a_module_is_read_without_importing_its_package(package: Path) -> None:
    for name, file in (("mypackage.losses:geometric", "losses.py"), ("mypackage:mean", "losses.py"), ("mypackage:losses", "__init__.py")):
        found = registry.find(name)
        assert found is not None
        assert found.path == package / file
        assert found.origin == name
    assert not list(package.glob("*.ran"))
    assert "mypackage" not in sys.modules
    assert linear.close(train(methods.create("mypackage:mean", 3)), train(methods.create("gls", 3)), 1e-10)


def test_what_is_installed_has_its_version_for_a_release_and_needs_no_loading() -> None:
    found = registry.find("torch.nn.functional:softplus")
    assert found is not None
    assert found.card.release == f"torch {torch.__version__.partition('+')[0]}"
    assert found.origin == ""
    assert found.remedy == f"give the changed {found.card.release} a version of its own"


def test_hyperparameters_are_what_an_object_is_made_with(tmp_path: Path) -> None:
    path = write(tmp_path)
    twice = methods.create(f"{path}:geometric", 3, power=2.0)
    expected = train(methods.adapt(lambda losses: losses.prod() ** (2 / 3), 3))
    assert linear.close(train(twice), expected, 1e-10)
    learned = methods.create(f"{path}:Learned", 3, gain=2.0, parameters_lr=0.0)
    assert learned.parameters_lr == 0.0
    assert learned.object.gain == 2.0
    assert learned.object.s.shape == (3,)  # num_tasks was filled in


def test_what_a_constructor_draws_depends_on_the_seed_alone(tmp_path: Path) -> None:
    path, before = write(tmp_path), torch.get_rng_state()
    made = [methods.create(f"{path}:Learned", 3, seed=seed).object.s for seed in (0, 1, 0)]
    assert torch.equal(made[0], made[2])
    assert not torch.equal(made[0], made[1])
    assert torch.equal(torch.get_rng_state(), before)


def test_an_object_that_its_module_made_is_copied_for_every_run(tmp_path: Path) -> None:
    path = write(tmp_path)
    first, second = (train(methods.create(f"{path}:counting", 3)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("geometrik", {}, "unknown object 'geometrik' in mine.py; did you mean 'geometric'"),
        ("geometric", {"powr": 2.0}, r"mine.py:geometric has no argument 'powr'; did you mean 'power'\? \(it has: power, parameters_lr\)"),
        ("geometric", {"power": float("nan")}, "mine.py:geometric.power is nan; expected a finite number"),
        ("needy", {}, r"mine.py:needy needs temperature, floor: methods.create\('mine.py:needy', 3, temperature=..., floor=...\)"),
        ("counting", {"calls": 3}, "mine.py:counting is an object that is made already; it takes no calls"),
        ("number", {}, "mine.py:number is of type int; expected a torchjd aggregator"),
        ("a b", {}, r"expected MODULE:OBJECT or FILE.py:OBJECT, as in torchjd:UPGrad"),
        ("geometric(power=2)", {}, "what it is made with goes into --set, or methods.create"),
        ("", {}, r"expected MODULE:OBJECT or FILE.py:OBJECT"),
    ],
)
def test_objects_of_a_file_that_cannot_be_used(tmp_path: Path, name: str, options: dict[str, Any], message: str) -> None:
    path = write(tmp_path)
    with pytest.raises(methods.MethodError, match=message) as error:
        methods.create(f"{path}:{name}", 3, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_like_this:f", r"no module 'nothing_like_this' \(install its package, or call from the folder that it is in\)"),
        ("torchJD:UPGrad", "no module 'torchJD'; did you mean 'torchjd'"),
        ("mypackage.loses:geometric", "no module 'mypackage.loses'"),
        ("mypackage.losses:geometrik", "unknown object 'geometrik' in mypackage.losses; did you mean 'geometric'"),
        ("nowhere.py:f", "no such file: .*nowhere.py"),
        ("my package:f", "expected MODULE:OBJECT"),
        ("../mypackage:f", "expected MODULE:OBJECT"),
        (":f", "expected MODULE:OBJECT"),
        ("methods.gls:GLS", "methods.gls:GLS is a method, and needs no adapting"),
    ],
)
def test_names_that_lead_nowhere(package: Path, name: str, message: str) -> None:
    with pytest.raises(methods.MethodError, match=message) as error:
        methods.create(name, 3)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_or_would_be_confused(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match=r"broken.py is not Python"):
        methods.load(f"{write(tmp_path, 'def (', 'broken.py')}:f")
    methods.load(f"{write(tmp_path)}:geometric")
    with pytest.raises(methods.MethodError, match=r"would be known as 'mine.py', but so is .*: choose another file name"):
        methods.load(f"{write(tmp_path / 'other')}:geometric")
    missing = write(tmp_path, "import nothing_like_this\ndef f(losses): ...\n", "missing.py")
    with pytest.raises(methods.MethodError, match=r"missing.py:f cannot be imported: No module named 'nothing_like_this'"):
        methods.create(f"{missing}:f", 3)


def test_an_adapted_object_is_no_class_of_the_registry(tmp_path: Path) -> None:
    path = write(tmp_path)
    with pytest.raises(methods.MethodError, match=r"is no method's class but an object to adapt: methods.create\("):
        methods.get(f"{path}:geometric")
    assert not any(":" in name for name in methods.names())


@pytest.mark.parametrize(
    ("content", "complete"),
    [
        ("x = 1", True),
        ("if True:\n    from os import path as p\nelse:\n    p = 2\ntry:\n    q = 1\nexcept ValueError:\n    q = 2", True),
        ("def f():\n    hidden = 1\n    return globals()", True),
        ("from os import *", False),
        ("globals()['x'] = 1", False),
        ("def __getattr__(name): ...", False),
    ],
)
def test_what_the_text_of_a_module_tells(tmp_path: Path, content: str, complete: bool) -> None:
    path = write(tmp_path, content + "\n_private = 0\n", "some.py")
    if not complete:
        assert text.definition("anything", path) == text.Definition(path, None)
        return
    with pytest.raises(text.Missing) as missing:
        text.definition("hidden", path)
    assert not any(name.startswith("_") for name in missing.value.names)
    for name in missing.value.names:
        assert text.definition(name, path).path.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("def f(losses): ...", ((), (), False)),
        ("def f(losses, a, b=1, *, c, d=2): ...", (("a", "c"), ("a", "b", "c", "d"), False)),
        ("def f(losses, /, a=1, **more): ...", ((), ("a",), True)),
        ("class f:\n    def __init__(self, a, b=1): ...", (("a",), ("a", "b"), False)),
        ("class f:\n    def other(self, a): ...", None),
        ("import functools\n@functools.cache\ndef f(losses, a): ...", None),
        ("import abc\nclass f(metaclass=abc.ABCMeta):\n    def __init__(self, a): ...", None),
        ("f = len", None),
    ],
)
def test_what_the_text_of_an_object_says_that_it_takes(tmp_path: Path, content: str, expected: Any) -> None:
    found = text.definition("f", write(tmp_path, content, "some.py")).arguments
    assert (found and (found.required, found.known, found.open)) == expected
