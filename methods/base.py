"""What all methods share: how they are built, what they accept as losses, priorities, scale, state, events."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from methods import graph, jacobian
from methods.card import Card
from methods.errors import MethodError, suggestion

Losses = Sequence[Tensor] | Mapping[str, Tensor] | Tensor
Evaluate = Callable[[int], Losses]
KINDS = ("classification", "regression", "objective")
PATHS = ("auto", "rows", "layers")
RESERVED = ("name", "seed", "kinds", "initial_losses", "prior_losses", "preference")
"""Arguments of ``methods.create`` that are no attributes."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a method may know of its tasks beyond their losses; each ``[T]`` or unknown.

    ``preference`` is no property of the tasks but the trade-off that is wanted between them: > 0, sum 1, equal unless given.
    """

    kinds: tuple[str, ...] | None = None
    initial_losses: tuple[float, ...] | None = None
    prior_losses: tuple[float, ...] | None = None
    preference: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a backward pass saw and decided: losses ``[T]`` and weights ``[T]`` (scale and priority included), both detached.

    ``weights`` is None for a method whose update is no weighted sum of the task gradients. ``gramian`` is G ``[T, T]`` of the task
    gradients without their priorities, float64 on the host, where the method had to look at it (:class:`methods.GramianMethod`); else None.
    """

    losses: Tensor
    weights: Tensor | None
    gramian: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Given:
    """What a backward pass was given beside the losses.

    ``stacked`` is the tensor that they are the elements of, where they came as one; ``scaler`` the current scale of a GradScaler, 1 without
    one. ``evaluate(k, trained)`` gives the T losses of batch k with the model as it now is; only a method with ``extra_batches`` has it.
    """

    stacked: Tensor | None
    shared: nn.Module | Iterable[nn.Parameter] | None
    representation: Tensor | None
    last_layer: nn.Module | Iterable[nn.Parameter] | None
    scaler: float
    evaluate: Callable[[int, bool], list[Tensor]] | None = None


