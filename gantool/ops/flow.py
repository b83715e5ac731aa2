"""Optical flow between grey pictures: estimate, fill where it is blind, test, and follow.

Conventions: a flow (H,W,2) float32 in pixels, x before y, belongs to the grid of the *first* picture:
``first[y, x]`` is found in the second at ``(x + flow[y, x, 0], y + flow[y, x, 1])``. Video takes the frame
now as the first and the one before as the second ("backward" flow), so that old values can be fetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

Method = Literal["farneback", "dis"]
METHODS: tuple[Method, ...] = ("farneback", "dis")
Estimator = Callable[[np.ndarray, np.ndarray], np.ndarray]

FARNEBACK = (0.5, 5, 15, 3, 5, 1.2, 0)  # scale, levels, window, iterations, poly n and sigma, flags
_KEEN = (0.7, 8, 11, 2, 5, 1.1, cv2.OPTFLOW_FARNEBACK_GAUSSIAN)  # for what turns and bends fast
_KEEN_BETTER = 0.5  # grey levels by which the keen one must explain the picture better
_SMALLEST = 32  # Both methods want at least one window; smaller pictures are padded to this side.
_TEXTURE_WINDOW = 15  # the window of Farneback: what it cannot see in there it calls zero motion
_TEXTURE_HALF = 5e-4  # corner strength at which half of the flow is believed; film grain stays below

_REFINEMENTS = 3
_VISIBLY_WORSE = 1.0  # grey levels
# cv2.remap takes no longer side, and before OpenCV 5 it knew only 32 places within a pixel.
_REMAP_LIMIT = 32767 if int(cv2.__version__.split(".")[0]) >= 5 else 0
_MOST_CHANNELS = 4  # that cv2.remap takes at once


def estimate(first: np.ndarray, second: np.ndarray, method: Method | Estimator = "farneback") -> np.ndarray:
    """Flow of ``first`` into ``second``, both grey uint8 (H,W) of one size, any size from 1x1.

    "farneback": Farneback 2003 as in OpenCV, 5 levels, window 15, and :func:`mend_flat`. "dis": dense inverse
    search (Kroeger 2016), OpenCV's medium preset, about twice as fast. Both end with
    :func:`refined`, which halves what is left of Farneback's error. An estimator of one's own is called as
    it is.
    """
    if callable(method):
        return method(first, second)
    height, width = first.shape
    first, second = _padded(first), _padded(second)
    if method == "farneback":
        flow = mend_flat(_farneback(first, second, FARNEBACK), first, second)
    elif method == "dis":
        # One object per call: it owns buffers, and calls come from several threads.
        search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        start = np.zeros((*first.shape, 2), np.float32)
        flow = search.calc(np.ascontiguousarray(first), np.ascontiguousarray(second), start)
    else:
        raise ValueError(f"unknown flow method {method!r}")
    return refined(flow, first, second)[:height, :width]


def keen(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """:func:`estimate` by "farneback", and a second time with smaller windows and more levels.

    That follows what turns and bends fast (arms, wings), but is lost where there is little to be seen; it
    holds where it explains the picture better. Takes about twice as long.
    """
    height, width = first.shape
    first, second = _padded(first), _padded(second)
    usual = mend_flat(_farneback(first, second, FARNEBACK), first, second)
    fine = _farneback(first, second, _KEEN)
    better = _misfit(first, second, usual) - _misfit(first, second, fine) - _KEEN_BETTER
    share = cv2.blur(better.clip(0, 1), (9, 9))  # no seams between the two
    return refined(usual + share[..., None] * (fine - usual), first, second)[:height, :width]


def _padded(gray: np.ndarray) -> np.ndarray:
    """A picture with its last row and column repeated up to the smallest size that the methods take."""
    down, right = (max(0, _SMALLEST - side) for side in gray.shape)
    return cv2.copyMakeBorder(gray, 0, down, 0, right, cv2.BORDER_REPLICATE) if down or right else gray


def _farneback(first: np.ndarray, second: np.ndarray, settings: tuple) -> np.ndarray:
    return cv2.calcOpticalFlowFarneback(first, second, np.zeros((*first.shape, 2), np.float32), *settings)


def refined(flow: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``flow`` of ``first`` into ``second`` after a few steps of variational refinement (Brox 2004)."""
    refinement = cv2.VariationalRefinement.create()
    refinement.setFixedPointIterations(_REFINEMENTS)
    return refinement.calc(first, second, np.ascontiguousarray(flow))


