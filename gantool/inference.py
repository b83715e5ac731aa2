"""Run a pipeline on arrays: batches that shrink when memory runs out, and every value checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from gantool.devices import is_out_of_memory, remedy_for_memory
from gantool.errors import DeviceError
from gantool.ops.resize import resize, to_tensor
from gantool.pipelines import Context, Pipeline


class Runner:
    """A pipeline with the batch size that fits, for one job.

    Args:
        batch_size: the most pictures that go through the net at once.
        strength: 0..1, how much of the effect; at 0 the net is not run and the source, at the pipeline's
            output size, comes back. Apart from any strength that the pipeline was built with.
        warn: told when the batch was halved for want of memory.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        batch_size: int = 1,
        strength: float = 1.0,
        warn: Callable[[str], None] | None = None,
    ) -> None:
        if batch_size < 1 or not 0 <= strength <= 1:
            raise ValueError("batch_size must be at least 1 and strength lie between 0 and 1")
        self.pipeline = pipeline
        self.strength = strength
        self._most = batch_size
        self._warn = warn or (lambda _: None)

    def load(self, frames: np.ndarray) -> Tensor:
        """uint8 or uint16 RGB (N,H,W,3) -> x (N,3,H,W) in [0,1] on the pipeline's device."""
        if self.pipeline.device.type != "cpu" and frames.dtype == np.uint8:
            x = torch.from_numpy(np.ascontiguousarray(frames)).to(self.pipeline.device)
            return x.movedim(-1, 1).float().div_(255)
        return to_tensor(frames).to(self.pipeline.device)

    def predict(self, x: Tensor, times: tuple[float, ...] = (), side: dict[str, Any] | None = None) -> Tensor:
        """The layers of pictures x; DeviceError for values that are not numbers, or for lack of memory.

        ``times``, ``side``: as ``Context`` has them.
        """

        def run(start: int, end: int) -> Tensor:
            layer = self.pipeline.predict(x[start:end], Context(times[start:end], side or {}))
            return self._checked(layer, times[start:end])

        return self._in_pieces(run, len(x))

    def finish(self, x: Tensor, layer: Tensor) -> Tensor:
        """Pictures x and their layers -> y (N,3,H',W') in [0,1], the output size of the pipeline."""

        def run(start: int, end: int) -> Tensor:
            y = self.pipeline.finish(x[start:end], layer[start:end])
            if self.strength < 1:
                base = self.base(x[start:end])
                y = base + self.strength * (y - base)
            return self._checked(y)

        return self._in_pieces(run, len(x))

    def base(self, x: Tensor) -> Tensor:
        """What strength 0 gives: the source itself, resized bicubically where the output has another size."""
        return resize(x, *self.pipeline.output_size(*x.shape[-2:])).clamp(0, 1)

    def _checked(self, result: Tensor, times: tuple[float, ...] = ()) -> Tensor:
        # NaN would become black when it is cast to bytes. A sum is finite only when every value is.
        if not bool(torch.isfinite(result.sum(dtype=torch.float32))):
            where = f" at {times[0]:.2f} s" if times else ""
            raise DeviceError(
                f"the model {self.pipeline.model} gave values that are not numbers{where}",
                remedy="Use --precision fp32",
            )
        return result

    def _in_pieces(self, run: Callable[[int, int], Tensor], count: int) -> Tensor:
        pieces: list[Tensor] = []
        start = 0
        while start < count:
            end = min(start + self._most, count)
            try:
                pieces.append(run(start, end))
                start = end
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler, whose traceback still holds the tensors that did not fit.
            self._shrink(end - start)
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces)

    def _shrink(self, tried: int) -> None:
        if self.pipeline.device.type == "cuda":
            torch.cuda.empty_cache()
        if tried == 1:
            smaller = "--render-size" if self.pipeline.task == "colorize" else "--tile-px"
            remedy = remedy_for_memory(self.pipeline.device, f"a smaller {smaller}")
            raise DeviceError("out of memory with a single picture", remedy=remedy)
        self._most = tried // 2
        self._warn(f"out of memory: batches of {self._most} from here on (--batch-size {self._most})")


def to_array(y: Tensor, bits: int = 8) -> np.ndarray:
    """y (N,C,H,W) in [0,1] -> uint8 or uint16 (N,H,W,C), rounded to the nearest value, contiguous."""
    peak = (1 << bits) - 1
    levels = (y * peak).round_().clamp_(0, peak)
    if bits == 8:
        return _pixelwise(levels.to(torch.uint8).cpu().numpy())
    return _pixelwise(levels.cpu().numpy().astype(np.uint16))


def _pixelwise(planes: np.ndarray) -> np.ndarray:
    """(N,C,H,W) of any memory order -> (N,H,W,C), contiguous."""
    pixels = np.moveaxis(planes, 1, -1)
    if pixels.flags.c_contiguous or pixels.size == 0:
        return np.ascontiguousarray(pixels)
    answer = np.empty(pixels.shape, pixels.dtype)
    for picture, target in zip(planes, answer, strict=True):
        cv2.merge(list(picture), dst=target)  # several times as quick as numpy and torch
    return answer