class Method(nn.Module, ABC):
    """A way of turning T losses into one update.

    State lives in buffers and parameters, so ``state_dict`` round-trips in the middle of a run. Parameters that a method learns (a
    log-variance) are stepped by the method itself: nothing has to be added to the user's optimizer.

    Attributes:
        card: what the method is and promises.
        priority: ``[T]``, mean 1; multiplies the weights that the method finds ("additional weights on top").
        backward_passes: passes through the shared trunk so far.
        reforward: whether the method learns from the losses of the same batch after the model's step; :meth:`after_step` must then
            follow every backward pass.
        from_gramian: whether the weights come from the Gramian of the task gradients, so that ``every`` and ``path`` mean something.
        extra_batches: how many further batches of the training data, drawn independently, the method needs at every step;
            :meth:`backward` must then be given ``evaluate``.
    """

    card: ClassVar[Card]
    reforward: ClassVar[bool] = False
    from_gramian: ClassVar[bool] = False
    extra_batches: ClassVar[int] = 0

    def __init__(
        self,
        num_tasks: int,
        *,
        priority: Sequence[float] | None = None,
        scale: str = "native",
        seed: int = 0,
        kinds: Sequence[str] | None = None,
        initial_losses: Sequence[float] | None = None,
        prior_losses: Sequence[float] | None = None,
        preference: Sequence[float] | None = None,
        every: int = 1,
        path: str = "auto",
        **hyperparameters: Any,
    ) -> None:
        super().__init__()
        name = self.card.name
        if isinstance(num_tasks, bool) or not isinstance(num_tasks, int) or num_tasks < 1:
            raise MethodError(f"{name}: num_tasks is {num_tasks!r}; expected a whole number of 1 or more")
        self.card.check_scale(scale)
        if path not in PATHS:
            raise MethodError(f"{name}: path is {path!r}; expected one of {', '.join(PATHS)}{suggestion(path, PATHS)}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise MethodError(f"{name}: every is {every!r}; expected a whole number of 1 or more")
        if not self.from_gramian and (every, path) != (1, "auto"):
            raise MethodError(f"{name}: every and path are for methods that solve for weights from the Gramian, which {name} does not")
        self.num_tasks = num_tasks
        self.scale = scale
        self.every = every
        self.path = path
        self.priority = _priority(priority, num_tasks, name)
        self.facts = Facts(
            kinds=_per_task(kinds, num_tasks, f"{name}: kinds"),
            initial_losses=_per_task(initial_losses, num_tasks, f"{name}: initial_losses"),
            prior_losses=_per_task(prior_losses, num_tasks, f"{name}: prior_losses"),
            preference=_preference(preference, num_tasks, name),
        )
        for kind in self.facts.kinds or ():
            if kind not in KINDS:
                raise MethodError(f"{name}: kinds has {kind!r}; expected one of {', '.join(KINDS)}{suggestion(str(kind), KINDS)}")
        for fact in self.card.needs:
            if getattr(self.facts, fact) is None:
                raise MethodError(f"{name} needs {fact}: methods.create({name!r}, {num_tasks}, {fact}=[...])")
        self.generator = torch.Generator().manual_seed(seed)
        self.backward_passes = 0
        self._names: tuple[str, ...] | None = None
        self._counts: Counter[str] = Counter()
        self._paths: Counter[str] = Counter()
        self._device_counts: dict[str, Tensor] = {}
        self._rows: dict[str, jacobian.Rows] = {}
        self._awaits = False
        for key, value in self.card.resolve(hyperparameters).items():
            if key in RESERVED or key in vars(self) or any(hasattr(base, key) for base in type(self).__bases__):
                raise MethodError(f"{name}: hyperparameter {key!r} would hide an attribute or argument that every method has: rename it")
            setattr(self, key, value)
        self.setup()

    def setup(self) -> None:
        """Registers the method's buffers and parameters; called once, when the hyperparameters are set."""

    def backward(
        self,
        losses: Losses,
        *,
        shared: nn.Module | Iterable[nn.Parameter] | None = None,
        representation: Tensor | None = None,
        last_layer: nn.Module | Iterable[nn.Parameter] | None = None,
        grad_scaler: Any = None,
        evaluate: Evaluate | None = None,
    ) -> Step:
        """Adds this step's update to the ``.grad`` of every parameter that the losses reach. Call it in place of ``loss.backward()``.

        A gradient method walks the trunk once a task, so hooks on gradients of shared parameters fire up to T times a step. Where it goes
        layer by layer (``path``), hooks on activations inside the trunk do not see single gradients: ``path="rows"`` is for them.

        Args:
            losses: T scalars, as a sequence or a dict. A dict's order is fixed by the first call.
            shared: the parameters that the tasks share (the trunk). Gradient methods need them; every other parameter is a head.
            representation: the trunk's output, that the heads read. Only methods that work on it need it.
            last_layer: GradNorm's W; by default the last matrix among ``shared`` and what follows it.
            grad_scaler: a ``torch.amp.GradScaler`` in use; losses are given unscaled, gradients come out scaled.
            evaluate: for a method with ``extra_batches``: ``evaluate(k)`` computes the T losses, in the form of ``losses``, with the model
                as it is when called, for which the method may have moved its parameters (they are put back). k = 0 is the batch of
                ``losses`` again, k = 1 to ``extra_batches`` the further ones. BatchNorm's statistics and dropout's masks are the caller's
                (``benchmark/train.py`` shows how they are kept). Other methods ignore it.

        Raises:
            MethodError: not T scalar losses, or ``shared``/``representation``/``evaluate`` missing where the method needs it.
        """
        scalars = self._scalars(losses)
        device = scalars[0].device
        again = self._evaluation(evaluate, device) if self.extra_batches else None
        with jacobian.plain_mode(device):
            scaler = 1.0 if grad_scaler is None else float(grad_scaler.get_scale())
            stacked = losses if isinstance(losses, Tensor) else None
            return self._step(scalars, Given(stacked, shared, representation, last_layer, scaler, again))

    @abstractmethod
    def _step(self, losses: list[Tensor], given: Given) -> Step:
        """What a family makes of the T scalar losses, outside any autocast region and with gradients enabled."""

    @property
    def tasks(self) -> tuple[int, ...]:
        """Indices of the tasks that this method trains."""
        return tuple(range(self.num_tasks))

    @property
    def calibration_batches(self) -> int:
        """How many batches of losses of the untrained model :meth:`calibrate` wants before the first step; 0 for none."""
        return 0

    def calibrate(self, losses: Tensor, sizes: Sequence[int] | None = None) -> None:
        """Takes losses ``[k, T]`` of the untrained model (eval mode, no gradients) on k batches with these numbers of samples."""

    def after_step(self, losses: Losses) -> None:
        """Takes the losses ``[T]`` of the last batch again, after the model's step; needs no gradients. Only where ``reforward`` is set.

        The second forward pass is the caller's: under ``torch.no_grad()``, in train mode like the first, with BatchNorm's running
        statistics and the random state put back afterwards (``benchmark/train.py`` shows how).

        Raises:
            MethodError: not T scalar losses, or no backward pass came before.
        """

    @property
    def paths(self) -> dict[str, int]:
        """How the task gradients were taken, and in how many steps: ``rows`` of J, layer by layer, with weights held from before, ..."""
        return dict(sorted(self._paths.items()))

    @property
    def events(self) -> dict[str, int]:
        """What was counted: clamped losses, solver certificates that failed. Reading waits for the device."""
        total = self._counts + Counter({name: int(count.item()) for name, count in self._device_counts.items()})
        return {name: count for name, count in sorted(total.items()) if count}

    def _passed(self, times: int) -> None:
        """Counts backward passes, around ``nn.Module.__setattr__``: what that looks up costs as much as adding up the losses."""
        vars(self)["backward_passes"] += times

    def count(self, event: str, times: int | Tensor = 1) -> None:
        """Counts an event; a tensor is added up on its device, without waiting for it."""
        if isinstance(times, Tensor):
            self._device_counts[event] = self._device_counts[event] + times if event in self._device_counts else times.clone()
        else:
            self._counts[event] += times

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """State follows a model to another device, but into no narrower dtype: in float16 a step counter ends at 2,048."""

        def wide(tensor: Tensor) -> Tensor:
            moved: Tensor = fn(tensor)
            both = tensor.is_floating_point() and moved.is_floating_point()
            narrower = both and torch.finfo(moved.dtype).bits < torch.finfo(tensor.dtype).bits
            return tensor.to(moved.device) if narrower else moved

        super()._apply(wide, recurse)  # type: ignore[no-untyped-call]
        return self

    def get_extra_state(self) -> dict[str, Any]:
        return {"generator": self.generator.get_state(), "names": self._names, "awaits": self._awaits}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"].cpu())
        self._names = state["names"]
        self._awaits = state["awaits"]

    def extra_repr(self) -> str:
        return ", ".join([self.card.name, *(f"{h.name}={getattr(self, h.name)!r}" for h in self.card.hyperparameters)])

    # -- what the families share ---------------------------------------------------------------------------------------------------

    def _scalars(self, losses: Losses, trained: bool = True) -> list[Tensor]:
        """The T losses as 0-d tensors, in a fixed order; ``trained`` says that some must have a graph."""
        name, names = self.card.name, self._names
        if isinstance(losses, (list, tuple)):
            given: Sequence[Tensor] = losses
        elif isinstance(losses, Tensor):
            given = losses.unbind() if losses.dim() else [losses]
        elif isinstance(losses, Mapping):
            names = names or tuple(losses)
            if set(losses) != set(names):
                raise MethodError(f"{name}: losses are named {list(losses)}, but the first step named them {list(names)}")
            given = [losses[key] for key in names]
        elif isinstance(losses, Iterable):
            given = list(losses)
        else:
            raise MethodError(f"{name}: losses are {losses!r}; expected {self.num_tasks} separate scalar tensors")
        if len(given) != self.num_tasks:
            raise MethodError(f"{name} was built for {self.num_tasks} tasks, but got {len(given)} losses")
        usual = True
        for index, loss in enumerate(given):
            if type(loss) is Tensor and loss.dim() == 0 and loss.is_floating_point():
                continue  # the usual case, without what isinstance costs on a tensor
            usual = False
            if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
                what = f"a tensor of shape {tuple(loss.shape)} and {loss.dtype}" if isinstance(loss, Tensor) else f"{type(loss).__name__}"
                raise MethodError(f"{name}: loss {index} is {what}; expected a floating-point tensor with one element")
        if trained and not any(given[task].requires_grad for task in self.tasks):
            raise MethodError(f"{name}: no loss requires a gradient; expected losses of a model in training, outside torch.no_grad()")
        if names is not self._names:
            self._names = names
        return list(given) if usual else [loss.reshape(()) for loss in given]

    def _roots(self, losses: Sequence[Tensor], given: Given) -> list[graph.Root | None]:
        """Where each loss's backward pass starts; a stacked tensor of losses is split back to its parts where its graph allows."""
        if self.num_tasks == 1:
            return graph.roots_of(losses)
        try:
            return graph.roots_of(losses, given.stacked)
        except graph.Unsplit:
            slow = "one tensor of losses makes every backward pass walk all T heads: pass T separate scalars, or torch.stack() of them"
            warnings.warn(slow, stacklevel=4)
            return graph.roots_of(losses)

    def _evaluation(self, evaluate: Evaluate | None, device: torch.device) -> Callable[[int, bool], list[Tensor]]:
        """``evaluate`` in the autocast region that ``backward`` was called in, its losses checked; without a graph if none is wanted."""
        if evaluate is None:
            raise MethodError(
                f"{self.card.name} needs the losses of {self.extra_batches} more independent batch(es) at every step: "
                "backward(losses, ..., evaluate=lambda k: losses_of(model, batches[k])), where batches[0] is this step's"
            )
        mode, dtype = torch.is_autocast_enabled(device.type), torch.get_autocast_dtype(device.type)

        def losses(k: int, trained: bool) -> list[Tensor]:
            torch.clear_autocast_cache()  # casts of parameters that have been moved since
            with torch.autocast(device.type, dtype, mode), torch.set_grad_enabled(trained):
                found = evaluate(k)
            return self._scalars(found, trained)

        return losses

    def _stack(self, losses: Sequence[Tensor]) -> Tensor:
        """Losses ``[T]`` on one device, in float32 at least."""
        device = losses[0].device
        stacked = torch.stack([loss if loss.device == device else loss.to(device) for loss in losses])
        return stacked if stacked.dtype in (torch.float32, torch.float64) else stacked.float()

    def _values(self, losses: Sequence[Tensor]) -> Tensor:
        """Losses ``[T]`` on one device, in float32 at least, without their graph."""
        return self._stack(losses).detach()

    def _shared(self, shared: nn.Module | Iterable[nn.Parameter] | None, given: str = "shared") -> list[nn.Parameter]:
        if shared is None:
            raise MethodError(f"{self.card.name} needs the shared parameters: backward(losses, shared=trunk.parameters())")
        found = parameters_of(shared)
        if not found:
            raise MethodError(f"{self.card.name}: no parameter in {given} requires a gradient; expected the trunk's (a used-up generator?)")
        return found

    def _buffer(self, tensors: Sequence[Tensor], name: str = "", num_rows: int = 0) -> jacobian.Rows:
        """The Jacobian's buffer, of T rows unless said otherwise, kept from step to step; a method that needs several names them."""
        num_rows = num_rows or self.num_tasks
        if name not in self._rows or self._rows[name].key != jacobian.layout(tensors, num_rows):
            self._rows[name] = jacobian.Rows(tensors, num_rows)
        return self._rows[name]

    def _factor(self) -> float:
        """What brings the native scale to the one that was asked for; ``grad_norm`` needs gradients: :meth:`_norm_factor`."""
        if self.scale == "sum" and self.card.native_scale == "mean":
            return float(self.num_tasks)
        if self.scale == "mean" and self.card.native_scale == "sum":
            return 1.0 / self.num_tasks
        return 1.0

    def _norm_factor(self, gramian: Tensor, weights: Tensor, eps: float | None = None) -> float:
        """‖mean gradient‖ / ‖wᵀJ‖, in T x T space; 1 where wᵀJ vanishes to the rounding ``eps`` of the Gramian."""
        eps = torch.finfo(gramian.dtype).eps if eps is None else eps
        gramian, weights = gramian.double().cpu(), weights.double().cpu()
        uniform = torch.full_like(weights, 1.0 / len(weights))
        norm = float(weights @ gramian @ weights)
        rounding = eps * len(weights) * float(weights.abs() @ gramian.abs() @ weights.abs())
        return math.sqrt(max(float(uniform @ gramian @ uniform), 0.0) / norm) if norm > rounding else 1.0

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles leave the Jacobian's buffers behind: they are scratch."""
        return {**self.__dict__, "_rows": {}}


def parameters_of(source: nn.Module | Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The distinct parameters that require a gradient, in order.

    Raises:
        MethodError: something that is no leaf, as an activation: its gradient would never reach the parameters behind it.
    """
    given = list(dict.fromkeys(source.parameters() if isinstance(source, nn.Module) else source))
    for index, parameter in enumerate(given):
        if not isinstance(parameter, Tensor) or not parameter.is_leaf:
            what = "the output of a computation" if isinstance(parameter, Tensor) else type(parameter).__name__
            raise MethodError(f"entry {index} of the shared parameters is {what}; expected parameters, as in trunk.parameters()")
    return [p for p in given if p.requires_grad]


def _priority(priority: Sequence[float] | None, num_tasks: int, name: str) -> list[float] | None:
    if priority is None:
        return None
    numbers = isinstance(priority, Iterable) and all(hasattr(p, "__float__") for p in priority)
    given = [float(p) for p in priority] if numbers else []
    if len(given) != num_tasks or not all(math.isfinite(p) and p >= 0 for p in given) or not sum(given) > 0:
        raise MethodError(f"{name}: priority is {priority!r}; expected {num_tasks} numbers >= 0, not all zero")
    return [p * num_tasks / sum(given) for p in given]


def _preference(preference: Sequence[float] | None, num_tasks: int, name: str) -> tuple[float, ...]:
    if preference is None:
        return (1.0 / num_tasks,) * num_tasks
    numbers = isinstance(preference, Iterable) and all(hasattr(p, "__float__") for p in preference)
    given = [float(p) for p in preference] if numbers else []
    if len(given) != num_tasks or not all(0 < p < math.inf for p in given):
        raise MethodError(f"{name}: preference is {preference!r}; expected {num_tasks} numbers > 0")
    return tuple(p / sum(given) for p in given)


def _per_task(values: Sequence[Any] | None, num_tasks: int, what: str) -> tuple[Any, ...] | None:
    if values is None:
        return None
    if len(values) != num_tasks:
        raise MethodError(f"{what} has {len(values)} entries; expected one for each of the {num_tasks} tasks")
    return tuple(values)
