"""Sample sheets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from torch import Tensor

from gantool.errors import OutputError
from gantool.media.files import atomic


def save_grid(path: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """Write rows of uint8 RGB pictures of one size as a PNG sheet."""
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not ok:
        raise OutputError("the sample grid could not be encoded", path)
    with atomic(path, overwrite=True) as temporary:
        temporary.write_bytes(encoded.tobytes())


def to_image(x: Tensor) -> np.ndarray:
    """(3,H,W) in [0,1] -> uint8 RGB (H,W,3)."""
    return (x.detach().float().clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
