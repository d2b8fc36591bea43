"""A step as two compiled graphs: what the methods look at, and what follows from what they decide.

Tracing gives one graph of plain tensor operations. It is cut where the decision comes in, so that nothing is computed twice: what the
second half needs of the first is handed over, as autograd hands activations to a backward pass.
"""

from __future__ import annotations

import json
import operator
import warnings
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
import torch._inductor.config
from torch import Tensor, fx
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.runtime.cache_dir_utils import cache_dir
from torch.fx.experimental.proxy_tensor import make_fx

_VIEWS = frozenset(
    {
        operator.getitem,
        torch.ops.aten.detach.default,
        torch.ops.aten.expand.default,
        torch.ops.aten.permute.default,
        torch.ops.aten.select.int,
        torch.ops.aten.slice.Tensor,
        torch.ops.aten.split.Tensor,
        torch.ops.aten.split_with_sizes.default,
        torch.ops.aten.squeeze.dim,
        torch.ops.aten.t.default,
        torch.ops.aten.transpose.int,
        torch.ops.aten.unsqueeze.default,
        torch.ops.aten.view.default,
        torch.ops.aten._unsafe_view.default,
    }
)
"""What costs nothing to take again: handing a view over instead would make a graph return its own argument."""


class Halves:
    """A traced step, cut.

    Attributes:
        early, late: the two halves; the first returns what is seen, then what it hands over.
        seen: how many outputs of the first are seen.
        size: operations of both.
        early_places, late_places: which arguments of the whole each of them takes; the second then takes what is handed over.
    """

    def __init__(self, whole: fx.GraphModule, after: range) -> None:
        arguments = [node for node in whole.graph.nodes if node.op == "placeholder"]
        (output,) = (node for node in whole.graph.nodes if node.op == "output")
        late = {arguments[index] for index in after}
        for node in whole.graph.nodes:
            if node.op not in ("placeholder", "output") and any(each in late for each in node.all_input_nodes):
                late.add(node)
        seen: Sequence[fx.Node] = output.args[0]
        if any(node in late for node in seen):
            raise ValueError("what the methods look at depends on what they decide")
        self.seen = len(seen)
        self.late_places, second, handed = _second(whole, arguments, late)
        first = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        self.early_places = [index for index, node in enumerate(arguments) if node not in late]
        for node in whole.graph.nodes:
            if node not in late and node.op != "output":
                copies[node] = first.node_copy(node, copies.__getitem__)
        first.output(tuple(copies[node] for node in (*seen, *handed)))
        first.eliminate_dead_code()
        self.early: Callable[..., Any] = fx.GraphModule(whole, first)
        self.late: Callable[..., Any] = fx.GraphModule(whole, second)
        self.size = len(first.nodes) + len(second.nodes)


def _second(whole: fx.GraphModule, arguments: list[fx.Node], late: set[fx.Node]) -> tuple[list[int], fx.Graph, list[fx.Node]]:
    """The graph of the late nodes: which arguments of the whole it takes, the graph, and what else is handed to it, in order."""
    needed: set[fx.Node] = set()  # early nodes that are taken again, or come in
    todo = [each for node in late for each in node.all_input_nodes]
    while todo:
        node = todo.pop()
        if node not in late and node not in needed:
            needed.add(node)
            if node.target in _VIEWS:
                todo += node.all_input_nodes
    handed = [n for n in whole.graph.nodes if n in needed and n.op == "call_function" and n.target not in _VIEWS]
    places = [index for index, node in enumerate(arguments) if node in late or node in needed]
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {arguments[index]: graph.placeholder(arguments[index].name) for index in places}
    copies |= {node: graph.placeholder(node.name) for node in handed}
    for node in whole.graph.nodes:
        if node not in copies and (node in late or node in needed):
            copies[node] = graph.node_copy(node, copies.__getitem__)
    graph.output(())
    return places, graph, handed


def trace(step: Callable[..., Any], arguments: Sequence[Tensor], after: range) -> Halves:
    """The halves of a step; the arguments ``after`` are those that come after the cut. Nothing is computed."""
    with torch.enable_grad():
        whole: fx.GraphModule = make_fx(step, tracing_mode="fake")(*arguments)
    whole.graph.eliminate_dead_code()
    whole.recompile()
    return Halves(whole, after)


