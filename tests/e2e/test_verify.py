"""``python -m benchmark verify``: what it catches, what it leaves alone, and what becomes of its verdicts. On real records of tiny runs."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmark import provenance, verification_again
from benchmark.records import RunRecord, TrialSpec, encode
from benchmark.store import Store
from tests.e2e.conftest import TINY, Cli, as_between_programs, called, start_fork_server

SEEDS = 3
OWN = """
import methods

@methods.register(methods.Card(
    name="own", version=1, title="Own", paper="Nobody, 2026", year=2026, family="loss", equation="L",
    hyperparameters=(methods.Hyperparameter("power", 1.0, "of the loss", low=0.1),),
))
class Own(methods.LossMethod):
    power: float

    def objective(self, losses):
        return losses.clamp_min(1e-6).pow(self.power).sum()
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, the suite and the method file that made it."""
    folder = tmp_path_factory.mktemp("verified")
    (folder / "tiny.toml").write_text(TINY.replace("seeds = 2", f"seeds = {SEEDS}"), encoding="utf-8")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    run = ["run", "--suite", folder / "tiny.toml", "--methods", f"equal,rlw,{folder / 'own.py'}", "--executor", "inline"]
    with as_between_programs():
        assert called(*run, "--results", folder / "results") == 0
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """A copy."""
    return Path(shutil.copytree(made / "results", tmp_path / "results"))


@pytest.fixture
def verify(made: Path, cli: Cli) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Exit code and what ``--json`` prints."""

    def run(*arguments: object, methods: str = str(made / "own.py")) -> tuple[int, dict[str, Any]]:
        done = cli("verify", *arguments, "--json", "--executor", "inline", "--seed", "1", *(("--methods", methods) if methods else ()))
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    return run


def one(results: Path, method: str, seed: int = 0, problem: str = "wine") -> RunRecord:
    records = Store(results).scan().records
    return next(r for r in records if (r.spec.method, r.spec.seed, r.spec.problem) == (method, seed, problem))


def put(results: Path, record: RunRecord) -> None:
    """An edited record in the place of its own, as an editor would leave it."""
    Store(results).path(record.spec).write_bytes(encode(record))


def as_seed(record: RunRecord, seed: int) -> RunRecord:
    """With another seed, and an id that fits."""
    return with_spec(record, msgspec.structs.replace(record.spec, seed=seed))


def with_spec(record: RunRecord, spec: TrialSpec) -> RunRecord:
    return msgspec.structs.replace(record, spec=spec, id=spec.id)


def digit(value: float) -> float:
    """Another last digit or so."""
    return value * (1 + 1e-13) if value else 1e-13


def on_curve(record: RunRecord, index: int, **fields: Any) -> RunRecord:
    curve = list(record.curve)
    curve[index] = msgspec.structs.replace(curve[index], **fields)
    return msgspec.structs.replace(record, curve=curve)


def words(found: dict[str, Any], record: str) -> str:
    return " ".join(each["message"] for each in found["failures"] if each["record"] == record)


