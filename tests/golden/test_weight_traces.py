"""The weights of every method over a fixed run (or its updates, where it has no weights): a change of any is a new version of the method.

Add what is missing with ``python -m tests.golden.test_weight_traces``; an entry that is to change is taken out of the file first.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import methods
from tests import linear
from tests.inputs import gaussian

FILE = Path(__file__).with_name("weight_traces.json")
STEPS = (0, 1, 2, 10, 30)
FACTS = {
    "initial_losses": [5.0, 0.7, 40.0],
    "prior_losses": [0.9, 2.0, 11.0],
    "kinds": ["classification", "regression", "regression"],
}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mgda frank_wolfe": ("mgda", {"solver": "frank_wolfe"}),
    "mgda l2": ("mgda", {"normalize": "l2"}),
    "mgda loss+": ("mgda", {"normalize": "loss+"}),
    "fixed by hand": ("fixed", {"weights": "1/20/3"}),
    "grad_normalize unit": ("grad_normalize", {"kappa": "unit"}),
    "gradnorm theory": ("gradnorm", {"initial": "theory"}),
    "rlw dirichlet": ("rlw", {"distribution": "dirichlet"}),
    "aligned_mtl median": ("aligned_mtl", {"sigma": "median"}),
    "aligned_mtl rmse": ("aligned_mtl", {"sigma": "rmse"}),
    "cagrad squared": ("cagrad", {"c": 0.9, "rescale": "squared"}),
    "cr_mogm pcgrad": ("cr_mogm", {"base": "pcgrad"}),
    "db_mtl without average": ("db_mtl", {"beta": 0.0}),
    "fairgrad half": ("fairgrad", {"alpha": 0.5}),
    "krum two": ("krum", {"selected": 2}),
    "nash_mtl clipped": ("nash_mtl", {"max_norm": 1.0}),
    "uncertainty half": ("uncertainty", {"coefficient": "half"}),
    "dwa short": ("dwa", {"window": 3}),
    "igb_v1 short": ("igb_v1", {"window": 3}),
    "stch short": ("stch", {"window": 2, "warmup": 1, "mu": 0.2}),
    "stch raw": ("stch", {"form": "raw", "preference": [1, 2, 3]}),
    "ldc_mtl theory": ("ldc_mtl", {"initial": "theory"}),
    "tchebycheff preferring": ("tchebycheff", {"preference": [1, 200, 1]}),
    "pnorm preferring": ("pnorm", {"preference": [1, 20, 1]}),
    "pbi preferring": ("pbi", {"preference": [1, 20, 1]}),
    "cosmos preferring": ("cosmos", {"preference": [1, 20, 1]}),
    "sdmgrad official": ("sdmgrad", {"inner": "official"}),
    "auto_lambda one primary": ("auto_lambda", {"primary": 1, "lr": 0.01}),
    "moml quick": ("moml", {"lr": 0.1}),
    "forum short": ("forum", {"window": 2, "lr": 0.1, "inner_lr": 0.001}),
}
ALL = {**{name: (name, {}) for name in methods.names()}, **VARIANTS}


def trace(entrant: str) -> dict[str, list[float]]:
    """Weights ``[T]`` (the direction ``[P]`` where there are none) at the chosen steps, while losses fall and gradients turn."""
    name, options = ALL[entrant]
    balancer = linear.create(name, 3, seed=1, **FACTS, **options)
    found = {}
    for step in range(max(STEPS) + 1):
        jacobian = gaussian(3, 4, seed=step) * torch.tensor([[1.0], [2.0], [0.5]])
        values = torch.tensor([4.0, 0.3, 60.0], dtype=torch.float64) * 0.97 ** (step * torch.arange(3))
        update, weights = linear.step(balancer, jacobian, values)
        if step in STEPS:
            found[str(step)] = (update if weights is None else weights).tolist()
    return found


def write() -> None:
    known = json.loads(FILE.read_text())
    traces = {entrant: known.get(entrant) or trace(entrant) for entrant in sorted(ALL)}
    lines = [f"  {json.dumps(entrant)}: {json.dumps(found)}" for entrant, found in traces.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def test_the_file_holds_every_method() -> None:
    assert set(json.loads(FILE.read_text())) == set(ALL)


@pytest.mark.parametrize("entrant", ALL)
def test_weights_are_as_they_were(entrant: str) -> None:
    expected = json.loads(FILE.read_text())[entrant]
    actual = trace(entrant)
    assert list(actual) == list(expected)
    for step, weights in expected.items():
        assert actual[step] == pytest.approx(weights, rel=1e-6, abs=1e-12), f"step {step}"


if __name__ == "__main__":
    write()
