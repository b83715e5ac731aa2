"""Frames per second of colorize and upscale, with and without the temporal filter, and where the time goes.

    python tests/bench/bench_video.py [--frames 24] [--size 640x360] [--device auto] [--flow farneback dis]

Without --model the nets have the shape of the built-in ones and random weights, which changes no figure.
Asserts nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gantool.catalog import Checkpoint, load_catalog
from gantool.devices import cpu_threads, device_class, pick_device, pick_dtype
from gantool.engine import Step, run_video
from gantool.hub import fetch
from gantool.loading import load_net
from gantool.media.video import VideoInfo, probe, write_clip
from gantool.models.colorizer import ResNetUNet
from gantool.models.srvgg import SRVGGNetCompact
from gantool.pipelines import Pipeline, colorize, upscale
from gantool.selection import select
from gantool.temporal import TemporalOptions

STAGES = ("decode", "flow", "net", "blend", "finish", "encode")


def film(frames: int, height: int, width: int):
    """A pan over structure of all sizes, with grain."""
    rng = np.random.default_rng(0)
    wide = width + 3 * frames
    canvas = np.zeros((height, wide, 3), np.float32)
    for size in (4, 16, 64):
        noise = rng.standard_normal((height // size + 2, wide // size + 2, 3)).astype(np.float32)
        canvas += size**0.5 * cv2.resize(noise, (wide, height), interpolation=cv2.INTER_CUBIC)
    canvas = 128 + canvas * (60 / canvas.std())
    for index in range(frames):
        view = canvas[:, 3 * index : 3 * index + width] + rng.normal(0, 3, (height, width, 1))
        yield np.clip(view, 0, 255).astype(np.uint8)


RANDOM = {
    "colorize": Checkpoint("random", "colorize", color="lab", multiple=32, dtypes=("bf16",)),
    "upscale": Checkpoint("random", "upscale", scale=2, radius=18, dtypes=("bf16",)),
}


def pipeline(task: str, device: torch.device, precision: str, model: str | None) -> Pipeline:
    build = colorize.build if task == "colorize" else upscale.build
    if model is None:
        row = RANDOM[task]
        dtype = pick_dtype(precision, device, row)
        net = ResNetUNet() if task == "colorize" else SRVGGNetCompact(num_feat=48, num_conv=16, upscale=2)
        net = net.eval().requires_grad_(False).to(device, dtype)
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    else:
        choice = select(model, task, catalog=load_catalog(), device_class=device_class(device))
        row, path = choice.row, choice.path or fetch(choice.row)
        dtype = pick_dtype(precision, device, row)
        net = load_net(row, path, device, dtype)
    return build(net, row, device=device, dtype=dtype)


def measure(
    info: VideoInfo, made: Pipeline, temporal: TemporalOptions | None, batch: int, preset: str
) -> str:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        writer = {"preset": preset}
        run_video(info, target, [Step(made, temporal, batch)], writer=writer, duration=0.2)
        report = run_video(info, target, [Step(made, temporal, batch)], writer=writer)
    total = sum(report.stages.values())
    shares = "  ".join(
        f"{stage} {1e3 * report.stages[stage] / report.frames:6.1f} ms {report.stages[stage] / total:4.0%}"
        for stage in STAGES
    )
    return f"{report.frames / report.seconds:6.2f} frames/s   {shares}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--size", default="640x360", help="WIDTHxHEIGHT of the source")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--preset", default="medium")
    parser.add_argument("--flow", nargs="*", default=["farneback", "dis"])
    parser.add_argument("--task", nargs="*", default=["colorize", "upscale"])
    parser.add_argument("--model", help="a catalog name, builtin, or a path; one --task then")
    options = parser.parse_args()
    width, height = (int(side) for side in options.size.split("x"))
    device = pick_device(options.device)
    threads = cpu_threads()
    torch.set_num_threads(threads)
    print(f"{options.frames} frames {width}x{height}, {device}, {threads} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        write_clip(source, film(options.frames, height, width), Fraction(25), preset="ultrafast")
        info = probe(source)
        for task in options.task:
            made = pipeline(task, device, options.precision, options.model)
            runs = {"off": None, **{flow: TemporalOptions(flow=flow) for flow in options.flow}}
            for name, temporal in runs.items():
                figures = measure(info, made, temporal, options.batch_size, options.preset)
                print(f"{task:9} {made.model:24} temporal {name:10} {figures}", flush=True)


if __name__ == "__main__":
    main()