def texture(gray: np.ndarray) -> np.ndarray:
    """How well motion can be seen at each pixel of grey uint8 (H,W): float32 (H,W) in [0,1).

    From the smaller eigenvalue of the structure tensor (Shi-Tomasi), so that a straight edge, along which
    motion is invisible, counts little too.
    """
    strength = cv2.cornerMinEigenVal(gray, _TEXTURE_WINDOW, ksize=3)
    return strength / (strength + _TEXTURE_HALF)


def fill(values: np.ndarray, trust: np.ndarray) -> np.ndarray:
    """Replace untrusted values by those of the trusted surroundings, near before far ("push-pull").

    Args:
        values: (H,W,C) float32.
        trust: (H,W) float32 in [0,1]; at 1 a value is kept as it is.

    Returns:
        (H,W,C) float32. Where nothing is trusted anywhere, the plain mean.
    """
    levels = [(values * trust[..., None], trust)]
    while max(levels[-1][1].shape) > 1:
        weighted, weight = levels[-1]
        levels.append((_halve(weighted), _halve(weight)))
    weighted, weight = levels.pop()
    mean = np.array([cv2.mean(values[..., n])[0] for n in range(values.shape[-1])], np.float32)
    result = (weighted + 1e-6 * mean) / (weight + 1e-6)[..., None]
    while levels:
        weighted, weight = levels.pop()
        height, width = weight.shape
        coarse = cv2.resize(result, (width, height), interpolation=cv2.INTER_LINEAR)
        coarse = coarse.reshape(weighted.shape)
        coarse *= (1 - weight)[..., None]
        result = np.add(coarse, weighted, out=coarse)
    return result


def _halve(array: np.ndarray) -> np.ndarray:
    """Mean of 2x2 pixels, (H,W) or (H,W,C); a channel axis of one, which cv2 drops, is kept."""
    height, width = array.shape[:2]
    size = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], *array.shape[2:])


