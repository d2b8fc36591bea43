"""One trial: what depends on the seed, what on the method, and how it fails."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
import torch

import methods
import tasks
from benchmark.executors import Job
from benchmark.records import RunRecord, TrialSpec, check, decode, encode
from benchmark.train import Diverged, Run, losses_again, losses_of, random_state, untrained_losses
from benchmark.trial import execute, failure
from tasks.vlmop import VLMOP

NAMES = methods.names()


def spec(method: str = "equal", **changes: Any) -> TrialSpec:
    card = methods.card(method)
    base = TrialSpec(
        suite="tests",
        problem="wine",
        problem_version=tasks.problem("wine").card.version,
        data="data",
        method=method,
        method_version=card.version,
        entrant=method,
        hyperparameters=card.resolve({}),
        learning_rate=1e-3,
        role="eval",
        seed=0,
        steps=6,
        batch_size=16,
        eval_every=2,
        selection="best",
    )
    return msgspec.structs.replace(base, **changes)


def run(**arguments: Any) -> RunRecord:
    return execute(Job((spec(**arguments),), "cpu"))[0]


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("too big"), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), "oom"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:1] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 8"), "oom"),
        (RuntimeError("CUDA error: out of memory"), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), "oom"),
        (RuntimeError("CUDA error: device-side assert triggered"), "error"),
    ],
)
def test_memory_that_runs_out_is_told_from_other_errors(error: Exception, status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(Run, "train_model", fail)
    record = run()
    assert record.status == status
    assert str(error) in record.message


@pytest.mark.parametrize("method", NAMES)
def test_every_method_leaves_a_whole_record(method: str) -> None:
    record = run(method=method)
    assert (record.status, record.message) == ("ok", "")
    assert [point.step for point in record.curve] == [2, 4, 6]
    assert record.selected_step in (2, 4, 6)
    assert set(record.test) == set(record.validation)
    assert [point.metrics for point in record.curve if point.step == record.selected_step] == [record.validation]
    assert {key.split("/")[0] for key in record.test} == {record.tasks[t] for t in record.trained}
    assert record.cost is not None
    assert record.cost.steps == 6
    assert record.cost.backward_passes >= 6
    assert sum(record.cost.paths.values()) == (6 if methods.card(method).family == "gramian" else 0)
    check(record)
    assert decode(encode(record)) == record


def test_weights_and_batches_depend_on_the_seed_and_not_on_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the harness: what each method finds when its first step begins."""
    seen: dict[tuple[str, int], list[torch.Tensor]] = {}
    key = ("", 0)
    from tasks.supervised import SupervisedSession

    forward = SupervisedSession.losses

    def spy(session: SupervisedSession, batch: Any) -> Any:
        if session.model.training:
            seen.setdefault(key, [*(p.detach().clone() for p in session.model.parameters()), *batch])
        return forward(session, batch)

    monkeypatch.setattr(SupervisedSession, "losses", spy)
    for method in NAMES:
        for seed in (0, 1):
            key = (method, seed)
            run(method=method, seed=seed)
    for method in NAMES:
        assert all(map(torch.equal, seen[method, 0], seen["equal", 0])), method
    assert not all(map(torch.equal, seen["equal", 0], seen["equal", 1]))


def test_seed_0_is_a_seed_and_k_trials_in_a_process_use_k_seeds() -> None:
    results = [run(method="rlw", seed=seed).test for seed in (0, 1, 2, 0)]
    assert results[0] == results[3]
    assert len({tuple(result.values()) for result in results}) == 3


def test_the_random_state_of_the_process_is_untouched() -> None:
    before = torch.get_rng_state()
    run(method="rlw")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tuning_trial_never_evaluates_on_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.supervised import SupervisedSession

    evaluate = SupervisedSession.evaluate
    splits: list[str] = []
    monkeypatch.setattr(SupervisedSession, "evaluate", lambda self, split: (splits.append(split), evaluate(self, split))[1])
    record = run(role="tune")
    assert record.test == {}
    assert set(splits) == {"validation"}


def test_best_takes_the_metrics_of_the_lowest_score_and_last_those_of_the_last() -> None:
    best = run(steps=60, eval_every=5, learning_rate=0.2)
    scores = {point.step: point.score for point in best.curve}
    assert scores[best.selected_step or 0] == min(score for score in scores.values() if score is not None)
    assert best.selected_step != 60  # a rate this large overshoots, so the selected model is not the final one
    assert run(steps=60, eval_every=5, learning_rate=0.2, selection="last").selected_step == 60


def test_the_selected_model_is_the_one_that_is_tested() -> None:
    whole = run(steps=60, eval_every=5, learning_rate=0.2)
    cut = run(steps=whole.selected_step, eval_every=5, learning_rate=0.2, selection="last")
    assert cut.test == whole.test


