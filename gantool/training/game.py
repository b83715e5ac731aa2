"""The adversarial half of a recipe: which game is played, with which penalties, and how the critic stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantool import losses
from gantool.errors import UsageError
from gantool.settings import param

# The answer that parts real from generated; None where only differences of answers mean something.
_THRESHOLDS = {"vanilla": 0.0, "lsgan": 0.5, "hinge": 0.0, "wgan": None, "wgangp": None}


@dataclass
class GameConfig:
    """Parameters that every adversarial recipe has; they come first in its list."""

    gan: str = param("vanilla", "vanilla, lsgan, hinge, wgan (clipped weights) or wgangp")
    gp: float = param(10.0, "weight of wgangp's gradient penalty", low=0)
    r1: float = param(0.0, "gamma of the R1 penalty on real pictures; 0 = none", low=0)
    clip: float = param(0.01, "limit of the critic's weights in wgan", low=1e-6)
    spectral: bool = param(False, "spectral norm in the critic")


class Game:
    """The losses of a :class:`GameConfig`.

    Raises:
        UsageError: there is no such game.
    """

    def __init__(self, config: GameConfig) -> None:
        if config.gan not in _THRESHOLDS:
            raise UsageError(f"no game called '{config.gan}'", remedy=f"Known: {', '.join(_THRESHOLDS)}")
        self.config = config
        self._pair = losses.ADVERSARIAL["wgan" if config.gan == "wgangp" else config.gan]
        self._gp_norm: Tensor | None = None

    def prepare(self, critic: nn.Module) -> nn.Module:
        """The critic with spectral norm, if that was asked for."""
        return losses.spectral_norm(critic) if self.config.spectral else critic

    def critic(self, real: Tensor, fake: Tensor) -> Tensor:
        """The critic's loss for its answers to real and to generated pictures."""
        return self._pair.critic(real, fake)

    def generator(self, fake: Tensor) -> Tensor:
        """The generator's loss for the critic's answers."""
        return self._pair.generator(fake)

    def penalty(self, critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor | None:
        """Weighted gradient penalties, or None if the game has none.

        ``critic`` is the bare net, with its condition bound. The penalties are of first order in the
        pictures' gradients, so they are computed in float32.
        """
        total: Tensor | None = None
        if self.config.gan == "wgangp" and self.config.gp:
            norms = losses.gradient_norms(critic, real, fake)
            self._gp_norm = norms.detach().mean()
            total = self.config.gp * (norms - 1).square().mean()
        if self.config.r1:
            r1 = 0.5 * self.config.r1 * losses.r1_penalty(critic, real)
            total = r1 if total is None else total + r1
        return total

    def after_step(self, critic: nn.Module) -> None:
        """What the game does to the critic's weights after each of its steps."""
        if self.config.gan == "wgan":
            losses.clip_weights(critic, self.config.clip)

    @torch.no_grad()
    def figures(self, critic: nn.Module, side: str = "") -> dict[str, Tensor]:
        """What tells whether the game holds, for a log line: the penalty's norm, which should be near 1, or
        the share of weights that stand at the clipping bound. ``side`` tells several critics apart.
        """
        end = f"_{side}" if side else ""
        if self.config.gan == "wgangp" and self._gp_norm is not None:
            return {f"gp_norm{end}": self._gp_norm}
        if self.config.gan == "wgan":
            weights = torch.cat([p.detach().flatten() for p in critic.parameters()])
            return {f"clipped{end}": (weights.abs() > 0.999 * self.config.clip).float().mean()}
        return {}

    @torch.no_grad()
    def accuracy(self, real: Tensor, fake: Tensor) -> Tensor:
        """Share of answers on the right side; with Wasserstein critics, of pairs in the right order."""
        threshold = _THRESHOLDS[self.config.gan]
        if threshold is None:
            return (real > fake).float().mean() if real.shape == fake.shape else real.new_tensor(0.5)
        return 0.5 * ((real > threshold).float().mean() + (fake < threshold).float().mean())


@contextmanager
def frozen(*nets: nn.Module) -> Iterator[None]:
    """Inside, the nets' parameters get no gradients, while what is put through them does."""
    parameters = [p for net in nets for p in net.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def judge(fabric: Any, model: Any, net: nn.Module) -> Callable[[Tensor], Tensor]:
    """How a generator's step asks a :func:`frozen` critic.

    Several processes must ask the net itself: what Fabric has set up would wait for gradients of the
    critic that never come.
    """
    if fabric.world_size == 1:
        return model

    def ask(x: Tensor) -> Tensor:
        with fabric.autocast():
            return net(x)

    return ask


def adam(net: nn.Module, lr: float, beta1: float = 0.5, beta2: float = 0.999) -> torch.optim.Adam:
    """Adam with DCGAN's first momentum (Radford et al. 2016), fused where PyTorch has it."""
    return torch.optim.Adam(net.parameters(), lr=lr, betas=(beta1, beta2), fused=True)
