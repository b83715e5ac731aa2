"""A net between two checkpoints of one architecture: every weight (1 - mix) * A + mix * B.

ESRGAN (Wang et al. 2018, 1809.00219), section 3.4: between the net that was trained for PSNR and the one that
was fine-tuned from it with a critic lies a net whose pictures are sharp and have fewer artifacts. This works
because one came from the other; between nets that were trained apart there is mostly noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantool import hub, loading, selection
from gantool.catalog import Catalog, Checkpoint
from gantool.errors import UsageError
from gantool.selection import Choice

_RELATED = 0.5  # cosine between the weights of two nets of which one was fine-tuned from the other
_BY_THEIR_AUTHORS = {"realesr-general-wdn-x4v3", "realesr-general-x4v3"}  # mixed by them: no need to warn
_SAME = "Name two files of one architecture, one of them fine-tuned from the other."


@dataclass(frozen=True)
class Between:
    """Two chosen checkpoints, and how far the net lies from the first (0) to the second (1)."""

    first: Choice
    second: Choice
    mix: float

    @property
    def row(self) -> Checkpoint:
        """The row of the net in between, as far as it is known before the files are read."""
        return mixed_row(self.first.row, self.second.row, self.mix)

    @property
    def choice(self) -> Choice:
        """As if it were one model; without a path when one of the two must be fetched first."""
        row = replace(self.row, bytes=sum(choice.row.bytes for choice in self._missing))
        notices = [choice.notice for choice in (self.first, self.second) if choice.notice]
        return Choice(row, None if self._missing else self.first.path, " ".join(notices) or None)

    @property
    def _missing(self) -> list[Choice]:
        return [choice for choice in (self.first, self.second) if choice.path is None]

    def load(
        self,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        fetch: Callable[[Checkpoint], Path] = hub.fetch,
        warn: Callable[[str], None] = lambda _: None,
    ) -> tuple[nn.Module, Checkpoint]:
        """Load both, mix in float32, and place the result: (net, row).

        Raises UsageError when the two are no nets of one architecture, WeightsError and DeviceError as
        :func:`gantool.loading.load` does. ``warn`` hears it when neither was made from the other.
        """
        loaded = [loading.load(c.row, c.path or fetch(c.row)) for c in (self.first, self.second)]
        (net, first), (other, second) = loaded
        _check_alike(first, second)
        related = interpolate(net, other, self.mix, (first.name, second.name))
        if not related and {first.name, second.name} != _BY_THEIR_AUTHORS:
            warn(f"{first.name} and {second.name} were not made from one another: expect noise between them")
        return loading.placed(net, device, dtype), mixed_row(first, second, self.mix)


def select(names: tuple[str, str], mix: float, task: str, *, catalog: Catalog, **options: Any) -> Between:
    """What ``--interpolate A B --mix 0.8`` means; each name as :func:`gantool.selection.select` takes it.

    Raises UsageError for two that cannot be mixed, as far as their rows tell, and what that one raises.
    """
    if not 0 <= mix <= 1:
        raise UsageError(f"--mix {mix:g} lies outside the two models", remedy="Give a number from 0 to 1")
    first, second = (selection.select(name, task, catalog=catalog, **options) for name in names)
    if first.row.arch and second.row.arch:
        _check_alike(first.row, second.row)
    return Between(first, second, mix)


@torch.no_grad()
def interpolate(net: nn.Module, other: nn.Module, mix: float, names: tuple[str, str] = ("A", "B")) -> bool:
    """Move the weights and statistics of ``net`` to (1 - mix) * net + mix * other, in place.

    Tells whether one of the two can have been made from the other, by the cosine between their weights.
    Counters and other whole numbers stay as they are. Raises UsageError when names or shapes differ.
    """
    if type(net) is not type(other):
        kinds = f"{names[0]} is {type(net).__name__}, {names[1]} is {type(other).__name__}"
        raise UsageError(f"the two models are of unlike architectures: {kinds}", remedy=_SAME)
    mine, theirs = net.state_dict(), other.state_dict()
    unlike = [n for n in mine if n not in theirs or mine[n].shape != theirs[n].shape]
    unlike += [n for n in theirs if n not in mine]
    if unlike:
        kinds = f"{names[0]} and {names[1]} are {type(net).__name__} of unlike sizes ({unlike[0]})"
        raise UsageError(f"the two models do not fit each other: {kinds}", remedy=_SAME)
    kernels = [(mine[n], theirs[n]) for n in mine if mine[n].ndim > 1]
    related = _cosine(kernels) >= _RELATED
    for name, value in mine.items():
        if value.is_floating_point():
            value.lerp_(theirs[name].to(value), mix)
    return related


def _cosine(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Of all values taken as one vector, in float64."""
    if not pairs:
        return 1.0
    dot, a, b = (
        sum(float((x.double() * y.double()).sum()) for x, y in products)
        for products in (pairs, [(x, x) for x, _ in pairs], [(y, y) for _, y in pairs])
    )
    return dot / math.sqrt(a * b) if a * b > 0 else 1.0


def _check_alike(first: Checkpoint, second: Checkpoint) -> None:
    """Raise UsageError where the rows alone show that two models cannot be mixed."""
    if first.scale != second.scale:
        what = f"{first.name} enlarges x{first.scale} and {second.name} x{second.scale}"
        raise UsageError(f"the two models are of unlike scales: {what}", remedy=_SAME)
    if first.arch != second.arch:
        kinds = [row.arch.partition(".")[2] or row.summary or "another net" for row in (first, second)]
        what = f"{first.name} is {kinds[0]}, {second.name} is {kinds[1]}"
        raise UsageError(f"the two models are of unlike architectures: {what}", remedy=_SAME)
    # A row may leave out arguments that have their defaults.
    pairs = {name: (first.args[name], second.args[name]) for name in first.args if name in second.args}
    pairs |= {n: (getattr(first, n), getattr(second, n)) for n in ("value_range", "signed", "color")}
    for name, (mine, theirs) in pairs.items():
        if mine != theirs:
            what = f"{first.name} has {name} {mine}, {second.name} {theirs}"
            raise UsageError(f"the two models do not fit each other: {what}", remedy=_SAME)


def mixed_row(first: Checkpoint, second: Checkpoint, mix: float) -> Checkpoint:
    """The row of a net between two: both names, the stricter licence, what both are cleared for."""
    if first.commercial == second.commercial:
        licences = dict.fromkeys((first.licence, second.licence))
        licence = " and ".join(licences)
    else:
        licence = second.licence if first.commercial else first.licence
    radii = (first.radius, second.radius)
    return replace(
        first,
        name=f"{1 - mix:.4g} {first.name} + {mix:.4g} {second.name}",
        licence=licence,
        commercial=first.commercial and second.commercial,
        dtypes=tuple(d for d in first.dtypes if d in second.dtypes),
        multiple=math.lcm(first.multiple, second.multiple),
        radius=None if None in radii else max(r for r in radii if r is not None),
        sha256="",
        recommended=(),
        summary=f"between {first.name} and {second.name}",
        made=f"--interpolate {first.name} {second.name} --mix {mix:g}",
    )