@pytest.mark.parametrize("method", NAMES)
def test_a_loss_that_is_not_finite_ends_the_run_and_changes_nothing(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.supervised import SupervisedSession

    forward = SupervisedSession.losses
    problem = tasks.problem("wine")
    session = problem.open(0, 16)
    job = Run(spec(method), problem.card)
    kept: dict[str, Any] = {}

    def broken(session: SupervisedSession, batch: Any) -> Any:
        losses, z = forward(session, batch)
        if job.steps == 3:  # three are done, this is the fourth
            assert job.balancer is not None
            state = {name: value.clone() for name, value in job.balancer.state_dict().items() if isinstance(value, torch.Tensor)}
            kept.setdefault("method", state)
            kept.setdefault("model", {name: value.clone() for name, value in session.model.state_dict().items()})
            losses = [loss * math.nan for loss in losses]
        return losses, z

    monkeypatch.setattr(SupervisedSession, "losses", broken)
    with pytest.raises(Diverged, match=r"^step 4: losses are \[nan"):
        job.train_model(session)
    assert job.steps == 3
    assert all(torch.equal(value, kept["model"][name]) for name, value in session.model.state_dict().items())
    assert job.balancer is not None
    assert all(torch.equal(job.balancer.state_dict()[name], value) for name, value in kept["method"].items())


def test_what_a_method_raises_is_recorded_with_its_reason() -> None:
    record = run(
        method="gradnorm", problem="two_objective", steps=400, learning_rate=1.0, hyperparameters=methods.card("gradnorm").resolve({})
    )
    assert record.status == "error"
    assert "task 0" in record.message or "task 1" in record.message
    assert record.trained == [0, 1]
    missing = run(method="prior_loss", problem="two_objective")
    assert (missing.status, missing.curve) == ("error", [])
    assert "prior_losses" in missing.message


def test_a_lost_worker_leaves_a_record_that_names_its_tasks() -> None:
    lost = failure(spec("single_task", hyperparameters={"task": 2}), "timeout", "killed after 3 s", 3.0)
    assert (lost.status, lost.trained, lost.test) == ("timeout", [2], {})
    assert decode(encode(lost)) == lost


def test_losses_of_the_untrained_model_leave_it_as_it_was() -> None:
    """BatchNorm statistics and dropout masks would otherwise depend on the method."""
    from tasks.supervised import SupervisedSession

    session = tasks.problem("wine").open(0, 16)
    assert isinstance(session, SupervisedSession)
    session.net.trunk.append(torch.nn.BatchNorm1d(session.net.last_shared.out_features))
    session.net.trunk.append(torch.nn.Dropout())
    state = {name: value.clone() for name, value in session.model.state_dict().items()}
    random = torch.get_rng_state()
    losses, _ = untrained_losses(session, 3)
    assert losses.shape == (3, 3)
    assert session.model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in session.model.state_dict().items())


def test_a_second_forward_pass_leaves_no_trace() -> None:
    """BatchNorm's statistics and the random state, with the dropout masks of the first pass."""
    from tasks.supervised import SupervisedSession

    session = tasks.problem("wine").open(0, 16)
    assert isinstance(session, SupervisedSession)
    session.net.trunk.append(torch.nn.BatchNorm1d(session.net.last_shared.out_features))
    session.net.trunk.append(torch.nn.Dropout())
    parameters = list(session.model.parameters())
    before = random_state(parameters)
    first, _ = session.losses(session.batch(0))
    state = {name: value.clone() for name, value in session.model.state_dict().items()}
    random = torch.get_rng_state()
    again = losses_again(session, session.batch(0), before)
    assert not any(loss.requires_grad for loss in again)
    assert all(map(torch.equal, again, first))  # the model has not moved: same mode, same masks
    assert session.model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in session.model.state_dict().items())
    with torch.random.fork_rng(devices=[]):
        other, _ = session.losses(session.batch(0))
    assert not all(map(torch.equal, other, first))  # other masks


def noisy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wine's network with BatchNorm and dropout from here on."""
    from tasks.models import MultiTaskNet
    from tasks.wine import Wine

    network = Wine.network

    def changed(self: Wine) -> MultiTaskNet:
        net = network(self)
        net.trunk.append(torch.nn.BatchNorm1d(net.last_shared.out_features))
        net.trunk.append(torch.nn.Dropout())
        return net

    monkeypatch.setattr(Wine, "network", changed)


def test_losses_of_further_batches_leave_no_trace_and_have_masks_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy(monkeypatch)
    session = tasks.problem("wine").open(0, 16)
    batch = session.batch(0)
    monkeypatch.setattr(session, "batch", lambda step, stream: batch)  # all the same, so that masks alone can differ
    parameters = list(session.model.parameters())
    before = random_state(parameters)
    first, _ = session.losses(batch)
    state = {name: value.clone() for name, value in session.model.state_dict().items()}
    random = torch.get_rng_state()
    found = {k: [losses_of(session, 7, 0, before, k) for _ in range(2)] for k in (0, 1, 2)}
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(value, state[name]) for name, value in session.model.state_dict().items())
    assert all(map(torch.equal, found[0][0], first))  # the masks of the first pass
    assert all(map(torch.equal, found[1][0], found[1][1]))  # the same at every call
    assert len({found[k][0][0].item() for k in (0, 1, 2)}) == 3  # other masks for every batch
    assert not torch.equal(found[1][0][0], losses_of(session, 7, 1, before, 1)[0])  # and every step
    torch.stack(first).sum().backward()  # the first graph is still good
    torch.stack(found[1][0]).sum().backward()


