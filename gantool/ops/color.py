"""sRGB and CIE Lab (D65, 2 degrees) on float tensors, and the join of old lightness with new colour.

Films pass through here frame by frame: on a CPU, NumPy's powers take a quarter of torch's time, and OpenCV's
way back from Lab an eighth. Its way to Lab is not used: that one's table is up to 0.2 of L off.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

# sRGB primaries to XYZ divided by the D65 white (IEC 61966-2-1), so that white is (1, 1, 1).
_RGB_TO_XYZ = (
    (0.412453 / 0.950456, 0.357580 / 0.950456, 0.180423 / 0.950456),
    (0.212671, 0.715160, 0.072169),
    (0.019334 / 1.088754, 0.119193 / 1.088754, 0.950227 / 1.088754),
)
_DELTA = 6.0 / 29.0
_SLACK = 1e-4  # of linear light, by which a colour may be outside
_BORDER = 2e-3  # of code values: what OpenCV clipped is nearer to 0 or 1


def srgb_to_linear(x: Tensor) -> Tensor:
    """sRGB code values in [0,1] -> linear light in [0,1], any shape (IEC 61966-2-1)."""
    curved = _power(x.clamp_min(0.04045).add_(0.055).mul_(1 / 1.055), 2.4)
    return torch.where(x <= 0.04045, x * (1 / 12.92), curved)


def linear_to_srgb(x: Tensor) -> Tensor:
    """Linear light -> sRGB code values, any shape; values below 0 are continued linearly."""
    curved = _power(x.clamp_min(0.0031308), 1 / 2.4).mul_(1.055).sub_(0.055)
    return torch.where(x <= 0.0031308, x * 12.92, curved)


def _f(t: Tensor) -> Tensor:
    return torch.where(t > _DELTA**3, _power(t.clamp_min(_DELTA**3), 1 / 3), t / (3 * _DELTA**2) + 4 / 29)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x > 0 to a power, element by element; x itself may be overwritten."""
    if not _at_hand(x):
        return x**exponent
    values = x.numpy()
    np.power(values, np.float32(exponent), out=values)
    return x


def _at_hand(x: Tensor) -> bool:
    """Whether NumPy may work on it."""
    learns = torch.is_grad_enabled() and x.requires_grad
    return x.device.type == "cpu" and x.dtype == torch.float32 and not learns


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
    y = torch.einsum("c,nchw->nhw", _matrix(x)[1], srgb_to_linear(x))[:, None]
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
    if _at_hand(lab):
        rgb, doubtful = _converted(lab)
    else:
        linear = _lab_to_linear(lab)
        rgb, doubtful = linear_to_srgb(linear), ~_inside(linear)
    if bool(doubtful.any()):
        pixels = lab.movedim(1, -1)[doubtful].T[None]  # (1,3,K)
        rgb.movedim(1, -1)[doubtful] = linear_to_srgb(_drawn_in(pixels, steps))[0].T
    return rgb.clamp_(0, 1)


def _converted(lab: Tensor) -> tuple[Tensor, Tensor]:
    """Lab (N,3,H,W) -> sRGB (N,3,H,W) in [0,1], clipped, to 1e-4; and which pixels may have been (N,H,W)."""
    labs = lab.movedim(1, -1).contiguous().numpy()
    rgbs, border = np.empty_like(labs), np.empty(labs.shape[:3], np.uint8)
    for one, rgb, within in zip(labs, rgbs, border, strict=True):
        cv2.cvtColor(one, cv2.COLOR_Lab2RGB, dst=rgb)
        cv2.inRange(rgb, (_BORDER,) * 3, (1 - _BORDER,) * 3, dst=within)
    return torch.from_numpy(rgbs).movedim(-1, 1), torch.from_numpy(border == 0)


def _inside(linear: Tensor) -> Tensor:
    """Whether colours (N,3,...) are ones that sRGB has: (N,...)."""
    return ((linear >= -_SLACK) & (linear <= 1 + _SLACK)).all(dim=1)


def _drawn_in(lab: Tensor, steps: int) -> Tensor:
    """Lab (1,3,K) -> linear light (1,3,K), drawn toward grey where sRGB has no such colour."""
    linear = _lab_to_linear(lab)
    outside = ~_inside(linear)[0]
    if not bool(outside.any()):
        return linear
    far = lab[..., outside]
    low, high = torch.zeros_like(far[:, :1]), torch.ones_like(far[:, :1])
    for _ in range(steps):
        middle = (low + high) / 2
        inside = _inside(_lab_to_linear(torch.cat((far[:, :1], far[:, 1:] * middle), dim=1)))[:, None]
        low, high = torch.where(inside, middle, low), torch.where(inside, high, middle)
    linear[..., outside] = _lab_to_linear(torch.cat((far[:, :1], far[:, 1:] * low), dim=1))
    return linear
