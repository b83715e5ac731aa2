"""Finding faces and their five points with YuNet (Wu et al. 2023), which OpenCV runs.

The net finds faces of about 10 to 700 px. So a large picture is shrunk first, and shown larger or smaller
once more when nothing was found. A score of 0.6 is enough: at the 0.9 of OpenCV's examples most profiles are
lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from gantool import hub
from gantool.catalog import load_catalog
from gantool.errors import WeightsError
from gantool.faces.face import Face, without_inner

NAME = "yunet"  # in the catalog
SCORE = 0.6
_SIDES = (640, 1280, 320)  # longest side shown to the net, px: first, for small faces, for very large ones
_MOST_GROWN = 3.0  # a small picture is not made larger than that
_NMS, _MOST = 0.3, 5000  # share of overlap of two boxes for one face; candidates before that

Rows = Callable[[np.ndarray], np.ndarray]
"""BGR uint8 (H,W,3) -> (N,15): x, y, w, h, five points, score."""


class Detector:
    """Finds faces; call it with one picture after another, from one thread."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def __call__(self, picture: np.ndarray) -> list[Face]:
        """The faces of a picture, the largest first; empty where there is none.

        Args:
            picture: RGB (H,W,3) or grey (H,W), uint8 or uint16.
        """
        shown = picture if picture.dtype == np.uint8 else (picture >> 8).astype(np.uint8)
        code = cv2.COLOR_GRAY2BGR if shown.ndim == 2 else cv2.COLOR_RGB2BGR
        shown = cv2.cvtColor(np.ascontiguousarray(shown), code)
        longest = max(shown.shape[:2])
        tried: set[float] = set()
        for side in _SIDES:
            most = 1.0 if side == _SIDES[0] else _MOST_GROWN
            scale = min(side / longest, most)
            if scale in tried or (side == _SIDES[-1] and scale >= min(tried)):
                continue
            tried.add(scale)
            faces = without_inner(self._at(shown, scale))
            if faces:
                return faces
        return []

    def _at(self, shown: np.ndarray, scale: float) -> list[Face]:
        """The faces found in the picture at that scale, in px of the picture itself."""
        height, width = shown.shape[:2]
        size = max(1, round(width * scale)), max(1, round(height * scale))
        if size != (width, height):
            how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            shown = cv2.resize(shown, size, interpolation=how)
        grown = np.array([width / size[0], height / size[1]])
        return [face for row in self._rows(shown) if (face := _face(row, grown)) is not None]


def load(*, fetch: bool = True) -> Detector:
    """The detector of the catalog, downloaded (0.2 MB) if it is not here and ``fetch`` allows it.

    Raises WeightsError, which names what works without it, when it cannot be had or OpenCV cannot run it.
    """
    row = load_catalog().get(NAME)
    remedy = (
        f"`gantool models pull {NAME}` gets it where there is a network; without it, --face-box x,y,w,h says "
        "where the face is, and --aligned that the picture is nothing but a face"
    )
    try:
        path = hub.fetch(row, offline=None if fetch else True)
    except WeightsError as error:
        what = f"the face detector cannot be had: {error.what}"
        raise WeightsError(what, error.file, remedy) from error
    try:
        return Detector(yunet(path.read_bytes()))
    except (cv2.error, OSError) as error:
        raise WeightsError("OpenCV cannot run the face detector", path, remedy) from error


def yunet(model: bytes, score: float = SCORE) -> Rows:
    """The rows of a YuNet file, given as bytes because OpenCV does not open every path on every system.

    Raises cv2.error for what is no such net.
    """
    data, nothing = np.frombuffer(model, np.uint8), np.empty(0, np.uint8)
    with _hushed():
        net = cv2.FaceDetectorYN.create("onnx", data, nothing, (320, 320), score, _NMS, _MOST)

    def rows(picture: np.ndarray) -> np.ndarray:
        net.setInputSize((picture.shape[1], picture.shape[0]))
        with _hushed():
            _, found = net.detect(picture)
        return np.empty((0, 15), np.float32) if found is None else found

    return rows


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Without OpenCV's remark on stderr that its new engine has no targets to choose from."""
    log = cv2.utils.logging
    before = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        log.setLogLevel(before)


def _face(row: np.ndarray, grown: np.ndarray) -> Face | None:
    """One row in px of the original picture; None for points that are no face."""
    values = np.asarray(row, np.float64)
    if not np.isfinite(values).all() or min(values[2:4]) < 1:
        return None
    (x, y), (width, height) = values[0:2] * grown, values[2:4] * grown
    points = (values[4:14].reshape(5, 2) + 0.5) * grown - 0.5
    try:
        return Face.of_points(points, (float(x), float(y), float(width), float(height)), float(values[14]))
    except ValueError:
        return None
