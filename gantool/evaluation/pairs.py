"""Results against what they should look like: pictures one by one, films frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from gantool import metrics, percept
from gantool.errors import InputError
from gantool.evaluation import lpips
from gantool.evaluation.pictures import Gallery, comparison
from gantool.evaluation.result import Evaluation, Exhibit, Measure, Row, mean_of
from gantool.evaluation.sources import Subject
from gantool.media.image import read_picture
from gantool.media.video import Frame, probe, read_frames
from gantool.progress import Progress

On = Literal["rgb", "y"]
_PERCEPT_SIDE = 16  # px, for the fifth block of its net
_APART_S = 0.5  # of the worst frames of a film: two neighbours show the same


class PairMeter:
    """The measures of two pictures of one size.

    Args:
        on: whether PSNR, SSIM and MS-SSIM are of the three channels or of luma (MATLAB's Y); the others are
            of colour pictures always.
        crop: pixels left out at each side before anything is measured.
        device: for the nets of percept and LPIPS.
    """

    def __init__(self, on: On = "rgb", crop: int = 0, device: torch.device | str = "cpu") -> None:
        self.on: On = on
        self.crop, self.device = crop, torch.device(device)
        self._percept = percept.load(device)
        self._lpips = lpips.load(self.device)
        self._missed: dict[str, list[int]] = {}  # of a measure: how many pictures, and the side it needs
        self._count = 0

    @property
    def measures(self) -> list[Measure]:
        """Those that can be taken here, in the order of tables."""
        where = f"{'luma Y (BT.601, 16 to 235)' if self.on == 'y' else 'RGB'}, {self.crop} px cropped"
        found = [
            Measure("psnr", "PSNR", "dB", "more", 2, f"Peak signal-to-noise ratio on {where}."),
            Measure(
                "ssim", "SSIM", "", "more", 4, f"Structural similarity on {where}; window 11, sigma 1.5."
            ),
            Measure("ms_ssim", "MS-SSIM", "", "more", 4, f"SSIM at five scales on {where}."),
            Measure(
                "percept",
                "percept",
                "",
                "less",
                4,
                f"Distance in the features of the net {self._percept.name}; gantool's own, 0 to 2.",
            ),
            Measure(
                "lpips", f"LPIPS ({self._lpips.words})", "", "less", 4, "Learned perceptual distance, v0.1."
            ),
            Measure("ciede2000", "CIEDE2000", "", "less", 2, "Mean colour difference; 1 is just visible."),
        ]
        return [one for one in found if one.name != "lpips" or self._lpips.distance is not None]

    def measure(self, result: np.ndarray, truth: np.ndarray) -> dict[str, float | None]:
        """Figures of a result (H,W,3) against the truth, any depth; None where a picture is too small.

        Raises ValueError when the crop leaves nothing.
        """
        if self.crop:
            result, truth = (x[self.crop : -self.crop, self.crop : -self.crop] for x in (result, truth))
        side = min(result.shape[:2])
        if side < 1:
            raise ValueError(f"--crop {self.crop} leaves nothing of the picture")
        self._count += 1
        y = self.on == "y"
        taken: dict[str, tuple[int, Callable[[np.ndarray, np.ndarray], float]]] = {
            "psnr": (1, metrics.psnr_y if y else metrics.psnr),
            "ssim": (metrics.SSIM_SIDE, metrics.ssim_y if y else metrics.ssim),
            "ms_ssim": (metrics.MS_SSIM_SIDE, metrics.ms_ssim_y if y else metrics.ms_ssim),
            "percept": (_PERCEPT_SIDE, self._of_nets(self._distance)),
            "lpips": (lpips.LEAST_PX, self._of_nets(self._lpips.distance)),
            "ciede2000": (1, metrics.ciede2000),
        }
        values: dict[str, float | None] = {}
        for one in self.measures:
            least, function = taken[one.name]
            values[one.name] = function(result, truth) if side >= least else None
            if side < least:
                self._missed.setdefault(one.label, [0, least])[0] += 1
        return values

    def _distance(self, x: torch.Tensor, y: torch.Tensor) -> float:
        with torch.inference_mode():
            return float(self._percept(x, y))

    def _of_nets(self, distance: Any) -> Callable[[np.ndarray, np.ndarray], float]:
        def of_arrays(result: np.ndarray, truth: np.ndarray) -> float:
            x, y = (
                torch.from_numpy(metrics.unit(image).astype(np.float32)).movedim(-1, 0)[None].to(self.device)
                for image in (result, truth)
            )
            return distance(x, y)

        return of_arrays

    def left_out(self) -> dict[str, str]:
        """Which measures were not taken, or not of all pictures, and why."""
        found = {
            label: f"needs {least} px a side"
            + (f", missing for {count} of {self._count}" if self._count > 1 else "")
            for label, (count, least) in self._missed.items()
        }
        if self._lpips.distance is None:
            found["LPIPS"] = self._lpips.words
        return found

    def settings(self) -> dict[str, Any]:
        """How it was measured, for the record."""
        return {
            "on": self.on,
            "crop_px": self.crop,
            "percept_net": self._percept.name,
            "lpips_net": self._lpips.words if self._lpips.distance is not None else None,
        }


def evaluate_pairs(
    result: Path,
    truth: Path,
    subject: Subject,
    meter: PairMeter,
    *,
    max_pixels: int = 100_000_000,
    progress: Progress | None = None,
    check: Callable[[], None] = lambda: None,
) -> Evaluation:
    """Measure every pair of ``subject``, which is what ``pairs_of(result, truth)`` found.

    Raises InputError for a pair of two sizes, films of different length, and files that cannot be read.
    """
    film = subject.kind == "video"
    gallery = Gallery(apart=_APART_S if film else 0.0)
    rows: list[Row] = []
    pairs = _frames(result, truth, progress) if film else _pictures(subject, max_pixels)
    for name, time, first, second in pairs:
        check()
        _same_size(first, second, name, result if film else truth)
        try:
            values = meter.measure(first, second)
        except ValueError as error:
            raise InputError(str(error), name, "Give a smaller --crop") from error

        def exhibit(
            word: str, name=name, first=first, second=second, values=values
        ) -> Exhibit:  # bound now: the loop goes on
            figures = ", ".join(f"{one.label} {one.text(values[one.name])}" for one in meter.measures[:4])
            return comparison(
                f"{word.capitalize()}: {name} ({figures})", ("result", first), ("reference", second)
            )

        rows.append(Row(name, values, time))
        gallery.offer(_badness(values), time if time is not None else float(len(rows)), exhibit)
        if progress is not None:
            progress.advance(1)
    measures = meter.measures
    return Evaluation(
        "eval pair",
        {"result": str(result), "truth": str(truth)},
        meter.settings() | {"pairs": len(rows)},
        measures,
        {one.name: mean_of(rows, one.name) for one in measures},
        rows,
        left_out=meter.left_out(),
        exhibits=gallery.exhibits(len(rows)),
        curves=[(one.name,) for one in measures],
    )


def _badness(values: dict[str, float | None]) -> float:
    """By percept where there is one, so that a blurred result does not pass for the best."""
    if values["percept"] is not None:
        return values["percept"]
    return -(values["psnr"] or 0.0)


def _pictures(subject: Subject, max_pixels: int) -> Iterator[tuple[str, None, np.ndarray, np.ndarray]]:
    for name, *paths in subject.pairs:
        first, second = (read_picture(path, max_pixels=max_pixels, to_srgb=True).rgb for path in paths)
        yield name, None, first, second


def _frames(
    result: Path, truth: Path, progress: Progress | None
) -> Iterator[tuple[str, float, np.ndarray, np.ndarray]]:
    infos = [probe(path) for path in (result, truth)]
    if progress is not None:
        progress.total(infos[0].frames_hint)
    counts = [0, 0]
    readers = [read_frames(path, info) for path, info in zip((result, truth), infos, strict=True)]
    for number, (first, second) in enumerate(zip_longest(*readers)):
        counts = [count + (frame is not None) for count, frame in zip(counts, (first, second), strict=True)]
        if isinstance(first, Frame) and isinstance(second, Frame):
            yield f"frame {number}", first.time, first.rgb, second.rgb
    if counts[0] != counts[1]:
        what = f"the films have {counts[0]} and {counts[1]} frames, so they cannot be compared one by one"
        raise InputError(what, result, "Compare films of equal length, or use eval video")


def _same_size(first: np.ndarray, second: np.ndarray, name: str, file: Path) -> None:
    if first.shape == second.shape:
        return
    sizes = [f"{image.shape[1]}x{image.shape[0]}" for image in (first, second)]
    what = f"{name} is {sizes[0]}, its counterpart {sizes[1]}"
    raise InputError(what, file, "Both must have one size: make the result at the size of the reference")
