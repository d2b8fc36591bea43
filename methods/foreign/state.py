"""What a foreign object remembers from one step to the next, saved without pickle.

A module's parameters and buffers are in ``state_dict`` anyway. Much code keeps counters and running tensors in plain attributes beside
them, and creates its buffers at the first step: both are saved here. A part that keeps anything else is left out as a whole, aloud: half
of what it remembers would be worse than nothing.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, dict[str, Any]]
"""Attributes by the path of the submodule that has them, ``""`` for the object itself."""

_PLAIN = (bool, int, float, str, torch.dtype, torch.device, Tensor)
_MODULE = frozenset(vars(nn.Module()))


def parts(thing: Any) -> Iterator[tuple[str, Any]]:
    """The object and its submodules, by path; nothing for an object without attributes."""
    if isinstance(thing, nn.Module):
        yield from thing.named_modules()
    elif hasattr(thing, "__dict__"):
        yield "", thing


def attributes(part: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(part).items() if not (isinstance(part, nn.Module) and name in _MODULE)}


def plain(value: Any) -> bool:
    """Whether a value can be written and read back without running code."""
    if type(value) is dict:
        return all(map(plain, [*value, *value.values()]))
    return all(map(plain, value)) if type(value) in (list, tuple) else value is None or type(value) in _PLAIN


def copied(value: Any) -> Any:
    """A copy of plain data; tensors without their graph."""
    if type(value) is dict:
        return {key: copied(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    return value.detach().clone() if isinstance(value, Tensor) else value


def save(thing: Any, without: Container[str] = ()) -> State:
    """The plain attributes of an object and its submodules, but for the parts at the paths ``without``."""
    return {
        path: {name: copied(value) for name, value in attributes(part).items() if plain(value)}
        for path, part in parts(thing)
        if path not in without
    }


def restore(thing: Any, state: State) -> None:
    """Sets what :func:`save` found, around properties and their setters."""
    for path, part in parts(thing):
        vars(part).update(copied(state.get(path, {})))


def others(thing: Any) -> dict[tuple[str, str], Any]:
    """What :func:`save` leaves out, by path and name."""
    return {(path, name): value for path, part in parts(thing) for name, value in attributes(part).items() if not plain(value)}


def fit_buffers(module: nn.Module, state: dict[str, Any], prefix: str) -> None:
    """Gives buffers that are created at the first step, or sized by it, the shape that they have in a state dict about to be loaded."""
    for path, part in module.named_modules():
        for name, buffer in list(part._buffers.items()):
            saved = state.get(prefix + ".".join(filter(None, [path, name])))
            if name in part._non_persistent_buffers_set or (saved is None and buffer is None):
                continue
            if saved is None or buffer is None or saved.shape != buffer.shape or saved.dtype != buffer.dtype:
                part._buffers[name] = None if saved is None else torch.empty_like(saved)
