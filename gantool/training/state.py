"""What a training consists of beside its settings: nets, their averages, optimisers, pools."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantool.errors import DivergedError, InputError, WeightsError
from gantool.loading import read_state
from gantool.media.files import atomic
from gantool.training.run import ANEW, Run

_MAY_LACK = {"health", "scaler"}  # of runs that began before it was kept, or in another precision than fp16

_STRIDE = 4  # steps between two looks at the net, once
_EARLY = 16  # steps are over, for a decay of at least
_SLOW = 0.99


class Ema:
    """Exponential moving average of a net's parameters; its buffers are copied.

    The decay rises to its full value over the first steps, so that the start does not linger. Averages are
    what a generative net is sampled and exported with (Yazici et al. 2019, 1806.04498). A slow average takes
    every fourth step only, with the decay of four: passing over all weights costs 5 % of a large net's step.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {k: v.detach().clone() for k, v in net.state_dict().items()}
        self._buffers = {name for name, _ in net.named_buffers()}

    @torch.no_grad()
    def update(self, net: nn.Module, step: int) -> None:
        """Move towards the net as it is after ``step`` (counted from 0); to be called at every step."""
        steps = _STRIDE if self.decay >= _SLOW and step >= _EARLY else 1
        if (step + 1) % steps:
            return
        decay = math.prod(min(self.decay, (1 + s) / (10 + s)) for s in range(step + 1 - steps, step + 1))
        mine, theirs = [], []
        for name, value in net.state_dict().items():
            if name in self._buffers:
                self.state[name].copy_(value)
            else:
                mine.append(self.state[name])
                theirs.append(value.detach())
        torch._foreach_lerp_(mine, theirs, 1 - decay)

    @contextmanager
    def applied(self, net: nn.Module) -> Iterator[nn.Module]:
        """The net in eval mode with the averaged weights; its own come back afterwards."""
        own = {k: v.detach().clone() for k, v in net.state_dict().items()}
        training = net.training
        net.load_state_dict(self.state)
        net.eval()
        try:
            yield net
        finally:
            net.load_state_dict(own)
            net.train(training)

    def to(self, device: torch.device) -> None:
        """Keep the averages where the net is."""
        self.state = {k: v.to(device) for k, v in self.state.items()}

    def state_dict(self) -> dict[str, Tensor]:
        return self.state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        for key, value in state.items():
            self.state[key].copy_(value)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed all that draws random numbers for one step of one process.

    Done before every step, so that dropout, noise and penalties too depend on seed, step and process only:
    a resumed run draws what an unbroken one would, and there is no random state to save.
    """
    words = np.random.SeedSequence([seed, 5, step, rank]).generate_state(2)
    torch.manual_seed(int(words[0]))
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))  # noqa: NPY002 - the global one, for libraries that use it


def save_last(run: Run, step: int, parts: dict[str, Any]) -> None:
    """Write ``last.ckpt`` whole or not at all; every part has ``state_dict``.

    Raises:
        DivergedError: a part holds values that are not numbers; the file before stays.
    """
    state: dict[str, Any] = {"step": step}
    for name, part in parts.items():
        state[name] = part.state_dict()
        if not _finite(state[name]):
            raise DivergedError(f"{name} has values that are not numbers", run.folder, remedy(run))
    with atomic(run.last, overwrite=True) as temporary:
        _write(state, temporary)


def _write(state: dict[str, Any], path: Path) -> None:
    """torch.save, with the system's OSError where its own error tells of positions in a file."""
    try:
        with path.open("wb") as file:
            torch.save(state, file)
    except RuntimeError as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__context__
        raise (cause or error) from None


def load_last(run: Run, parts: dict[str, Any]) -> int:
    """Restore what :func:`save_last` wrote; returns the number of steps done.

    Raises:
        InputError: the file is damaged, or of another net.
    """
    try:
        state = torch.load(run.last, map_location="cpu", weights_only=True)
        done = int(state["step"])
    except (RuntimeError, LookupError, ValueError, TypeError, EOFError, OSError, UnpicklingError) as error:
        raise InputError("the saved state is damaged or cut off", run.last, ANEW) from error
    try:
        for name, part in parts.items():
            if name in state or name not in _MAY_LACK:
                part.load_state_dict(state[name])
                _in_order(part)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise InputError("the saved state is of another net or of other settings", run.last, ANEW) from error
    return done


def _in_order(part: Any) -> None:
    """Bring an optimiser's momenta into the memory order of their parameters.

    A run that goes on on another device has them in another; PyTorch's fused Adam (2.15, on CPUs) then pairs
    the wrong values without a word.
    """
    optimizer = getattr(part, "optimizer", part)
    if not isinstance(optimizer, torch.optim.Optimizer):
        return
    for parameter, kept in optimizer.state.items():
        for name, value in kept.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                kept[name] = torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def start_from(net: nn.Module, path: str | Path, rename: Any = None) -> str:
    """Take from a model file, or a run's, every tensor that fits by name and shape; says how many did.

    ``rename`` may change the file's state dict before. Raises WeightsError if none fits.
    """
    path = Path(path) / "model.safetensors" if Path(path).is_dir() else Path(path)
    state, _ = read_state(path)
    if rename is not None:
        state = rename(state)
    own = net.state_dict()
    fitting = {k: v.to(own[k].dtype) for k, v in state.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        what = f"none of the {len(own)} tensors of this net is in the file"
        raise WeightsError(what, path, "Give --set init= a model of the same kind")
    own.update(fitting)
    net.load_state_dict(own)
    return f"{len(fitting)} of {len(own)} tensors taken from {path}"


def remedy(run: Run) -> str:
    """What to do about a training that diverged."""
    advice = "Use a lower --set lr=... or --precision fp32"
    return f"last.ckpt holds the last good state. {advice}" if run.last.is_file() else advice


def _finite(state: Any) -> bool:
    """Whether all tensors inside are finite."""
    if isinstance(state, Tensor):
        return not state.is_floating_point() or bool(torch.isfinite(state.sum(dtype=torch.float64)))
    if isinstance(state, dict):
        return all(_finite(value) for value in state.values())
    if isinstance(state, list | tuple):
        return all(_finite(value) for value in state)
    return True