@pytest.mark.parametrize(
    ("method", "settings", "other", "others"),
    [
        ("auto_lambda", {"lr": 0.0, "start": 1 / 3}, "equal", {}),
        ("moml", {"lr": 0.0}, "equal", {}),
        ("sdmgrad", {"lam": 1e9}, "cagrad", {"c": 0.0}),  # the mean gradient with plain heads
    ],
)
def test_a_method_with_further_batches_trains_as_if_the_model_had_not_seen_them(
    method: str, settings: dict[str, Any], other: str, others: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held to equal weights it is equal weighting, with BatchNorm and dropout: neither statistics nor masks have changed."""
    noisy(monkeypatch)
    one = run(method=method, hyperparameters=methods.card(method).resolve(settings))
    two = run(method=other, hyperparameters=methods.card(other).resolve(others))
    assert [p.weights for p in one.curve] == [pytest.approx([1 / 3] * 3, rel=1e-5)] * 3
    for mine, plain in zip(one.curve, two.curve, strict=True):
        assert mine.train_losses == pytest.approx(plain.train_losses, rel=1e-4)
        assert mine.validation_losses == pytest.approx(plain.validation_losses, rel=1e-4)


def test_evaluate_is_given_to_those_who_ask_and_counts_as_their_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import benchmark.train
    from tasks.supervised import SupervisedSession

    drawn: list[tuple[int, int]] = []
    draw, further = SupervisedSession.batch, benchmark.train.losses_of

    def spy(session: SupervisedSession, step: int, stream: int = 0) -> Any:
        drawn.append((step, stream))
        return draw(session, step, stream)

    def slow(*arguments: Any) -> Any:
        time.sleep(0.01)
        return further(*arguments)

    monkeypatch.setattr(SupervisedSession, "batch", spy)
    monkeypatch.setattr(benchmark.train, "losses_of", slow)
    run(method="mgda")
    assert drawn == [(step, 0) for step in range(6)]
    drawn.clear()
    record = run(method="modo")
    assert drawn == [(step, stream) for step in range(6) for stream in (0, 1)]
    assert record.cost is not None
    assert record.cost.method >= 0.06
    assert record.cost.backward_passes == 6 * 2 * 3


def test_the_model_of_a_reforward_method_trains_as_if_it_were_seen_once() -> None:
    """With FAMO's rates at zero it is GLS, up to the size of its weights: the second pass changes nothing of the run."""
    import methods.famo

    seen: list[int] = []
    observe = methods.famo.FAMO.observe

    def spy(self: methods.famo.FAMO, losses: torch.Tensor) -> None:
        seen.append(len(losses))
        observe(self, losses)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods.famo.FAMO, "observe", spy)
        record = run(method="famo", hyperparameters=methods.card("famo").resolve({"lr": 0.0}))
    assert seen == [3] * 6
    assert record.cost is not None
    assert record.cost.backward_passes == 6
    gls = run(method="gls")
    assert [p.train_losses[0] for p in record.curve] == pytest.approx([p.train_losses[0] for p in gls.curve], rel=1e-3)


def test_a_record_says_which_metrics_are_compared() -> None:
    (record,) = execute(Job((spec(problem="gradnorm_toy", steps=2),), "cpu"))
    assert {key for key, info in record.metrics.items() if not info.compared} == {"task_normalised_loss"}


def test_a_learning_rate_that_halves_is_another_trial_and_takes_smaller_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rates: list[float] = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self, *of: rates.append(self.param_groups[0]["lr"]) or step(self, *of))
    constant = run()
    assert rates == [1e-3] * 6
    rates.clear()
    halved = run(halve_every=2)
    assert rates == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4, 2.5e-4]
    assert constant.id != halved.id
    assert b"halve_every" not in encode(constant)  # the ids of before are those of now
    assert decode(encode(halved)) == halved
    assert constant.curve[0].validation_losses == halved.curve[0].validation_losses
    assert constant.curve[-1].validation_losses != halved.curve[-1].validation_losses


def test_plain_gradient_steps_are_another_trial_and_move_by_the_gradient() -> None:
    """On the convex VLMOP1 equal weights have the gradient x/2, so that each step of size 1 halves x."""
    there = tasks.problem("vlmop1")
    assert isinstance(there, VLMOP)
    given = {"problem": "vlmop1", "problem_version": there.card.version, "batch_size": 1, "learning_rate": 1.0, "steps": 3}
    assert spec(**given).id != spec(**given, optimizer="sgd").id
    record = run(**given, optimizer="sgd", eval_every=1, selection="last")
    assert record.status == "ok"
    losses, *_ = there.losses([x / 8 for x in there.start(0)])
    assert (record.test["first/loss"], record.test["second/loss"]) == pytest.approx(losses, rel=1e-5)
