"""The motion vectors by which a stream was coded, as its decoder tells them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gantool.errors import InputError
from gantool.media.info import VideoInfo
from gantool.media.probe import orientation

# Decoders of FFmpeg that tell them: H.264, and those of the MPEG family.
_TOLD = {"h264", "mpeg1video", "mpeg2video", "mpeg4", "h263", "h263p", "flv", "flv1", "wmv1", "wmv2"} | {
    f"msmpeg4v{version}" for version in (1, 2, 3)
}


def with_vectors(info: VideoInfo) -> VideoInfo:
    """The same video, to be read with its vectors. Raises InputError where the decoder tells none."""
    if info.codec not in _TOLD:
        what = f"no motion vectors can be read from {info.codec or 'these pictures'}"
        raise InputError(what, info.path, "Use --flow dis")
    return replace(info, vectors=True)


def vectors_of(frame: Any, info: VideoInfo) -> np.ndarray | None:
    """(N,7) float32 of a decoded frame: a block's left, top, right, bottom, how far across and down it was
    fetched from, in widths and heights of the picture as shown; and -1 for an earlier frame, 1 for a later.

    None where the frame has none (a key frame), or where they are not wanted.
    """
    data = frame.side_data.get("MOTION_VECTORS") if info.vectors else None
    if data is None:
        return None
    blocks = data.to_ndarray()
    side = np.array((frame.width, frame.height))
    middle = np.stack((blocks["dst_x"], blocks["dst_y"]), 1) / side - 0.5
    half = np.stack((blocks["w"], blocks["h"]), 1) / side / 2
    moved = np.stack((blocks["motion_x"], blocks["motion_y"]), 1) / blocks["motion_scale"][:, None] / side
    rotation, mirrored = orientation(frame) if info.rotation or info.mirrored else (0, False)
    if mirrored:
        middle, moved = middle * (-1, 1), moved * (-1, 1)
    for _ in range(rotation // 90 % 4):  # to the left, as the pixels are turned
        middle, moved, half = middle[:, ::-1] * (1, -1), moved[:, ::-1] * (1, -1), half[:, ::-1]
    corners = np.concatenate((middle - half, middle + half), 1) + 0.5
    return np.concatenate((corners, moved, np.sign(blocks["source"])[:, None]), 1).astype(np.float32)
