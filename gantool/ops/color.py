"""sRGB and CIE Lab (D65, 2 degrees) on float tensors, and the join of old lightness with new colour."""

from __future__ import annotations

import torch
from torch import Tensor

# sRGB primaries to XYZ divided by the D65 white (IEC 61966-2-1), so that white is (1, 1, 1).
_RGB_TO_XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)
_DELTA = 6.0 / 29.0


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB code values in [0,1] -> linear light in [0,1], any shape (IEC 61966-2-1)."""
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light -> sRGB code values, any shape; values below 0 are continued linearly."""
    return torch.where(x <= 0.0031308, x * 12.92, 1.055 * x.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)


def _f(t: Tensor) -> Tensor:
    return torch.where(t > _DELTA**3, t.clamp_min(_DELTA**3) ** (1 / 3), t / (3 * _DELTA**2) + 4 / 29)


def _f_inverse(t: Tensor) -> Tensor:
    return torch.where(t > _DELTA, t**3, 3 * _DELTA**2 * (t - 4 / 29))


def _matrix(like: Tensor) -> Tensor:
    return torch.tensor(_RGB_TO_XYZ, dtype=torch.float64).to(like.device, like.dtype)


def _mix(matrix: Tensor, x: Tensor) -> Tensor:
    """(3,3) times the channel dimension (second last but two) of (N,3,...)."""
    return torch.einsum("oc,nc...->no...", matrix, x)


def rgb_to_lab(x: Tensor) -> Tensor:
    """sRGB (N,3,H,W) in [0,1] -> Lab (N,3,H,W): L in [0,100], a and b in about [-110,110]."""
    fx, fy, fz = _f(_mix(_matrix(x), srgb_to_linear(x))).unbind(1)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=1)


def lightness(x: Tensor) -> Tensor:
    """CIE L (N,1,H,W) in [0,100] of sRGB (N,3,H,W) in [0,1]; a third of the work of :func:`rgb_to_lab`."""
    y = (srgb_to_linear(x) * _matrix(x)[1].view(1, 3, 1, 1)).sum(1, keepdim=True)
    return 116 * _f(y) - 16


def _lab_to_linear(lab: Tensor) -> Tensor:
    lightness_, a, b = lab.unbind(1)
    fy = (lightness_ + 16) / 116
    xyz = _f_inverse(torch.stack((fy + a / 500, fy, fy - b / 200), dim=1))
    inverse = torch.linalg.inv(_matrix(lab).double()).to(lab.dtype)
    return _mix(inverse, xyz)


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Lab (N,3,H,W) -> sRGB (N,3,H,W), not clipped: colours outside sRGB leave [0,1]."""
    return linear_to_srgb(_lab_to_linear(lab))


def join_lab(light: Tensor, ab: Tensor, steps: int = 12) -> Tensor:
    """Lightness and chroma -> sRGB in [0,1], colours outside the gamut drawn toward grey at constant L.

    Clipping RGB would change lightness; here a and b of each such pixel are scaled by the largest factor
    (bisection, ``steps`` halvings) that stays inside, which keeps lightness and hue angle.

    Args:
        light: L (N,1,H,W) in [0,100].
        ab: (N,2,H,W) in Lab units, same size.
    """
    lab = torch.cat((light, ab), dim=1)
    linear = _lab_to_linear(lab)
    slack = 1e-4
    outside = ((linear < -slack) | (linear > 1 + slack)).any(dim=1)  # (N,H,W)
    if bool(outside.any()):
        pixels = lab.movedim(1, -1)[outside].T[None]  # (1,3,K)
        low = torch.zeros_like(pixels[:, :1])
        high = torch.ones_like(low)
        for _ in range(steps):
            middle = (low + high) / 2
            rgb = _lab_to_linear(torch.cat((pixels[:, :1], pixels[:, 1:] * middle), dim=1))
            inside = ((rgb >= -slack) & (rgb <= 1 + slack)).all(dim=1, keepdim=True)
            low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
        kept = _lab_to_linear(torch.cat((pixels[:, :1], pixels[:, 1:] * low), dim=1))
        linear = linear.movedim(1, -1).clone()
        linear[outside] = kept[0].T
        linear = linear.movedim(-1, 1)
    return linear_to_srgb(linear).clamp(0, 1)
