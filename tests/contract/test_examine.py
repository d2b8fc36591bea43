"""What ``examine`` reports: every check once, as it comes, and whatever goes wrong as a finding."""

from pathlib import Path

import pytest

import methods
from methods import contract
from methods.contract import Finding

BROKEN = """
import torch
import methods

@methods.register(methods.Card(name="{name}", version=1, title="x", paper="x", year=2026, family="gramian", equation="x"))
class Broken(methods.GramianMethod):
    def weights(self, gramian, losses):
        {body}
"""


def examined(name: str, *skip: str) -> dict[str, Finding]:
    reported: list[Finding] = []
    found = contract.examine(name, reported.append, skip)
    assert list(found) == reported
    assert [finding.check for finding in found] == [check.name for check in contract.checks()]
    return {finding.check: finding for finding in found}


def broken(folder: Path, name: str, body: str) -> str:
    path = folder / f"{name}.py"
    path.write_text(BROKEN.format(name=name, body=body))
    return methods.load(path)[0]


def test_a_method_of_ours_passes(forget: None) -> None:
    found = examined("equal")
    assert [each for each in found.values() if each.status == "failed"] == []
    assert found["derivatives"].status == "skipped"
    assert all("\n" not in each.message for each in found.values())


@pytest.mark.parametrize("body", ["raise RuntimeError('two\\nlines')", "raise SystemExit(0)"])
def test_what_a_method_raises_is_a_finding_and_the_rest_is_not_tried(tmp_path: Path, body: str, forget: None) -> None:
    found = examined(broken(tmp_path, "raises", body))
    assert found["builds"].status == "failed"
    assert found["builds"].message.startswith("raised ")
    assert "\n" not in found["builds"].message
    assert {found["finite"].status, found["claims"].status} == {"skipped"}


def test_what_raises_without_a_word_is_a_finding_with_words(tmp_path: Path, forget: None) -> None:
    found = examined(broken(tmp_path, "silent", "raise MemoryError"))
    assert found["builds"].message == "raised MemoryError without a word"
    with pytest.raises(ValueError, match="check zero has status 'failed' and no message"):
        Finding("zero", "failed", " ", 0.0)


def test_an_error_that_cannot_be_shown_is_a_finding(tmp_path: Path, forget: None) -> None:
    body = "raise type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})"
    found = examined(broken(tmp_path, "odd", body))
    assert found["builds"].message == "raised Odd: (its message cannot be had: ZeroDivisionError)"


def test_only_what_says_nothing_of_a_method_or_machine_may_be_left_out() -> None:
    assert {check.name for check in contract.checks() if check.unless is not None} == {"card", "devices", "weights", "derivatives"}


def test_nan_is_found_by_the_check_of_that_name_and_the_input_is_named(tmp_path: Path, forget: None) -> None:
    found = examined(broken(tmp_path, "diverges", "return losses / gramian.diagonal().sub(gramian[0, 0])"), "differs", "claims")
    assert found["finite"].status == "failed"
    assert "on 'random', J of 4 x 7" in found["finite"].message
    assert found["differs"] == Finding("differs", "skipped", "left out, as was asked", 0.0)


def test_equal_weights_under_another_name_are_found(tmp_path: Path, forget: None) -> None:
    found = examined(broken(tmp_path, "nothing_new", "return torch.full_like(losses, 1 / len(losses))"))
    assert "differ from those of equal by no more than" in found["differs"].message
    assert "could also claim permutation_equivariant" in found["claims"].message


def test_a_check_that_does_not_exist_cannot_be_skipped() -> None:
    with pytest.raises(methods.MethodError, match="there is no check 'finit' to skip; did you mean 'finite'"):
        contract.examine("equal", print, ["finit"])
