"""``python -m benchmark show``: what a card says of what is not plain."""

from __future__ import annotations

import pytest

from benchmark import cli as command_line


def shown(name: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit_:
        command_line.main(["show", name])
    assert not exit_.value.code
    return " ".join(capsys.readouterr().out.split())


def test_words_and_switches_have_no_range(capsys: pytest.CaptureFixture[str]) -> None:
    assert "inf" not in shown("fixed", capsys)
    assert "(0 to inf)" in shown("gradnorm", capsys)


def test_a_learning_rate_that_halves(capsys: pytest.CaptureFixture[str]) -> None:
    assert "learning rate 0.0001 halved every 35,800 steps" in shown("nyuv2", capsys)
    assert "halved" not in shown("rooms", capsys)
