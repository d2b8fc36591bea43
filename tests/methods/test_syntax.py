"""What a file's digest depends on: its syntax tree as Python 3.11 would write it, and neither layout nor the Python that reads it."""

from __future__ import annotations

import ast
import hashlib
import sys
from pathlib import Path

import pytest

import methods
from methods import syntax

TEXT = '''
"""Words."""
from __future__ import annotations
import a.b as c

@decorated(x=1, *y, **z)
async def f(a, /, b: int = 0, *c, d=None, **e) -> None:
    """More."""
    async with a as b, c: yield {**d, "k": [i async for i in x if i]}
    return f"{a!r:>{b}} {{}}" "tail" if x else None

class A(B, metaclass=C):
    x: int
    y = u"ü\\ud800", 1e400, 0xff, 1j, ..., True, lambda: (yield)
    def g(self):
        match self:
            case {"a": [1, *_], **rest} | A(x=None) if rest: pass
        try: del a[1:, ::2]
        except* (E, F) as e: raise E from None
        while (n := 1): global q; nonlocal_ = not -n @ ~n
        else: assert a < b in c
'''
DIGEST = "5fa7443f623eb13a"


def digest_of(folder: Path, text: str) -> str:
    path = folder / "text.py"
    path.write_text(text, encoding="utf-8")
    return syntax.digest(path)


def test_the_digest_of_a_text_is_the_same_for_ever(tmp_path: Path) -> None:
    assert digest_of(tmp_path, TEXT) == DIGEST
    assert digest_of(tmp_path, TEXT.replace("x: int", "x: int  # a comment\n")) == DIGEST
    assert digest_of(tmp_path, TEXT.replace("0xff", "254")) != DIGEST


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="what ast.dump writes differs between versions of Python")
def test_it_is_that_of_ast_dump_of_python_3_11(tmp_path: Path) -> None:
    for path in [*Path(methods.__file__).parent.glob("*.py"), Path(ast.__file__)]:
        written = ast.dump(ast.parse(path.read_bytes())).encode()
        assert syntax.digest(path) == hashlib.blake2b(written, digest_size=8).hexdigest()


def test_fields_that_later_versions_add_are_written_only_with_a_value() -> None:
    class Later(ast.ClassDef):
        _fields = (*ast.ClassDef._fields, "type_params")

    Later.__name__ = "ClassDef"
    (node,) = ast.parse("class A: pass").body
    later = Later(**dict(ast.iter_fields(node)) | {"type_params": []})
    assert "".join(syntax._written(later)) == "".join(syntax._written(node))
    later.type_params = [ast.Name("T", ast.Load())]  # type: ignore[attr-defined]
    assert "type_params=[Name(id='T', ctx=Load())]" in "".join(syntax._written(later))


def test_empty_pieces_of_a_formatted_string_are_not_written() -> None:
    """Python 3.12.1 has one after the field inside the format."""
    tree = ast.parse("f'{a:{b}}'")
    before = "".join(syntax._written(tree))
    (spec,) = (node.format_spec for node in ast.walk(tree) if isinstance(node, ast.FormattedValue) and node.format_spec)
    assert isinstance(spec, ast.JoinedStr)
    spec.values.append(ast.Constant(""))
    assert "".join(syntax._written(tree)) == before


def test_depth_and_long_numbers_are_no_trouble(tmp_path: Path) -> None:
    assert digest_of(tmp_path, f"x = {'-' * 900}1\n") != digest_of(tmp_path, f"x = {'-' * 901}1\n")
    assert digest_of(tmp_path, f"x = 0x1{'0' * 20_000}\n") != digest_of(tmp_path, f"x = 0x1{'0' * 20_001}\n")


def test_a_file_that_is_gone_or_too_deep_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(methods.MethodError, match="cannot be read: No such file"):
        syntax.digest(tmp_path / "nowhere.py")
    with pytest.raises(methods.MethodError, match="nested too deeply"):
        digest_of(tmp_path, f"x = {'-' * 100_000}1\n")


def test_warnings_about_the_text_of_others_are_not_ours(tmp_path: Path) -> None:
    (tmp_path / "text.py").write_text('x = "\\d"\n')
    assert len(syntax.parse(tmp_path / "text.py").body) == 1
