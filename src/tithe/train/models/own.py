"""`module.path:factory`: a network that the user's own code makes."""

import contextlib
import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from tithe.errors import UsageError
from tithe.train.models.parts import Shape


def from_name(name: str, input_shape: Shape, classes: int) -> nn.Module:
    """Import the module (the current directory comes first), call the factory, try the model on two examples.

    The factory is called with those of `input_shape` and `classes` that its signature names, so factory() and
    factory(input_shape, classes) both work. The trial runs in evaluation mode without gradients, and it gives
    lazy layers their shapes. Raises UsageError, with the user's own exception as its cause.
    """
    module_path, _, factory_name = name.partition(":")
    if not (factory_name.isidentifier() and all(part.isidentifier() for part in module_path.split("."))):
        raise UsageError(f"model '{name}' is not of the form module.path:factory, such as my_nets:small_cnn.")
    with _current_directory_first():
        factory = _find(name, _import(name, module_path), factory_name)
        model = _call(name, factory, {"input_shape": input_shape, "classes": classes})
        _try_out(name, model, input_shape, classes)
    return model


@contextlib.contextmanager
def _current_directory_first() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the module may have been written a moment ago
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it out
            sys.path.remove(here)


def _import(name: str, module_path: str) -> ModuleType:
    try:
        return importlib.import_module(module_path)
    except (Exception, SystemExit) as error:
        raise UsageError(
            f"model {name}: importing {module_path} failed ({_said(error)}); the module must be installed "
            f"or lie in the current directory, {Path.cwd()}."
        ) from error


def _find(name: str, module: ModuleType, factory_name: str) -> Callable[..., Any]:
    factory = getattr(module, factory_name, None)
    if callable(factory):
        return factory
    near = difflib.get_close_matches(factory_name, [n for n in vars(module) if not n.startswith("_")], n=1)
    advice = f"did you mean {near[0]}?" if near else "name a function or class that returns the model."
    what = "has no" if factory is None else "has, but cannot call,"
    raise UsageError(f"model {name}: {module.__name__} {what} {factory_name}; {advice}")


def _call(name: str, factory: Callable[..., Any], offered: dict[str, Any]) -> nn.Module:
    try:
        model = factory(**_accepted(name, factory, offered))
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"model {name}: the factory failed ({_said(error)}); mend it and start again.") from error
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"model {name}: the factory returned a {type(model).__name__}, but it must return a torch.nn.Module."
        )
    return model


def _accepted(name: str, factory: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """Those of the offered arguments that the signature has room for."""
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # some builtins do not tell
        return {}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return offered
    needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    missing = [p.name for p in needed if p.name not in offered]
    if missing:
        raise UsageError(
            f"model {name}: the factory asks for {', '.join(missing)}, but it gets only input_shape and "
            "classes; give the others a default."
        )
    positional = [p.name for p in needed if p.kind is p.POSITIONAL_ONLY]
    if positional:
        raise UsageError(
            f"model {name}: the factory asks for {', '.join(positional)} by position, but it is called "
            "by keyword; take the / out of its signature."
        )
    return {p.name: offered[p.name] for p in parameters if p.name in offered and p.kind is not p.POSITIONAL_ONLY}


def _try_out(name: str, model: nn.Module, input_shape: Shape, classes: int) -> None:
    batch = torch.zeros(2, *input_shape)
    try:
        with _evaluating(model), torch.no_grad():
            answer = model(batch)
    except Exception as error:
        raise UsageError(
            f"model {name} failed on a batch of shape {list(batch.shape)} ({_said(error)}); "
            "it must take this data's examples."
        ) from error
    if not isinstance(answer, torch.Tensor) or answer.shape != (2, classes):
        given = list(answer.shape) if isinstance(answer, torch.Tensor) else f"a {type(answer).__name__}"
        raise UsageError(
            f"model {name} answers a batch of shape {list(batch.shape)} with {given}, but {classes} classes "
            f"need [2, {classes}]: one score a class."
        )


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards every module is as it was, also those that the user froze."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _said(error: BaseException) -> str:
    """The exception's type and first line, for use in a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