def mend_flat(flow: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """``flow`` of ``first`` into ``second``, its flat regions moved with their surroundings.

    Farneback answers "no motion" in both directions where a picture is flat; that passes every
    forward/backward test, and whatever is blended there would stick to the screen while the camera moves.
    Where the borrowed motion explains the picture visibly worse than the estimated one, the latter stays:
    faint texture at rest beside a moving thing. (DIS propagates motion by itself and gains nothing here.)
    """
    borrowed = fill(flow, texture(first))
    worse = _misfit(first, second, borrowed) - _misfit(first, second, flow)
    # By degrees: where neighbours decided differently, both directions would disagree along every seam.
    kept = cv2.blur((worse / _VISIBLY_WORSE).clip(0, 1), (_TEXTURE_WINDOW, _TEXTURE_WINDOW))
    return borrowed + kept[..., None] * (flow - borrowed)


def _misfit(first: np.ndarray, second: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Grey difference that a flow leaves, in levels, as a local mean: float32 (H,W)."""
    difference = cv2.absdiff(first, follow(second, flow, cubic=True))
    return cv2.boxFilter(difference, cv2.CV_32F, (9, 9))


def follow(picture: np.ndarray, flow: np.ndarray, *, cubic: bool = False) -> np.ndarray:
    """The second picture as seen from the first: ``picture`` (H,W) or (H,W,C) sampled at x + flow, bilinear
    or bicubic, the border repeated."""
    grid_x, grid_y = _targets(flow)
    kernel = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return cv2.remap(picture, grid_x, grid_y, kernel, borderMode=cv2.BORDER_REPLICATE)


def _targets(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = flow.shape[:2]
    return (
        flow[..., 0] + np.arange(width, dtype=np.float32),
        flow[..., 1] + np.arange(height, dtype=np.float32)[:, None],
    )


def consistent(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """Where going back and forth again ends at the start (Sundaram 2010): bool (H,W).

    True where |w + w~|^2 < 0.01 (|w|^2 + |w~|^2) + 0.5, with w the backward flow and w~ the forward flow
    at x + w, and x + w :func:`inside` the picture.
    """
    returned = _fetched(forward, backward)
    bound = 0.01 * (_square(backward) + _square(returned)) + 0.5
    return (_square(backward + returned) < bound) & inside(backward)


def disagreement(backward: np.ndarray, forward: np.ndarray) -> np.ndarray:
    """How far from the start going back and forth again ends, |w + w~|^2 in px^2: float32 (H,W)."""
    return _square(backward + _fetched(forward, backward))


def _fetched(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """The forward flow at the places that the backward flow points to."""
    grid_x, grid_y = _targets(backward)
    return cv2.remap(forward, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def inside(flow: np.ndarray) -> np.ndarray:
    """Where x + flow lies in the picture, with half a pixel of grace: bool (H,W).

    The grace keeps a still picture's border from flickering with the noise of its flow.
    """
    height, width = flow.shape[:2]
    x, y = _targets(flow)
    return (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)


def motion_boundary(flow: np.ndarray) -> np.ndarray:
    """Where the flow itself jumps: |grad u|^2 + |grad v|^2 > 0.01 |w|^2 + 0.002, bool (H,W).

    For metrics; too greedy a test for blending.
    """
    dy = np.gradient(flow, axis=0) if flow.shape[0] > 1 else np.zeros_like(flow)
    dx = np.gradient(flow, axis=1) if flow.shape[1] > 1 else np.zeros_like(flow)
    return _square(dx) + _square(dy) > 0.01 * _square(flow) + 0.002


def _square(flow: np.ndarray) -> np.ndarray:
    return flow[..., 0] ** 2 + flow[..., 1] ** 2


def warp(layer: Tensor, flow: Tensor, *, stable: bool = False) -> Tensor:
    """``layer`` (C,h,w) sampled bicubically at x + flow, the border repeated.

    ``flow`` (2,H,W) may be of another size; it is resized, and its values with it. Bicubic, because a
    recursive filter with bilinear sampling loses a fifth of the sharpness (measured).

    ``stable``: torch's kernel (a = -0.75) lifts middle frequencies by up to 3 % at each step, which a filter
    that keeps more than 97 % of its past turns into ringing. Mixed with a third of bilinear it becomes
    Keys' kernel (a = -0.5) at half-pixel steps, whose gain never exceeds 1.
    """
    height, width = layer.shape[-2:]
    tall, wide = flow.shape[-2:]
    learns = torch.is_grad_enabled() and (layer.requires_grad or flow.requires_grad)
    if layer.device.type == "cpu" and not learns and max(height, width) < _REMAP_LIMIT:
        return _remapped(layer, flow, stable)
    if (tall, wide) != (height, width):
        flow = F.interpolate(flow[None], size=(height, width), mode="bilinear", align_corners=False)[0]
        flow = flow * torch.tensor([width / wide, height / tall], device=flow.device).view(2, 1, 1)
    x = torch.arange(width, device=layer.device, dtype=layer.dtype) + flow[0]
    y = torch.arange(height, device=layer.device, dtype=layer.dtype)[:, None] + flow[1]
    # align_corners=False: pixel centres at (2 i + 1) / n - 1.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)[None]

    def sample(mode: str) -> Tensor:
        return F.grid_sample(layer[None], grid, mode=mode, padding_mode="border", align_corners=False)[0]

    cubic = sample("bicubic")
    return torch.lerp(cubic, sample("bilinear"), 1 / 3) if stable else cubic


def _remapped(layer: Tensor, flow: Tensor, stable: bool) -> Tensor:
    """:func:`warp` by OpenCV, which has the same kernels and is many times as quick on a CPU."""
    height, width = layer.shape[-2:]
    tall, wide = flow.shape[-2:]
    places = (np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None])

    def target(axis: int) -> np.ndarray:
        scaled = flow[axis].numpy() * np.float32((width / wide, height / tall)[axis])
        moved = cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR)
        moved += places[axis]
        return moved

    x, y = target(0), target(1)
    planes = layer.numpy()
    # Interleaved where OpenCV can: it then makes the weights of a pixel once for all channels.
    together = [cv2.merge(list(planes))] if 1 < len(planes) <= _MOST_CHANNELS else list(planes)

    def sample(kernel: int) -> Tensor:
        found = np.empty(planes.shape, np.float32)
        moved = [cv2.remap(one, x, y, kernel, borderMode=cv2.BORDER_REPLICATE) for one in together]
        cv2.mixChannels(moved, list(found), [n for i in range(len(planes)) for n in (i, i)])
        return torch.from_numpy(found)

    cubic = sample(cv2.INTER_CUBIC)
    return torch.lerp(cubic, sample(cv2.INTER_LINEAR), 1 / 3) if stable else cubic
