"""Colours of one picture after those of another: the linear Monge-Kantorovich map of chroma.

Pitie & Kokaram 2007, "The linear Monge-Kantorovitch linear colour mapping for example-based colour transfer":
of all linear maps that give one cloud of colours the mean and covariance of another, the one that moves
colours least. Here the colours are a and b of Lab, or all of Lab where lightness is to be moved as well.
It is the better-known transfer of Reinhard et al. 2001, but for hues that lie askew of the axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

# Lab units: spread that is taken for noise, so that a net which saw next to no colour is not magnified.
_NOISE = 2.0
_MOST_GAIN = 4.0


@dataclass(frozen=True)
class Palette:
    """Mean (C,) and covariance (C,C) of the channels of a picture, float64 on the CPU."""

    mean: Tensor
    covariance: Tensor


def palette_of(ab: Tensor) -> Palette:
    """The palette of a and b (2,H,W), or of L, a and b (3,H,W), in Lab units."""
    flat = ab.flatten(1).float()
    mean = flat.mean(1)
    spread = flat - mean[:, None]
    covariance = spread @ spread.T / spread.shape[1]
    return Palette(mean.double().cpu(), covariance.double().cpu())


def with_palette(ab: Tensor, palette: Palette) -> Tensor:
    """(N,C,H,W) in Lab units, each picture's channels given the mean and the covariance of a palette.

    A picture of very little colour keeps somewhat less than the palette's spread (at most 4 times its own).
    """
    return torch.stack([_moved(one, palette) for one in ab])


def _moved(ab: Tensor, palette: Palette) -> Tensor:
    own = palette_of(ab)
    source = own.covariance + _NOISE**2 * torch.eye(len(ab), dtype=torch.float64)
    root, inverse = _power(source, 0.5), _power(source, -0.5)
    gain = inverse @ _power(root @ palette.covariance @ root, 0.5) @ inverse
    values, vectors = torch.linalg.eigh(gain)
    gain = vectors @ torch.diag(values.clamp(0, _MOST_GAIN)) @ vectors.T
    shift = palette.mean - gain @ own.mean
    moved = torch.einsum("oc,chw->ohw", gain.to(ab.device, ab.dtype), ab)
    return moved + shift.to(ab.device, ab.dtype).view(-1, 1, 1)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """A symmetric, non-negative matrix to a power."""
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.clamp_min(1e-9) ** exponent) @ vectors.T
