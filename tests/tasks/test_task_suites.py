"""Suites: the packaged ones resolve, and a bad file is refused in one line that names the value."""

from pathlib import Path

import pytest

import tasks
from tasks.hub import HubProblem

GOOD = """
name = "mine"
version = 2
summary = "a suite"
[protocol]
seeds = 4
evaluations = 7
selection = "best"
[[problems]]
name = "wine"
[[problems]]
name = "two_objective"
steps = 100
batch_size = 3
learning_rate = 1
seeds = 2
selection = "last"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_packaged_suites() -> None:
    assert tasks.suite_names() == ["dense", "lowlight", "mixed", "smoke", "standard", "toy"]
    named = {name: [(entry.problem, entry.seeds) for entry in tasks.suite(name).entries] for name in tasks.suite_names()}
    assert named == {
        "dense": [(name, 5) for name in ("rooms", "nyuv2", "nyuv2_segnet", "cityscapes", "cityscapes_segnet")],
        "lowlight": [(name, 5) for name in ("photos", "curves", "lol")],
        "mixed": [
            (name, 5) for name in ("digits", "multidigits", "wine", "diabetes", "credit", "multimnist", "adult", "utkface", "qm9", "celeba")
        ],
        "smoke": [("wine", 3), ("gradnorm_toy", 3)],
        "standard": [(name, 10) for name in ("digits", "multidigits", "wine", "diabetes", "rooms", "curves", "gradnorm_toy", "vlmop2")],
        "toy": [
            (name, 5)
            for name in ("two_objective", "vlmop1", "vlmop2", "pareto_mtl", "zdt1", "zdt2", "zdt3", "gradnorm_toy", "gradnorm_toy_10")
        ],
    }
    for name in tasks.suite_names():
        assert tasks.suite(name).name == name


def test_what_does_not_ship_runs_on_request_only() -> None:
    for name in tasks.suite_names():
        for entry in tasks.suite(name).entries:
            assert entry.on_request == isinstance(tasks.problem(entry.problem), HubProblem), entry.problem


def test_selection_by_normalised_loss_needs_prior_losses() -> None:
    for name in tasks.suite_names():
        for entry in tasks.suite(name).entries:
            if all(task.kind == "objective" for task in tasks.problem(entry.problem).card.tasks):
                assert entry.selection == "last"


def test_defaults_come_from_the_card_and_the_protocol(tmp_path: Path) -> None:
    suite = tasks.suite(write(tmp_path, GOOD))
    card = tasks.problem("wine").card
    assert (suite.name, suite.version, suite.summary) == ("mine", 2, "a suite")
    assert suite.entries == (
        tasks.Entry("wine", card.steps, card.batch_size, card.learning_rate, -(-card.steps // 7), "best", 4),
        tasks.Entry("two_objective", 100, 3, 1.0, 15, "last", 2),
    )


@pytest.mark.parametrize(("steps", "evaluations"), [(1, 1), (1, 10), (10, 3), (100, 7), (1000, 30), (7, 7)])
def test_never_more_evaluations_than_asked(tmp_path: Path, steps: int, evaluations: int) -> None:
    text = GOOD.replace("evaluations = 7", f"evaluations = {evaluations}").replace("steps = 100", f"steps = {steps}")
    every = tasks.suite(str(write(tmp_path, text))).entries[1].eval_every
    at = {step for step in range(1, steps + 1) if step % every == 0 or step == steps}
    assert 1 <= len(at) <= evaluations


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "mine"', 'name = "a b"', "name = 'a b' must be a text of letters, digits, - and _"),
        ('name = "mine"', 'name = "mixed"', "name 'mixed' belongs to a packaged suite"),
        ('name = "mine"', "", "'name' is missing (required: name, version, summary, protocol, problems)"),
        ('name = "mine"', 'name = "mine"\nsumary = "x"', "unknown key 'sumary'; did you mean 'summary'? (allowed: name, version,"),
        ("version = 2", "version = 0", "version = 0 must be a whole number of at least 1"),
        ('summary = "a suite"', 'summary = " "', "summary = ' ' must be a text"),
        ("seeds = 4", "seeds = true", "[protocol]: seeds = True must be a whole number of at least 1"),
        ("seeds = 4", "seeds = 2.5", "seeds = 2.5 must be a whole number"),
        ("seeds = 4", 'seeds = "4"', "seeds = '4' must be a whole number"),
        ("evaluations = 7", "evaluations = -1", "evaluations = -1 must be a whole number of at least 1"),
        ("evaluations = 7", "evaluation = 7", "[protocol]: unknown key 'evaluation'; did you mean 'evaluations'?"),
        ('selection = "best"', 'selection = "bets"', "selection = 'bets' must be 'best' or 'last'; did you mean 'best'?"),
        ('selection = "best"', "selection = 1", "selection = 1 must be 'best' or 'last'"),
        ('selection = "best"', "selection = []", "selection = [] must be 'best' or 'last'"),
        ('selection = "best"', "", "'selection' is missing (required: seeds, evaluations, selection)"),
        ("steps = 100", "steps = 0", "problem 2: steps = 0 must be a whole number of at least 1"),
        ("steps = 100", "stpes = 100", "problem 2: unknown key 'stpes'; did you mean 'steps'? (allowed: name, steps, batch_size,"),
        ("batch_size = 3", "batch_size = [3]", "batch_size = [3] must be a whole number"),
        ("learning_rate = 1", "learning_rate = 0.0", "learning_rate = 0.0 must be a number above 0"),
        ("learning_rate = 1", "learning_rate = nan", "learning_rate = nan must be a number above 0"),
        ("learning_rate = 1", "learning_rate = inf", "learning_rate = inf must be a number above 0"),
        ("learning_rate = 1", "learning_rate = true", "learning_rate = True must be a number above 0"),
        ("steps = 100", 'optimizer = "lion"', "problem 2: optimizer = 'lion' must be 'adam' or 'sgd'"),
        ("steps = 100", "halve_every = 0", "problem 2: halve_every = 0 must be a whole number of at least 1"),
        ("steps = 100", "on_request = 1", "problem 2: on_request = 1 must be true or false"),
        ('name = "wine"', 'name = "whine"', "problem 1: unknown problem 'whine'; did you mean 'wine'?"),
        ('name = "wine"', 'name = "two_objective"', "problem 'two_objective' is named twice"),
        ('name = "wine"', "steps = 3", "problem 1: 'name' is missing (required: name)"),
        ("[[problems]]\n", "[problems]\n", "not valid TOML"),
        (GOOD[GOOD.index("[[problems]]") :], "[problems]\nname = 'wine'", "must be a list of at least one table: [[problems]]"),
        (GOOD, 'problems = []\nname = "a"\nversion = 1\nsummary = "a"\n[protocol]', "problems = [] must be a list of at least one table"),
        (GOOD[GOOD.index("[protocol]") : GOOD.index("[[problems]]")], "protocol = 1\n", "protocol = 1 must be a table: [protocol]"),
        (GOOD, "", "'name' is missing"),
        (GOOD, "= 3", "not valid TOML"),
    ],
)
def test_bad_files(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(tasks.TaskError) as caught:
        tasks.suite(path)
    text = str(caught.value)
    assert message in text
    assert str(path) in text
    assert "\n" not in text


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(tasks.TaskError, match=r"none\.toml: cannot read the file: No such file or directory$"):
        tasks.suite(tmp_path / "none.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(tasks.TaskError, match=r"binary\.toml: not UTF-8 text"):
        tasks.suite(binary)


@pytest.mark.parametrize(("name", "near"), [("mixd", "; did you mean 'mixed'?"), ("zzz", ""), ("", ""), ("../suites/mixed", "")])
def test_unknown_suite(name: str, near: str) -> None:
    with pytest.raises(tasks.TaskError) as caught:
        tasks.suite(name)
    assert str(caught.value).startswith(f"unknown suite {name!r}{near} (list them: python -m benchmark list suites)")


def test_a_packaged_file_may_be_given_by_its_path() -> None:
    path = Path(tasks.__file__).parent / "suites" / "mixed.toml"
    assert tasks.suite(path) == tasks.suite("mixed")
