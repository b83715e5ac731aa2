"""A film through gantool, through a plain loop of OpenCV, and through Real-ESRGAN's video script.

    python tests/bench/bench_film.py [--task upscale colorize] [--frames 48] [--rounds 2]
        [--weights realesr-animevideov3.pth] [--peer CHECKOUT]

upscale: 426x240 -> x4 with the net of realesr-animevideov3 (random weights without --weights). colorize:
854x480 with the built-in net. The plain loop reads a frame, runs the same net in float32, writes the frame
with OpenCV's MPEG-4 encoder (it has no H.264), and so on; gantool and Real-ESRGAN encode H.264. ``--peer``
is a checkout of Real-ESRGAN's repository. Each way runs in a process of its own, in turns; model loading does
not count; the best round does. Ratios above 1: quicker than the plain loop.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from gantool.catalog import Checkpoint, load_catalog
from gantool.devices import cpu_threads, pick_dtype, use_threads
from gantool.engine import Step, run_video
from gantool.loading import load_net, placed
from gantool.media.video import probe, write_clip
from gantool.models.srvgg import SRVGGNetCompact
from gantool.ops import doubling
from gantool.pipelines import colorize, upscale
from gantool.selection import select
from gantool.temporal import TemporalOptions

CPU = torch.device("cpu")
SIZES = {"upscale": (426, 240), "colorize": (854, 480)}
WAYS = ("plain loop", "gantool fp32", "gantool auto", "gantool auto, steady", "Real-ESRGAN script")


def compact(weights: Path | None) -> tuple[torch.nn.Module, Checkpoint]:
    torch.manual_seed(0)
    net = SRVGGNetCompact(num_in_ch=3, num_out_ch=3, num_feat=64, num_conv=16, upscale=4)
    if weights is not None:
        state = torch.load(weights, "cpu", weights_only=True)
        net.load_state_dict(state.get("params", state))
    row = Checkpoint("compact", "upscale", "srvgg.SRVGGNetCompact", scale=4, radius=18, dtypes=("bf16",))
    return net.eval().requires_grad_(False), row


def ours(task: str, source: Path, target: Path, weights: Path | None, how: str) -> tuple[int, float]:
    precision = "fp32" if "fp32" in how else "auto"
    if task == "upscale":
        net, row = compact(weights)
        dtype = pick_dtype(precision, CPU, row)
        made = upscale.build(placed(net, CPU, dtype), row, device=CPU, dtype=dtype)
    else:
        choice = select("builtin", task, catalog=load_catalog(), device_class="cpu")
        assert choice.path is not None
        dtype = pick_dtype(precision, CPU, choice.row)
        net = load_net(choice.row, choice.path, CPU, dtype)
        made = colorize.build(net, choice.row, device=CPU, dtype=dtype)
    steady = TemporalOptions() if "steady" in how else None
    report = run_video(probe(source), target, [Step(made, steady, 4 if task == "colorize" else 1)])
    shares = {name: round(1e3 * spent / report.frames, 1) for name, spent in report.stages.items()}
    print(json.dumps(shares), file=sys.stderr)
    return report.frames, report.seconds


def plain(task: str, source: Path, target: Path, weights: Path | None) -> tuple[int, float]:
    """Read, net, write; one after the other, in float32."""
    if task == "upscale":
        net, _ = compact(weights)
    else:
        choice = select("builtin", task, catalog=load_catalog(), device_class="cpu")
        assert choice.path is not None
        net = load_net(choice.row, choice.path, CPU, torch.float32)
    doubling._LEAST = 1 << 40  # the net as anybody would write it
    began = time.perf_counter()
    film, writer, count = cv2.VideoCapture(str(source)), None, 0
    while True:
        there, frame = film.read()
        if not there:
            break
        if task == "upscale":
            x = torch.from_numpy(frame[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
            with torch.no_grad():
                y = net(x)
            picture = (y[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()[..., ::-1]
        else:
            picture = colored(net, frame)
        if writer is None:
            size = (picture.shape[1], picture.shape[0])
            code = cv2.VideoWriter.fourcc(*"mp4v")
            writer = cv2.VideoWriter(str(target), code, film.get(cv2.CAP_PROP_FPS), size)
        writer.write(np.ascontiguousarray(picture))
        count += 1
    assert writer is not None
    writer.release()
    return count, time.perf_counter() - began


def colored(net: torch.nn.Module, frame: np.ndarray) -> np.ndarray:
    """BGR (H,W,3) in colour, with OpenCV's Lab and its resizing, as examples of colorizers do it."""
    height, width = frame.shape[:2]
    short = int(getattr(net, "render_size_film", getattr(net, "render_size", 256)))
    tall, wide = colorize.render_shape(height, width, short, 32)
    scaled = frame.astype(np.float32) / 255
    light = cv2.cvtColor(scaled, cv2.COLOR_BGR2Lab)[..., 0]
    small = cv2.cvtColor(cv2.resize(scaled, (wide, tall), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2Lab)
    with torch.no_grad():
        ab = net(torch.from_numpy(small[..., 0] / 100)[None, None])[0].permute(1, 2, 0).numpy()
    lab = np.dstack((light, cv2.resize(ab, (width, height))))
    return (cv2.cvtColor(lab, cv2.COLOR_Lab2BGR).clip(0, 1) * 255).round().astype(np.uint8)


def child(options: argparse.Namespace) -> None:
    if "gantool" in options.child:
        use_threads()
    else:
        torch.set_num_threads(cpu_threads())
    (task,), source, how = options.task, options.source, options.child
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "out.mp4"
        if how == "plain loop":
            frames, seconds = plain(task, source, target, options.weights)
        elif how == "Real-ESRGAN script":
            import real_esrgan

            began = time.perf_counter()
            real_esrgan.film(options.peer, options.weights, source, target, Path(folder))
            frames, seconds = options.frames, time.perf_counter() - began
        else:
            frames, seconds = ours(task, source, target, options.weights, how)
    own, others = (
        resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(json.dumps({"fps": frames / seconds, "megabytes": (own + others) / 1024}))


def pan(frames: int, width: int, height: int) -> Any:
    """A view that moves over structure of all sizes, with grain; every frame differs."""
    rng = np.random.default_rng(0)
    wide = width + 2 * frames
    canvas = np.zeros((height, wide, 3), np.float32)
    for size in (4, 16, 64):
        noise = rng.standard_normal((height // size + 2, wide // size + 2, 3)).astype(np.float32)
        canvas += size**0.5 * cv2.resize(noise, (wide, height), interpolation=cv2.INTER_CUBIC)
    canvas = 128 + canvas * (50 / canvas.std())
    for index in range(frames):
        view = canvas[:, 2 * index : 2 * index + width] + rng.normal(0, 2, (height, width, 1))
        yield np.clip(view, 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", nargs="+", default=["upscale", "colorize"], choices=list(SIZES))
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="words that a way's name must contain")
    parser.add_argument("--source", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    for task in options.task:
        width, height = SIZES[task]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "source.mp4"
            write_clip(source, pan(options.frames, width, height), Fraction(25), preset="ultrafast")
            found: dict[str, list[dict[str, float]]] = {}
            for _ in range(options.rounds):
                for way in WAYS:
                    if options.only and not any(word in way for word in options.only):
                        continue
                    if way == "Real-ESRGAN script" and (
                        task != "upscale" or not (options.peer and options.weights)
                    ):
                        continue
                    command = [
                        sys.executable,
                        __file__,
                        "--task",
                        task,
                        "--child",
                        way,
                        "--source",
                        str(source),
                    ]
                    command += ["--frames", str(options.frames)]
                    command += ["--weights", str(options.weights.resolve())] if options.weights else []
                    command += ["--peer", str(options.peer.resolve())] if options.peer else []
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        print(f"  {way}: failed: {done.stderr.strip().splitlines()[-1][:200]}")
                        continue
                    stages = [line for line in done.stderr.splitlines() if line.startswith('{"decode')]
                    if stages:
                        print(f"  {way}: ms per frame {stages[0]}", flush=True)
                    found.setdefault(way, []).append(json.loads(done.stdout.splitlines()[-1]))
        best = {way: max(runs, key=lambda run: run["fps"]) for way, runs in found.items()}
        base = best.get("plain loop", {}).get("fps", float("nan"))
        print(f"{task}, {width}x{height}, {options.frames} frames, {cpu_threads()} threads")
        for way, run in best.items():
            speed = f"{run['fps']:.2f} frames/s, ratio {run['fps'] / base:.2f}"
            print(f"  {way}: {speed}, {run['megabytes']:.0f} MB")


if __name__ == "__main__":
    main()
