"""Real-ESRGAN's own code, taken from a checkout of its repository, for side-by-side timings.

Its scripts import basicsr and ffmpeg-python for things that are not timed here, a download and a command
line. Small stand-ins take their place, so that neither needs to be installed.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from gantool.models.rrdbnet import RRDBNet
from gantool.models.srvgg import SRVGGNetCompact


def _compact(act_type: str, **sizes: int) -> nn.Module:
    """The net as its scripts ask for it; prelu is what ours always has."""
    if act_type != "prelu":
        raise ValueError(act_type)
    return SRVGGNetCompact(**sizes).eval()


def _module(name: str, **content: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(content)
    sys.modules[name] = module


def _prepare(checkout: Path) -> None:
    def no_download(**_: Any) -> None:
        raise RuntimeError("this benchmark downloads nothing")

    for name in ("basicsr", "basicsr.utils", "basicsr.archs"):
        _module(name, __path__=[])
    _module("basicsr.archs.rrdbnet_arch", RRDBNet=RRDBNet)
    _module("basicsr.utils.download_util", load_file_from_url=no_download)
    _module("realesrgan", __path__=[str(checkout / "realesrgan")])
    _module("realesrgan.archs", __path__=[])
    _module("realesrgan.archs.srvgg_arch", SRVGGNetCompact=_compact)
    _module("ffmpeg")
    sys.path.insert(0, str(checkout))
    utils = importlib.import_module("realesrgan.utils")
    sys.modules["realesrgan"].__dict__["RealESRGANer"] = utils.RealESRGANer


def upsampler(checkout: Path, net: nn.Module, folder: Path, scale: int = 4) -> Any:
    """Its ``RealESRGANer`` around a net, in float32 on the CPU, with the settings of its script."""
    _prepare(checkout)
    file = folder / "weights.pth"
    torch.save({"params": net.state_dict()}, file)
    cls = sys.modules["realesrgan"].RealESRGANer  # type: ignore[attr-defined]
    return cls(scale=scale, model_path=str(file), model=net, tile=0, tile_pad=10, pre_pad=0, half=False)


class _Pipe:
    """One end of an ffmpeg process, with what the script calls of it."""

    def __init__(self, command: list[str], **pipes: Any) -> None:
        self.process = subprocess.Popen(command, **pipes)
        self.stdout = self.process.stdout
        self.stdin = self.process.stdin or SimpleNamespace(close=lambda: None)

    def wait(self) -> None:
        self.process.wait()


def film(checkout: Path, weights: Path, source: Path, target: Path, folder: Path) -> None:
    """Its video script's ``inference_video`` with the net realesr-animevideov3, x4, float32.

    Reading and writing go through the ffmpeg program as in the script, with the arguments that it gives.
    """
    from imageio_ffmpeg import get_ffmpeg_exe

    from gantool.media.video import probe

    _prepare(checkout)
    script: Any = importlib.import_module("inference_realesrgan_video")
    info, exe = probe(source), get_ffmpeg_exe()
    raw = ["-f", "rawvideo", "-pix_fmt", "bgr24"]

    class Reader(script.Reader):
        def __init__(self, args: Any, *_: Any) -> None:
            self.args, self.input_type, self.audio, self.idx = args, "video/mp4", None, 0
            self.width, self.height, self.input_fps = info.width, info.height, float(info.fps)
            self.nb_frames = info.frames_hint or 0
            command = [exe, "-i", str(source), *raw, "-loglevel", "error", "pipe:"]
            self.stream_reader = _Pipe(command, stdout=subprocess.PIPE)

    class Writer(script.Writer):
        def __init__(self, args: Any, audio: Any, height: int, width: int, path: str, fps: float) -> None:
            size = f"{int(width * args.outscale)}x{int(height * args.outscale)}"
            command = [exe, *raw, "-s", size, "-framerate", str(fps), "-i", "pipe:", "-pix_fmt", "yuv420p"]
            command += ["-vcodec", "libx264", "-loglevel", "error", "-y", path]
            self.stream_writer = _Pipe(command, stdin=subprocess.PIPE)

    script.Reader, script.Writer = Reader, Writer
    torch.cuda.synchronize = lambda *_: None  # the script calls it on a CPU too, where it fails
    place = folder / "weights"
    place.mkdir()
    state = torch.load(weights, "cpu", weights_only=True)
    torch.save({"params": state.get("params", state)}, place / "realesr-animevideov3.pth")
    args = SimpleNamespace(
        model_name="realesr-animevideov3", denoise_strength=0.5, outscale=4, tile=0, tile_pad=10, pre_pad=0,
        face_enhance=False, fp32=True, fps=None, ffmpeg_bin=exe, input=str(source),
    )  # fmt: skip
    here = Path.cwd()
    os.chdir(folder)  # where it looks for weights/
    try:
        script.inference_video(args, str(target), device=torch.device("cpu"))
    finally:
        os.chdir(here)


def enlarge(model: Any, picture: np.ndarray) -> np.ndarray:
    """uint8 RGB (H,W,3) -> float (4H,4W,3) in [0,1], by its ``enhance``."""
    with torch.no_grad():
        made, _ = model.enhance(np.ascontiguousarray(picture[..., ::-1]), outscale=4)
    return made[..., ::-1] / np.float32(255)