def _no_guards(guards: Sequence[object]) -> list[bool]:
    """What a compiled half depends on is in its key already; looking at every argument at every call takes a twentieth of a step."""
    return [False] * len(guards)


OPTIONS: dict[str, Any] = {"guard_filter_fn": _no_guards}


@dataclass
class Compiled:
    """A step that runs: :meth:`look` for what the methods see, :meth:`act` with what they decided, in turn.

    Attributes:
        seconds: what tracing and compiling took.
        trouble: why the step is not compiled, in one line; empty where it is.
    """

    halves: Halves
    early: Callable[..., Sequence[Tensor]]
    late: Callable[..., Any]
    seconds: float = 0.0
    trouble: str = ""

    def look(self, arguments: Sequence[Tensor]) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """What the methods see, and what :meth:`act` is to be handed; of the arguments, the late ones are not read."""
        found = self.early(*(arguments[place] for place in self.halves.early_places))
        return found[: self.halves.seen], found[self.halves.seen :]

    def act(self, arguments: Sequence[Tensor], handed: Sequence[Tensor]) -> None:
        self.late(*(arguments[place] for place in self.halves.late_places), *handed)


_KNOWN: dict[Hashable, Compiled] = {}


def compiled(key: Hashable, step: Callable[..., Any], arguments: Sequence[Tensor], after: range) -> tuple[Compiled, bool]:
    """The step, traced and compiled for arguments of these shapes, and whether that was done now: a process does it once a key.

    Where nothing can be compiled (no C++ compiler), the traced operations are run one by one.
    """
    full = _full(key, arguments)
    if full in _KNOWN:
        return _KNOWN[full], False
    start = perf_counter()
    halves = trace(step, arguments, after)
    early, late = (torch.compile(half, fullgraph=True, dynamic=False, options=OPTIONS) for half in (halves.early, halves.late))
    found = Compiled(halves, early, late)
    # The pool of compilers would be a process tree of its own beside every worker.
    torch._inductor.config.compile_threads = 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch about itself: what compiles imports what it deprecates
            _try(found, arguments)
    except BackendCompilerFailed as error:
        found = Compiled(halves, halves.early, halves.late, trouble=" ".join(str(error.inner_exception).split())[:200])
    found.seconds = perf_counter() - start
    _KNOWN[full] = found
    if not found.trouble:
        _remember(full, found.seconds)
    return found, True


def traced(step: Callable[..., Any], arguments: Sequence[Tensor], after: range) -> Compiled:
    """The step, its operations run one by one."""
    halves = trace(step, arguments, after)
    return Compiled(halves, halves.early, halves.late)


def _try(found: Compiled, arguments: Sequence[Tensor]) -> None:
    """Both halves once, on copies: what compiles, compiles now."""
    copies = [tensor.clone() for tensor in arguments]
    _, handed = found.look(copies)
    found.act(copies, handed)


def expected_seconds(key: Hashable, arguments: Sequence[Tensor], size: int) -> float:
    """What :func:`compiled` will take with a step of so many operations: little where torch's cache has it, else a long estimate."""
    if repr(_full(key, arguments)) in _remembered():
        return WARM
    return COLD + size * EACH


WARM, COLD, EACH = 4.0, 8.0, 0.03
"""Seconds of loading both halves from torch's cache, of compiling them without their operations, and for each of those."""


def _full(key: Hashable, arguments: Sequence[Tensor]) -> Hashable:
    return key, str(torch.__version__), tuple((tuple(tensor.shape), tensor.dtype, tensor.device.type) for tensor in arguments)


def _file() -> Path:
    """Beside what it tells of: a cache that is emptied is forgotten here as well."""
    return Path(cache_dir()) / "lossbench.jsonl"


def _remember(full: Hashable, seconds: float) -> None:
    """Appends a line, at once: workers write side by side. A cache that cannot be written is none of a trial's business."""
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with _file().open("a") as file:
            file.write(json.dumps({"step": repr(full), "seconds": round(seconds, 2)}) + "\n")


def _remembered() -> set[str]:
    found = set()
    with suppress(OSError, ValueError, KeyError):
        for line in _file().read_text().splitlines():
            found.add(str(json.loads(line)["step"]))
    return found
