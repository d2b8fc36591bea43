"""Seeds that are trained together: the same values as one by one, nothing of one seed in another, and what cannot be trained so is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import torch

import methods
import tasks
from benchmark import study
from benchmark.executors import Job
from benchmark.plan import Study
from benchmark.records import RunRecord, TrialSpec, check, decode, encode
from benchmark.trial import execute
from benchmark.vectorized import adam, graphs, passes
from benchmark.vectorized.stack import Batches, Layout, forward_of
from benchmark.vectorized.support import Unsupported, check_model, kind_of
from benchmark.vectorized.support import check as support
from tests.benchmark.test_trial import spec

EMBEDDED = ("digits", "diabetes", "gradnorm_toy", "multidigits", "wine")
PAIRS = [
    (method, problem)
    for problem in EMBEDDED
    for method in (("equal", "cagrad") if problem == "multidigits" else ("equal", "gradnorm", "cagrad", "trimmed_mean"))
]
"""A seed of multidigits alone takes seconds: one method a half of the graph is enough there."""
REPRESENTATIVES = {
    "equal": "losses",
    "uncertainty": "losses",
    "dwa": "losses",
    "rlw": "losses",
    "gradnorm": "last",
    "cagrad": "shared",
    "pcgrad": "shared",
    "trimmed_mean": "jacobian",
    "moco": "jacobian",
}
"""A method or more a kind of decision: stateless, learning, with running statistics, random."""

TRACED: dict[object, graphs.Compiled] = {}


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traced operations as they are: a step is compiled in seconds, and these tests make many."""

    def traced(key: object, step: Any, arguments: Sequence[torch.Tensor], after: range) -> tuple[graphs.Compiled, bool]:
        full = (key, tuple(tuple(tensor.shape) for tensor in arguments))
        if full not in TRACED:
            TRACED[full] = graphs.traced(step, arguments, after)
        return TRACED[full], False

    monkeypatch.setattr(graphs, "compiled", traced)


def stacked(seeds: Sequence[int], together: int = 4, **changes: Any) -> tuple[TrialSpec, ...]:
    return tuple(spec(**{"seed": seed, "engine": "vectorized", "together": together, **changes}) for seed in seeds)


def run_together(seeds: Sequence[int], together: int = 4, **changes: Any) -> tuple[RunRecord, ...]:
    return execute(Job(stacked(seeds, together, **changes), "cpu"))


def numbers(record: RunRecord) -> tuple[object, ...]:
    """All that a record holds of what was computed, and nothing of clocks."""
    curve = [msgspec.structs.replace(point, seconds=0.0) for point in record.curve]
    return record.status, record.message, curve, record.selected_step, record.validation, record.test, record.events


def close(record: RunRecord, alone: RunRecord, rel: float) -> None:
    assert (record.status, record.message, record.selected_step) == ("ok", "", alone.selected_step)
    assert record.cost is not None
    assert alone.cost is not None
    assert record.cost.backward_passes == alone.cost.backward_passes
    for found, expected in zip(record.curve, alone.curve, strict=True):
        assert found.train_losses == pytest.approx(expected.train_losses, rel=rel)
        assert found.weights == pytest.approx(expected.weights, rel=rel, abs=rel)
        assert found.validation_losses == pytest.approx(expected.validation_losses, rel=10 * rel)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(("method", "problem"), PAIRS)
def test_a_few_steps_give_the_losses_and_weights_of_each_seed_alone(method: str, problem: str) -> None:
    """Within 1e-4: rounding differs, and Adam makes full steps of what rounding leaves of a vanishing gradient."""
    changes = {"method": method, "problem": problem, "steps": 4, "eval_every": 2}
    found = run_together((0, 2), 3, **changes)
    for record in found:
        close(record, execute(Job((spec(**{**changes, "seed": record.spec.seed}),), "cpu"))[0], 1e-4)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("method", methods.names())
