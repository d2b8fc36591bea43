"""What sessions show: the panels' numbers are those of the evaluation, and looking changes nothing."""

import numpy as np
import pytest
import torch

import tasks
from tasks.gallery import Confusion, Picture, Scatter, in_rows
from tasks.memory import MemorySession

SUPERVISED = ["digits", "wine", "gradnorm_toy"]


def opened(name: str, steps: int = 30) -> MemorySession:
    session = tasks.problem(name).open(seed=0, batch_size=64)
    assert isinstance(session, MemorySession)
    optimizer = torch.optim.Adam(session.model.parameters(), lr=1e-2)
    for step in range(steps):
        losses, _ = session.losses(session.batch(step))
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return session


@pytest.mark.parametrize("name", SUPERVISED)
@pytest.mark.parametrize("split", ["validation", "test"])
def test_panels_agree_with_the_metrics(name: str, split: tasks.Split) -> None:
    session, card = opened(name), tasks.problem(name).card
    metrics = session.evaluate(split).metrics
    panels = session.gallery(split, examples=3)[-1]
    assert [panel.title for panel in panels] == [task.name for task in card.tasks]
    for task, panel in zip(card.tasks, panels, strict=True):
        if task.kind == "classification":
            assert isinstance(panel, Confusion)
            assert panel.counts.trace() / panel.counts.sum() == pytest.approx(metrics[f"{task.name}/accuracy"])
        else:
            assert isinstance(panel, Scatter)
            error = np.mean((panel.prediction - panel.target) ** 2, dtype=np.float64)
            known = metrics.get(f"{task.name}/mse")
            assert error == pytest.approx(metrics[f"{task.name}/rmse"] ** 2 if known is None else known, rel=1e-4)


def test_rows_of_a_confusion_are_true_classes() -> None:
    session = opened("wine")
    ((panel, *_),) = session.gallery("test", examples=0)
    assert isinstance(panel, Confusion)
    cultivars = np.concatenate([rows[1].numpy() for rows in _rows(session)])
    assert panel.counts.sum(1).tolist() == np.bincount(cultivars).tolist()
    assert panel.counts.dtype == np.int64


def _rows(session: MemorySession) -> list[tuple[torch.Tensor, ...]]:
    seen: list[tuple[torch.Tensor, ...]] = []
    session.visit("test", lambda outputs, rows: seen.append(rows))
    return seen


def test_images_are_shown_as_they_were() -> None:
    from sklearn.datasets import load_digits

    session = opened("digits", steps=0)
    pictures, _ = session.gallery("test", examples=4)
    assert len(pictures) == 4
    stored = load_digits().images / 16
    for panel in pictures:
        assert isinstance(panel, Picture)
        assert panel.colours == "grey"
        assert np.abs(stored - panel.pixels).max(axis=(1, 2)).min() < 1e-6
        assert [line.split()[0] for line in panel.title.split("\n")] == ["identity", "ink", "slant"]


def test_levels_of_grey_are_shown_between_black_and_white() -> None:
    session = opened("multidigits", steps=0)
    stored = session.problem.arrays(tasks.Locations()).inputs / 16
    for panel in session.gallery("test", examples=4)[0]:
        assert isinstance(panel, Picture)
        assert np.abs(stored[:, 0] - panel.pixels).max(axis=(1, 2)).min() < 1e-6


def test_rows_are_even() -> None:
    panels = [Picture(str(i), np.zeros((1, 1))) for i in range(40)]
    for count, lengths in ((0, []), (3, [3]), (8, [8]), (10, [5, 5]), (11, [6, 5]), (40, [8] * 5)):
        rows = in_rows(list(panels[:count]))
        assert [len(row) for row in rows] == lengths
        assert [panel for row in rows for panel in row] == panels[:count]


@pytest.mark.parametrize("name", SUPERVISED)
def test_looking_changes_nothing(name: str) -> None:
    session = opened(name, steps=2)
    session.model.train()
    weights = [tensor.clone() for tensor in session.model.state_dict().values()]
    random, before = torch.get_rng_state(), session.evaluate("test")
    session.gallery("validation", examples=2)
    assert session.model.training
    assert all(map(torch.equal, weights, session.model.state_dict().values()))
    assert torch.equal(random, torch.get_rng_state())
    assert session.evaluate("test") == before


def test_visiting_the_first_rows_is_the_beginning_of_visiting_all(monkeypatch: pytest.MonkeyPatch) -> None:
    session = opened("wine", steps=0)
    everything = torch.cat([rows[0] for rows in _rows(session)])
    monkeypatch.setattr(session, "chunk", 7)
    for first, expected in ((0, 0), (5, 5), (7, 7), (20, 20), (10_000, len(everything))):
        seen: list[torch.Tensor] = []
        session.visit("test", lambda outputs, rows, seen=seen: seen.append(rows[0]), first)
        assert sum(map(len, seen)) == expected
        assert torch.equal(torch.cat(seen) if seen else everything[:0], everything[:expected])