def statuses(results: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """What the leaderboard says of every row."""
    capsys.readouterr()
    assert called("leaderboard", "--results", results, "--format", "csv") == 0
    return {line["entrant"]: line["status"] for line in csv.DictReader(io.StringIO(capsys.readouterr().out))}


Verify = Callable[..., tuple[int, dict[str, Any]]]


def test_untouched_records_are_verified_to_the_last_digit_and_every_row_says_so(
    results: Path, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = verify(results, "--all")
    assert code == 0
    assert found["failures"] == []
    for line in found["rows"]:
        assert line["records"] == line["checked"] == line["again"] == line["verified"] > 0
    assert found["impossible"] == {}
    records = Store(results).scan().records
    why = {each.read_text(encoding="utf-8") for each in (results / "verdicts").iterdir()}
    assert len(list((results / "verdicts").iterdir())) == len(records)
    assert all('"run again: identical"' in text for text in why)
    assert set(statuses(results, capsys).values()) == {"verified"}


def edited_test(record: RunRecord) -> RunRecord:
    key = sorted(record.test)[0]
    return msgspec.structs.replace(record, test={**record.test, key: digit(record.test[key])})


def edited_validation(record: RunRecord) -> RunRecord:
    key = sorted(record.validation)[0]
    return msgspec.structs.replace(record, validation={**record.validation, key: digit(record.validation[key])})


def edited_train_loss(record: RunRecord) -> RunRecord:
    return on_curve(record, 1, train_losses=[digit(record.curve[1].train_losses[0] or 0), *record.curve[1].train_losses[1:]])


def edited_validation_loss(record: RunRecord) -> RunRecord:
    return on_curve(record, 1, validation_losses=[digit(record.curve[1].validation_losses[0] or 0), *record.curve[1].validation_losses[1:]])


def edited_weight(record: RunRecord) -> RunRecord:
    return on_curve(record, 0, weights=[digit(record.curve[0].weights[0] or 0), *record.curve[0].weights[1:]])


def edited_score(record: RunRecord) -> RunRecord:
    return on_curve(record, 0, score=digit(record.curve[0].score or 0))


def edited_step(record: RunRecord) -> RunRecord:
    return msgspec.structs.replace(record, selected_step=4 if record.selected_step != 4 else 8)


def edited_time(record: RunRecord) -> RunRecord:
    assert record.cost is not None
    return msgspec.structs.replace(record, cost=msgspec.structs.replace(record.cost, train=record.cost.train / 2))


def edited_rate(record: RunRecord) -> RunRecord:
    return with_spec(record, msgspec.structs.replace(record.spec, learning_rate=digit(record.spec.learning_rate) * 2))


def edited_hyperparameter(record: RunRecord) -> RunRecord:
    return with_spec(record, msgspec.structs.replace(record.spec, hyperparameters={"power": 2.0}))


RUN = [edited_test, edited_train_loss, edited_weight, edited_rate]
SEEN = [edited_validation, edited_validation_loss, edited_score, edited_step, edited_time, edited_hyperparameter]


@pytest.mark.parametrize("edit", [*RUN, *SEEN], ids=lambda edit: edit.__name__)
def test_one_edited_digit_is_found(results: Path, verify: Verify, edit: Callable[[RunRecord], RunRecord]) -> None:
    before = one(results, "own", 1)
    after = edit(before)
    assert after != before
    if after.id != before.id:
        Store(results).path(before.spec).unlink()
    put(results, after)
    code, found = verify(results, "--all", methods=f"{FILE},own")
    assert code == 1
    assert {each["record"] for each in found["failures"]} == {after.id}
    assert ("when run again" in words(found, after.id)) is (edit in RUN)
    [line] = found["rows"]
    assert (line["failed"], line["verified"]) == (1, line["records"] - 1)
    code, found = verify(results, "--sample", "0", methods=f"{FILE},own")
    assert code == 1, "what failed once stays failed"


FILE = "own.py"


@pytest.fixture(autouse=True)
def _file(made: Path, elsewhere: Path) -> None:
    shutil.copy(made / FILE, elsewhere / FILE)


def test_the_line_says_what_was_expected_and_what_was_found(results: Path, cli: Cli) -> None:
    record = one(results, "equal")
    key = sorted(record.test)[0]
    put(results, msgspec.structs.replace(record, test={**record.test, key: 0.9123}))
    done = cli("verify", results, "--all", "--methods", "equal", "--executor", "inline")
    assert done.returncode == 1
    assert f"failed: {record.id} (tiny/equal): test {key} 0.9123 in the record, {record.test[key]!r} when run again" in done.stdout
    assert "1 failed; 5 of 6 records are verified" in done.stdout


def test_an_edited_seed_and_a_copied_file_are_found_before_anything_is_run(results: Path, verify: Verify) -> None:
    original = one(results, "equal", 0)
    copy = as_seed(original, 2)
    put(results, copy)
    code, found = verify(results, "--sample", "0", methods="equal")
    assert code == 1
    assert "the data of seed 2 give" in words(found, copy.id)
    assert words(found, original.id) == "", "the copy explains why they are alike"
    shutil.copy(Store(results).path(original.spec), Store(results).path(original.spec).with_name("0123456789abcdef0123.json"))
    code, found = verify(results, "--sample", "0", methods="equal")
    assert [each["message"] for each in found["failures"] if each["record"].endswith("0123456789abcdef0123.json")] == [
        f"misplaced: it belongs at records/tiny/wine/equal/{original.id}.json"
    ]


def test_two_seeds_that_changed_places_are_found(results: Path, verify: Verify) -> None:
    first, second = one(results, "rlw", 0), one(results, "rlw", 1)
    swapped = as_seed(first, 1), as_seed(second, 0)
    for record in swapped:
        put(results, record)
    code, found = verify(results, "--sample", "0", methods="rlw")
    assert code == 1
    assert {each["record"] for each in found["failures"]} == {record.id for record in swapped}


def test_a_copy_that_no_invariant_gives_away_is_run_again_first(results: Path, verify: Verify) -> None:
    """Where a problem's data are the same for every seed, only the losses tell."""
    original = one(results, "equal", 0, "gradnorm_toy")
    curve = [msgspec.structs.replace(point, score=None) for point in original.curve]
    for record in (original, as_seed(original, 2)):
        put(results, msgspec.structs.replace(record, curve=curve))
    code, found = verify(results, "--sample", "0", methods="equal")
    assert code == 1
    copy = as_seed(original, 2).id
    assert "losses equal those of seed" in words(found, copy) + words(found, original.id)
    code, found = verify(results, "--sample", "2", methods="equal")
    assert {each["record"] for each in found["failures"]} == {copy, original.id}
    assert "when run again" in words(found, copy)


def test_a_changed_method_body_without_another_version_is_found(results: Path, verify: Verify, elsewhere: Path) -> None:
    (elsewhere / FILE).write_text(OWN.replace("pow(self.power).sum()", "pow(self.power).mean()"), encoding="utf-8")
    code, found = verify(results, "--sample", "0", methods=FILE)
    assert code == 1
    assert "its source is not the one that made 6 of its records, at the same version 1" in words(found, "own")
    code, found = verify(results, "--all", methods=f"{FILE},own")
    assert code == 1
    assert "6 of 6 that were run again came out otherwise" in words(found, "own")
    (elsewhere / FILE).write_text(OWN.replace("version=1", "version=2"), encoding="utf-8")
    code, found = verify(results, "--all", methods=f"{FILE},equal,own")
    assert list(found["impossible"]) == [], "their verdicts are known"
    shutil.rmtree(results / "verdicts")
    code, found = verify(results, "--all", methods=f"{FILE},own")
    assert code == 0
    assert [(why, len(ids)) for why, ids in found["impossible"].items()] == [("it is of own version 1, and here is version 2", 6)]


def test_a_method_whose_text_alone_changed_is_a_note_once_it_was_run_again(results: Path, verify: Verify, elsewhere: Path) -> None:
    text = OWN.replace("def objective(self, losses):", 'def objective(self, losses):\n        """The sum."""')
    (elsewhere / FILE).write_text(text, encoding="utf-8")
    code, found = verify(results, "--sample", "2", methods=f"{FILE},own")
    assert code == 0, found["failures"]
    assert any("yet 2 that were run again came out the same" in note for note in found["notes"])


def test_records_that_cannot_be_run_again_are_named_and_stay_as_they_are(
    results: Path, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    old = one(results, "rlw")
    Store(results).path(old.spec).unlink()
    changed = with_spec(old, msgspec.structs.replace(old.spec, problem_version=old.spec.problem_version + 1))
    put(results, changed)
    gpu = one(results, "rlw", 1)
    put(results, msgspec.structs.replace(gpu, environment={**gpu.environment, "device": "NVIDIA H100"}))
    code, found = verify(results, "--all", methods="")
    assert code == 0
    reasons = {why: ids for why, ids in found["impossible"].items() if "'own'" not in why}
    assert reasons == {
        f"it is of wine version {changed.spec.problem_version}, and here is version {old.spec.problem_version}": [changed.id],
        "it was made on NVIDIA H100, and there is no CUDA device here": [gpu.id],
    }
    [why] = found["impossible"].keys() - reasons.keys()
    assert "--methods FILE" in why
    assert len(found["impossible"][why]) == 2 * SEEDS
    found_status = statuses(results, capsys)
    assert (found_status["equal"], found_status["own"]) == ("verified", "self-reported")


def test_two_calls_add_up_and_an_edited_record_is_verified_no_more(results: Path, verify: Verify) -> None:
    before = {path: path.read_bytes() for path in (results / "records").rglob("*.json")}
    code, found = verify(results, "--sample", "2", methods="equal")
    assert (code, found["rows"][0]["again"], found["rows"][0]["verified"]) == (0, 2, 2)
    code, found = verify(results, "--all", methods="equal")
    assert (found["rows"][0]["again"], found["rows"][0]["verified"]) == (4, 6)
    code, found = verify(results, "--all", methods="equal")
    assert (found["rows"][0]["again"], found["rows"][0]["verified"]) == (0, 6)
    assert {path: path.read_bytes() for path in before} == before, "no record is touched"
    record = one(results, "equal")
    assert record.cost is not None
    slower = [msgspec.structs.replace(point, seconds=point.seconds * 2) for point in record.curve]
    cost = msgspec.structs.replace(record.cost, train=record.cost.train * 2, method=record.cost.method * 2)
    put(results, msgspec.structs.replace(record, curve=slower, cost=cost))
    code, found = verify(results, "--sample", "0", methods="equal")
    assert (code, found["rows"][0]["verified"]) == (0, 5)
    assert any("1 records were changed since they were looked at" in note for note in found["notes"])
    code, found = verify(results, "--all", "--again", methods="equal")
    assert (found["rows"][0]["again"], found["rows"][0]["verified"]) == (6, 6)


def test_another_platform_is_compared_loosely(results: Path, verify: Verify) -> None:
    record = one(results, "equal", 1)
    elsewhere = {**record.environment, "torch": "2.12.0"}
    moved = on_curve(record, 0, train_losses=[value and value * (1 + 1e-6) for value in record.curve[0].train_losses])
    put(results, msgspec.structs.replace(moved, environment=elsewhere))
    code, found = verify(results, "--all", methods="equal")
    assert code == 0
    assert any("which differ in torch 2.12.0, " in note for note in found["notes"])
    assert any("1 of the records run again agree within a tolerance" in note for note in found["notes"])
    [verdict] = (results / "verdicts").glob(f"{record.id}-*.json")
    assert "within the tolerance of another platform (torch 2.12.0, here" in verdict.read_text(encoding="utf-8")
    moved = on_curve(record, 0, train_losses=[value and value * 1.05 for value in record.curve[0].train_losses])
    put(results, msgspec.structs.replace(moved, environment=elsewhere))
    _, found = verify(results, "--all", methods="equal")
    assert "at the first point, where 0.01 relative is allowed" in words(found, record.id)


def test_another_platforms_name_does_not_hide_an_edit(results: Path, verify: Verify) -> None:
    """All but the test metrics is equal to the last digit: the place cannot have made the difference."""
    record = one(results, "equal", 1)
    key = "hue/rmse"
    edited = msgspec.structs.replace(record, test={**record.test, key: record.test[key] * 0.97})
    put(results, msgspec.structs.replace(edited, environment={**record.environment, "torch": "2.12.0"}))
    code, found = verify(results, "--all", methods="equal")
    assert code == 1
    assert "though the runs are equal to the last digit at the selected step" in words(found, record.id)


def test_a_verdict_written_by_hand_is_not_passed_over_in_silence(results: Path, verify: Verify) -> None:
    record = edited_test(one(results, "equal"))
    put(results, record)
    provenance.write(results, record, "verified", provenance.Why(by="somebody", how="run again: identical"))
    _, found = verify(results, "--all", methods="equal")
    assert any("1 records are verified by the word of an earlier call" in note for note in found["notes"])
    code, found = verify(results, "--all", "--again", methods="equal")
    assert code == 1
    assert "when run again" in words(found, record.id)


def test_what_is_no_file_or_too_large_for_a_record_is_named_and_not_read(results: Path, verify: Verify) -> None:
    folder = Store(results).path(one(results, "equal").spec).parent
    os.mkfifo(folder / "pipe.json")
    with open(folder / "hole.json", "wb") as file:
        file.truncate(1 << 40)
    code, found = verify(results, "--sample", "0", methods="equal")
    assert code == 1
    assert [each["message"] for each in found["failures"]] == ["not a record: expected a file of at most 256 MiB"] * 2


def test_verdicts_go_where_their_records_go(results: Path, verify: Verify, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verify(results, "--all", methods="equal")
    assert called("results", "pack", "--results", results) == 0
    _, found = verify(results, "--all", methods="equal")
    assert (found["rows"][0]["again"], found["rows"][0]["verified"]) == (0, 6)
    status = statuses(results, capsys)  # of packed records a few columns are read
    assert (status["equal"], status["rlw"]) == ("verified", "self-reported")
    record = one(results, "equal")  # the same run, made by somebody else
    Store(tmp_path / "ours").save(msgspec.structs.replace(record, environment={**record.environment, "lossbench": "0.0.9"}))
    assert called("results", "merge", results, "--results", tmp_path / "ours") == 0
    assert "6 verdicts came with them" in capsys.readouterr().out
    _, found = verify(tmp_path / "ours", "--all", methods="equal")
    assert (found["rows"][0]["again"], found["rows"][0]["verified"]) == (0, 6)
    assert called("results", "unpack", "--results", tmp_path / "ours") == 0
    _, found = verify(tmp_path / "ours", "--sample", "0", methods="equal")
    assert found["rows"][0]["verified"] == 6


def test_an_edited_record_is_not_verified_by_packing_it(results: Path, verify: Verify, capsys: pytest.CaptureFixture[str]) -> None:
    verify(results, "--all", methods="equal")
    put(results, edited_weight(one(results, "equal")))
    assert statuses(results, capsys)["equal"] == "verified 5/6"
    assert called("results", "pack", "--results", results) == 0
    assert statuses(results, capsys)["equal"] == "verified 5/6"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "has no records (make some"),
        (("{}", "--suite", "other"), "has no records of suite other"),
        (("{}", "--sample", "2", "--all"), "--sample 2 with --all"),
        (("{}", "--sample", "some"), "--sample is 'some'"),
        (("{}", "--methods", "missing.py"), "no such method file"),
        (("{}", "--executor", "ray"), "--executor is 'ray'"),
        (("{}", "--tolerance", "-1"), "--tolerance is '-1'"),
    ],
)
def test_a_mistake_is_one_line(results: Path, cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli("verify", *(each.format(results) for each in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (results / "verdicts").exists()


def test_a_pool_of_workers_runs_them_as_well_and_says_how_far_it_is(results: Path, cli: Cli) -> None:
    start_fork_server()
    done = cli("verify", results, "--sample", "2", "--methods", "equal", "--jobs", "1")
    assert done.returncode == 0
    assert "2/2, " in done.stderr
    assert "nothing failed; 2 of 6 records are verified" in done.stdout
    assert "another call goes on with what has no verdict yet" in done.stdout


def test_what_was_done_before_an_interrupt_is_kept(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, judged = verification_again._judge, []

    def interrupted(*given: Any) -> None:
        if len(judged) == 2:
            raise KeyboardInterrupt
        judge(*given)
        judged.append(given)

    monkeypatch.setattr(verification_again, "_judge", interrupted)
    arguments = ["verify", results, "--all", "--methods", "equal", "--executor", "inline"]
    assert called(*arguments) == 130
    known, wrong = provenance.read(results)
    assert (len(known), wrong) == (2, [])


def test_nothing_of_a_record_reaches_the_terminal_as_it_is(results: Path, cli: Cli) -> None:
    record = one(results, "equal")
    put(results, with_spec(record, msgspec.structs.replace(record.spec, entrant="equal\x1b[2J\nfailed: nothing")))
    done = cli("verify", results, "--sample", "0", "--methods", "equal")
    assert "\x1b" not in done.stdout + done.stderr
    assert "\\x1b[2J\\nfailed" in done.stdout


def test_provenance_words_are_those_of_a_verdict(results: Path) -> None:
    record = one(results, "equal")
    why = provenance.Why(by="somebody", how="by hand")
    provenance.write(results, record, "failed", why)
    known, wrong = provenance.read(results)
    assert (provenance.word(record, known), wrong) == ("failed", [])