def test_every_method_that_can_be_trained_so_agrees_with_itself_alone(method: str) -> None:
    hyperparameters = spec(method).hyperparameters
    if "initial" in hyperparameters:  # relative to the first losses all are 1 then, and rounding decides which is the largest
        hyperparameters = hyperparameters | {"initial": "theory"}
    if methods.card(method).per_task:
        hyperparameters = hyperparameters | {"task": 1}
    changes: dict[str, Any] = {"method": method, "steps": 4, "eval_every": 2, "hyperparameters": hyperparameters}
    try:
        support(tasks.problem("wine"), method, hyperparameters)
    except Unsupported:
        (record,) = run_together((0,), 2, **changes)
        assert record.status == "error"
        return
    found = run_together((0, 1), 2, **changes)
    for record in found:
        close(record, execute(Job((spec(**{**changes, "seed": record.spec.seed}),), "cpu"))[0], 1e-4)
        check(record)
        assert decode(encode(record)) == record


def test_most_methods_of_every_family_can_be_trained_so() -> None:
    """A method that stops being one of them is a regression that no record would show: it would run, one by one."""
    kinds: dict[str, int] = {}
    for name in methods.names():
        try:
            kind = support(tasks.problem("wine"), name, spec(name).hyperparameters | ({"task": 0} if methods.card(name).per_task else {}))
        except Unsupported:
            kind = "alone"  # type: ignore[assignment]
        kinds[kind] = kinds.get(kind, 0) + 1
    assert kinds["alone"] <= len(methods.names()) // 8
    assert {"losses", "last", "shared", "jacobian"} <= set(kinds)
    assert {method: support(tasks.problem("wine"), method, spec(method).hyperparameters) for method in REPRESENTATIVES} == REPRESENTATIVES


