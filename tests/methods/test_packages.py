"""Methods of installed packages: found without running any of them, and a broken one is a line of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import methods
from methods import registry
from methods.foreign import text
from tests.inputs import gaussian
from tests.linear import direction

METHOD = """
import methods

@methods.register(methods.Card(name="{name}", version=1, title="T", paper="-", year=2026, family="loss", equation="the sum"))
class Found(methods.LossMethod):
    def objective(self, losses):
        return losses.sum()
"""
DEEP = 5_000
"""Operators inside operators: more than Python's parser and its recursion follow."""

Site = Callable[..., Path]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Makes a package ``NAME`` whose entry point of the same name is a module, with these files."""
    monkeypatch.syspath_prepend(str(tmp_path))
    defined, modules = dict(registry._defined), set(sys.modules)

    def make(name: str, module: str, **files: str) -> Path:
        for path, content in files.items():
            file = tmp_path / f"{path.replace('__in__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[lossbench.methods]\n{name} = {module}\n")
        registry._others.cache_clear()
        return tmp_path

    yield make
    registry._others.cache_clear()
    registry._defined.clear()
    registry._defined.update(defined)
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (METHOD.format(name="deep") + "-" * DEEP + "1\n", "nested too deeply"),
        (METHOD.format(name="deep") + "(" * DEEP + ")" * DEEP + "\n", "nested too deeply|not Python: too many nested"),
        (METHOD.format(name="deep").replace("version=1", f"version={'-' * 900}1"), "cannot be read"),
        (METHOD.format(name="deep").replace("version=1", f"version={'1+' * DEEP}1"), "nested too deeply|cannot be read"),
        ("class Broken(:\n", "is not Python"),
        ("x = '\0'\n", "is not Python"),
        ("x = 1\n", "registers no method"),
    ],
)
def test_whatever_reading_a_file_raises_is_one_line_about_its_entry_point(site: Site, content: str, said: str) -> None:
    site("aa_fine", "aa_fine_module", aa_fine_module=METHOD.format(name="fine"))
    site("bb_broken", "bb_broken_module", bb_broken_module=content)
    assert "fine" in methods.names()
    (left,) = registry.left_out()
    assert left.entry == "bb_broken"
    assert left.why.startswith("package bb_broken 1.0: entry point 'bb_broken' of lossbench.methods is left out: ")
    assert "\n" not in left.why
    with pytest.raises(methods.MethodError, match=said):
        methods.get("bb_broken")  # which says why there is none
    with pytest.raises(methods.MethodError, match="1 entry points of other packages are left out: python -m benchmark doctor"):
        methods.get("bb_brokne")


@pytest.mark.parametrize("value", ["", ":thing", "1x.y", "not_there_at_all.x", "sys", "a b", "x" * 3000, "zlib"])
def test_an_entry_point_that_names_no_file_is_left_out(site: Site, value: str) -> None:
    site("cc_strange", value)
    assert [left.entry for left in registry.left_out()] == ["cc_strange"]
    assert "pcgrad" in methods.names()


def test_no_package_is_run_to_find_a_module_that_is_in_it(site: Site) -> None:
    ran = "raise SystemExit('run')\n"
    files = {"dd_outer__in____init__": ran, "dd_outer__in__inner__in____init__": ran, "dd_outer__in__inner__in__module": METHOD}
    site("dd_deep", "dd_outer.inner.module", **{path: content.format(name="dd_method") for path, content in files.items()})
    assert registry.left_out() == ()
    assert methods.card("dd_method").title == "T"
    assert not any(name.startswith("dd_outer") for name in sys.modules)
    with pytest.raises(SystemExit, match="run"):
        methods.get("dd_method")


@pytest.mark.parametrize("outer", ["", "__in__space", "__in__space__in__more"])
def test_folders_without_init_are_packages_too(site: Site, outer: str) -> None:
    path = f"ee_space{outer}__in__module"
    site("ee_spaced", path.replace("__in__", "."), **{path: METHOD.format(name="ee_method")})
    assert registry.left_out() == ()
    assert not any(name.startswith("ee_space") for name in sys.modules)
    assert direction("ee_method", gaussian(2, 3)).tolist() == pytest.approx(gaussian(2, 3).sum(0).tolist())


def test_two_folders_of_one_name_are_both_looked_into(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for half in ("one", "two"):
        (tmp_path / half / "ff_space" / "inner").mkdir(parents=True)
        (tmp_path / half / "ff_space" / "inner" / f"{half}.py").write_text("")
        monkeypatch.syspath_prepend(str(tmp_path / half))
    assert [text.file_of(f"ff_space.inner.{half}") for half in ("one", "two", "three")] == [
        tmp_path / "one/ff_space/inner/one.py", tmp_path / "two/ff_space/inner/two.py", None,
    ]  # fmt: skip


def test_a_module_that_registers_its_method_and_then_raises_is_no_method_the_second_time_either(site: Site) -> None:
    site("gg_late", "gg_late_module", gg_late_module=METHOD.format(name="gg_late") + "raise RuntimeError('late')\n")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="late"):
            methods.get("gg_late")


def test_a_file_that_registers_its_method_and_then_raises_is_no_method_the_second_time_either(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "hh_late.py"
    path.write_text(METHOD.format(name="hh_late") + "raise RuntimeError('late')\n")
    try:
        assert methods.load(path) == ["hh_late"]
        for _ in range(2):
            with pytest.raises(RuntimeError, match="late"):
                methods.get("hh_late")
    finally:
        registry._loaded.pop("hh_late", None)