@pytest.mark.parametrize("kind", ["losses", "last", "shared", "representation", "jacobian"])
@pytest.mark.parametrize("problem", ["wine", "digits"])
def test_a_step_takes_the_gradients_that_autograd_takes_of_each_seed(kind: str, problem: str) -> None:
    """Gradients, not Adam's steps: of the first moment after one step, a tenth of the gradient; within 1e-5 of its largest entry."""
    sessions = [tasks.problem(problem).open(seed, 16) for seed in range(3)]
    layout = Layout(sessions[0])
    rows = torch.stack([layout.row(session.model) for session in sessions])
    count = len(sessions[0].prior_losses)
    weights = torch.rand(3, count, generator=torch.Generator().manual_seed(0)) + 0.5
    decision = torch.randn(3, layout.shared, generator=torch.Generator().manual_seed(1)) if kind == "jacobian" else weights
    first, second, alive = torch.zeros_like(rows), torch.zeros_like(rows), torch.ones(3, dtype=torch.bool)
    given = [rows, first, second, adam.rates(1, 0.0, rows.device), alive, decision, *Batches(sessions, 1).at(0)]
    step = getattr(passes.Passes(forward_of(sessions[0], layout), layout), kind)
    compiled = graphs.traced(step, given, range(1, passes.LATE))
    with torch.no_grad():
        seen, handed = compiled.look(given)
        compiled.act(given, handed)
    for slot, session in enumerate(sessions):
        losses, z = session.losses(session.batch(0))
        shared, last = list(session.shared()), list(session.last_layer())
        heads = [p for p in session.model.parameters() if not any(p is q for q in shared)]
        assert torch.allclose(seen[0][slot], torch.stack(losses), rtol=1e-5)

        def jacobian(of: list[torch.Tensor], losses: list[torch.Tensor] = losses) -> torch.Tensor:
            return torch.stack([torch.cat([g.flatten() for g in torch.autograd.grad(loss, of, retain_graph=True)]) for loss in losses])

        if kind != "losses":
            assert z is not None
            found = seen[1][slot]
            rows_of = jacobian({"last": last, "representation": [z]}.get(kind, shared))
            expected = rows_of if kind == "jacobian" else rows_of @ rows_of.T
            assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
        whole = torch.autograd.grad(sum(losses, torch.zeros(())), heads, retain_graph=True)
        if kind in ("losses", "last"):
            total = (weights[slot] * torch.stack(losses)).sum()
            gradients = torch.autograd.grad(total, [*shared, *heads])
            expected = torch.cat([g.flatten() for g in gradients])
        else:
            direction = decision[slot] if kind == "jacobian" else weights[slot] @ jacobian(shared)
            expected = torch.cat([direction, *(g.flatten() for g in whole)])
        assert torch.allclose(first[slot] / (1 - adam.BETA1), expected, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("method", ["rlw", "cagrad"])
def test_a_seed_does_not_depend_on_which_others_were_asked_for(method: str) -> None:
    """Bit for bit: three of a block of ten, and one in another place of the list, are what they are among all ten."""
    every = {record.spec.seed: record for record in run_together(range(10), 10, method=method)}
    for seeds in ((0, 1, 2), (7,)):
        for record in run_together(seeds, 10, method=method):
            assert numbers(record) == numbers(every[record.spec.seed])
            assert record.id == every[record.spec.seed].id


@pytest.mark.usefixtures("uncompiled")
def test_a_seed_that_diverges_drops_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.memory import MemorySession

    whole = run_together((0, 1, 2))
    read = MemorySession.batches

    def poisoned(session: MemorySession, first: int, count: int) -> Sequence[torch.Tensor]:
        inputs, *targets = read(session, first, count)
        if session._seed == 1:
            inputs = inputs.clone()
            inputs[3 - first :] = torch.inf
        return [inputs, *targets]

    monkeypatch.setattr(MemorySession, "batches", poisoned)
    found = run_together((0, 1, 2))
    assert [record.status for record in found] == ["ok", "diverged", "ok"]
    assert found[1].message.startswith("step 4: losses are [nan")
    assert [point.step for point in found[1].curve] == [2]
    assert found[1].cost is not None
    assert found[1].cost.steps == 3
    assert not found[1].test
    assert [numbers(found[seed]) for seed in (0, 2)] == [numbers(whole[seed]) for seed in (0, 2)]


@pytest.mark.usefixtures("uncompiled")
def test_a_method_that_raises_for_one_seed_ends_that_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = methods.get("cagrad").weights  # type: ignore[attr-defined]
    calls: list[int] = []

    def unlucky(self: Any, gramian: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:  # the second step of the second of three seeds
            raise ArithmeticError("no solution")
        return weights(self, gramian, losses)  # type: ignore[no-any-return]

    monkeypatch.setattr(methods.get("cagrad"), "weights", unlucky)
    found = run_together((0, 1, 2), method="cagrad")
    assert [record.status for record in found] == ["ok", "error", "ok"]
    assert found[1].message == "ArithmeticError: no solution"


@pytest.mark.usefixtures("uncompiled")
def test_all_seeds_diverging_ends_the_pass() -> None:
    found = run_together((0, 1), learning_rate=1e30, steps=50, eval_every=25)
    assert {record.status for record in found} == {"diverged"}
    assert all(record.cost is not None and record.cost.steps < 50 for record in found)


def test_the_learning_rate_is_halved_as_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    rates = adam.rates
    monkeypatch.setattr(adam, "rates", lambda step, rate, device: (seen.append(rate), rates(step, rate, device))[1])
    monkeypatch.setattr(graphs, "compiled", lambda key, *rest: (graphs.traced(*rest), False))
    run_together((0,), 1, halve_every=2, steps=5)
    assert seen == [1e-3, 1e-3, 5e-4, 5e-4, 2.5e-4]


def test_adam_is_torchs() -> None:
    """Ten steps on the same gradients: within 2 ulp of a step."""
    draws = torch.Generator().manual_seed(3)
    rows = torch.randn(2, 50, generator=draws)
    parameters = [row.clone().requires_grad_() for row in rows]
    optimizer = torch.optim.Adam(parameters, lr=1e-2, fused=True)
    first, second = torch.zeros_like(rows), torch.zeros_like(rows)
    for step in range(1, 11):
        gradient = torch.randn(2, 50, generator=draws)
        for parameter, own in zip(parameters, gradient, strict=True):
            parameter.grad = own.clone()
        optimizer.step()
        adam.update(rows, first, second, gradient, adam.rates(step, 1e-2, rows.device), torch.ones(2, dtype=torch.bool))
    assert torch.allclose(rows, torch.stack([p.detach() for p in parameters]), rtol=1e-6, atol=1e-7)


def test_batches_read_ahead_are_those_read_one_by_one() -> None:
    """Over the end of an epoch, where a new permutation begins."""
    sessions = [tasks.problem("wine").open(seed, 40) for seed in (0, 1)]
    steps = 3 * (len(sessions[0]._train) // 40)  # type: ignore[attr-defined]
    batches = Batches(sessions, steps)
    for step in range(steps):
        for slot, session in enumerate([tasks.problem("wine").open(seed, 40) for seed in (0, 1)]):
            assert all(torch.equal(found[slot], own) for found, own in zip(batches.at(step), session.batch(step), strict=True))


def test_losses_that_are_not_what_the_problem_promised_end_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.supervised import SupervisedSession

    criteria = SupervisedSession.criteria
    monkeypatch.setattr(
        SupervisedSession, "criteria", lambda self, outputs, rows: [loss * (1 + self._seed) for loss in criteria(self, outputs, rows)]
    )
    monkeypatch.setattr(graphs, "compiled", lambda key, *rest: (graphs.traced(*rest), False))
    record = run_together((0, 1))[1]
    assert record.status == "error"
    assert "must not say that it is stackable" in record.message


@pytest.mark.parametrize(("method", "why"), [("famo", "losses after the step"), ("modo", "further batches"), ("moml", "further batches")])
def test_what_a_method_needs_beyond_one_look_is_said(method: str, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        support(tasks.problem("wine"), method, spec(method).hyperparameters)


@pytest.mark.parametrize("layer", [torch.nn.BatchNorm1d(3), torch.nn.Dropout(0.5)])
def test_a_network_with_a_state_of_its_own_is_refused(layer: torch.nn.Module) -> None:
    with pytest.raises(Unsupported, match=type(layer).__name__):
        check_model("x", torch.nn.Sequential(torch.nn.Linear(3, 3), layer))


def test_a_landscape_is_refused() -> None:
    with pytest.raises(Unsupported, match="vlmop1"):
        support(tasks.problem("vlmop1"), "equal", {})


def test_plain_gradient_steps_are_taken_one_seed_at_a_time() -> None:
    assert support(tasks.problem("wine"), "equal", {}) == "losses"
    with pytest.raises(Unsupported, match="sgd"):
        support(tasks.problem("wine"), "equal", {}, "sgd")


def test_priorities_on_a_whole_jacobian_are_refused() -> None:
    with pytest.raises(Unsupported, match="priorities"):
        kind_of(methods.create("trimmed_mean", 3, priority=[1, 2, 3]))


def test_trials_of_one_block_are_one_job_and_tuning_trials_are_alone() -> None:
    whole = Study(suite=tasks.suite("smoke"), entrants=(), budget=1, sources=(), fingerprints={})
    todo = [*stacked((9, 0, 11, 3), 5), spec(seed=0), *stacked((1,), 5, method="rlw"), *stacked((1,), 5)]
    found = [[each.seed for each in job.specs] for job in study.jobs_of(todo, whole.sources, whole.where, "cpu")]
    assert found == [[9], [0, 3, 1], [11], [0], [1]]


def test_the_engine_is_part_of_what_a_trial_is_and_absent_where_it_is_alone() -> None:
    alone, (together,), (other,) = spec(), stacked((0,), 4), stacked((0,), 5)
    assert len({alone.id, together.id, other.id}) == 3
    assert b"engine" not in msgspec.json.encode(alone)


@pytest.mark.slow
def test_a_compiled_step_gives_what_a_seed_alone_gives() -> None:
    for method in ("equal", "cagrad"):
        found = run_together((0, 1), 2, method=method)
        assert found[0].environment["step"] == "compiled"
        for record in found:
            close(record, execute(Job((spec(method=method, seed=record.spec.seed),), "cpu"))[0], 1e-4)


@pytest.mark.slow
def test_without_a_compiler_the_step_runs_uncompiled_and_the_record_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    import torch._inductor.config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(torch._inductor.config.cpp, "cxx", ("no-such-compiler",))
    monkeypatch.setattr(graphs, "_KNOWN", {})
    (record,) = run_together((0,), 2, batch_size=17)
    assert record.status == "ok"
    assert record.events["step_not_compiled"] == 1
    assert record.environment["step"].startswith("not compiled: ")
    assert "no-such-compiler" in record.environment["step"]
