"""Time of enlarging one picture, beside other ways to run the same net with the same weights.

    python tests/bench/bench_upscale.py [--nets rrdbnet compact] [--sizes 256x256 1280x720] [--rounds 3]
        [--peer CHECKOUT]

gantool is measured whole: bytes in, bytes out, the bicubic base, tiles, the check for NaN. The others get a
float array and give one: spandrel's net in a plain float32 loop, the ``RealESRGANer`` of Real-ESRGAN's script
(``--peer``: a checkout of its repository; it gives bytes, in float32), and what of onnxruntime, OpenVINO and
ncnn (with pnnx and onnx to convert for them) is installed. All run in turns in one process with the same
number of threads, and with gantool's memory settings, which the others profit from as well; the best time of
each counts. A ratio above 1: gantool at automatic precision is quicker.
Weights are random: speed does not depend on them, and the answers are compared.
"""

from __future__ import annotations

import argparse
import importlib
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gantool.catalog import Checkpoint
from gantool.devices import pick_dtype, use_threads
from gantool.inference import Runner, to_array
from gantool.loading import placed
from gantool.models.rrdbnet import RRDBNet
from gantool.models.srvgg import SRVGGNetCompact
from gantool.pipelines import upscale

Way = Callable[[np.ndarray], np.ndarray]  # uint8 (H,W,3) -> float (4H,4W,3) in about [0,1]
CPU = torch.device("cpu")


def net_of(kind: str) -> tuple[nn.Module, Checkpoint]:
    """The net of that name with seeded weights, and its row."""
    torch.manual_seed(0)
    if kind == "rrdbnet":
        net, arch, radius = RRDBNet(), "rrdbnet.RRDBNet", 64
    else:
        args = {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_conv": 32, "upscale": 4}
        net, arch, radius = SRVGGNetCompact(**args), "srvgg.SRVGGNetCompact", 34
    row = Checkpoint(kind, "upscale", arch, scale=4, radius=radius, dtypes=("bf16",))
    return net.eval().requires_grad_(False), row


def batch_of(picture: np.ndarray) -> np.ndarray:
    """uint8 (H,W,3) -> float32 (1,3,H,W) in [0,1]."""
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], dtype=np.float32) / 255


def picture_of(array: np.ndarray) -> np.ndarray:
    return array.reshape(array.shape[-3:]).transpose(1, 2, 0)


def gantool(kind: str, precision: str) -> Way:
    net, row = net_of(kind)
    dtype = pick_dtype(precision, CPU, row)
    runner = Runner(upscale.build(placed(net, CPU, dtype), row, device=CPU, dtype=dtype))

    def way(picture: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            x = runner.load(picture[None])
            return to_array(runner.finish(x, runner.predict(x)))[0] / np.float32(255)

    return way


def spandrel(kind: str) -> Way:
    import spandrel

    net, _ = net_of(kind)
    model = spandrel.ModelLoader(device="cpu").load_from_state_dict(net.state_dict()).model.eval()

    def way(picture: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return picture_of(model(torch.from_numpy(batch_of(picture))).numpy())

    return way


def real_esrgan(kind: str, folder: Path, checkout: Path) -> Way:
    import real_esrgan

    net, _ = net_of(kind)
    model = real_esrgan.upsampler(checkout, net, folder)
    return lambda picture: real_esrgan.enlarge(model, picture)


def onnx_of(kind: str, shape: tuple[int, int], folder: Path) -> Path:
    """The net as an ONNX file for pictures of one size."""
    path = folder / f"{kind}-{shape[0]}x{shape[1]}.onnx"
    if not path.exists():
        net, _ = net_of(kind)
        torch.onnx.export(net, (torch.rand(1, 3, *shape),), path, dynamo=True, verbose=False)
    return path


def onnxruntime(kind: str, shape: tuple[int, int], folder: Path, threads: int) -> Way:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(onnx_of(kind, shape, folder), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda picture: picture_of(session.run(None, {name: batch_of(picture)})[0])


def openvino(kind: str, shape: tuple[int, int], folder: Path, threads: int, precision: str) -> Way:
    openvino: Any = importlib.import_module("openvino")
    core = openvino.Core()
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    model = core.compile_model(core.read_model(onnx_of(kind, shape, folder)), "CPU", hints)
    return lambda picture: picture_of(next(iter(model(batch_of(picture)).values())))


def ncnn(kind: str, shape: tuple[int, int], folder: Path, threads: int) -> Way:
    ncnn: Any = importlib.import_module("ncnn")
    pnnx: Any = importlib.import_module("pnnx")

    net, _ = net_of(kind)
    stem = folder / f"{kind}_{shape[0]}x{shape[1]}"
    here = Path.cwd()
    os.chdir(folder)  # pnnx leaves its notes in the current folder
    try:
        pnnx.export(net, f"{stem}.pt", torch.rand(1, 3, *shape), fp16=False)
    finally:
        os.chdir(here)
    runner = ncnn.Net()
    runner.opt.num_threads = threads
    runner.load_param(f"{stem}.ncnn.param")
    runner.load_model(f"{stem}.ncnn.bin")

    def way(picture: np.ndarray) -> np.ndarray:
        array = batch_of(picture)[0]  # a Mat does not keep it
        with runner.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(array))
            _, out = extractor.extract("out0")
            return picture_of(np.array(out))

    return way


def ways(
    kind: str, shape: tuple[int, int], folder: Path, threads: int, peer: Path | None
) -> dict[str, Callable[[], Way]]:
    of_the_peer = {"Real-ESRGAN fp32": lambda: real_esrgan(kind, folder, peer)} if peer is not None else {}
    return {
        "gantool auto": lambda: gantool(kind, "auto"),
        "gantool fp32": lambda: gantool(kind, "fp32"),
        "spandrel fp32": lambda: spandrel(kind),
        **of_the_peer,
        "onnxruntime fp32": lambda: onnxruntime(kind, shape, folder, threads),
        "OpenVINO fp32": lambda: openvino(kind, shape, folder, threads, "f32"),
        "OpenVINO bf16": lambda: openvino(kind, shape, folder, threads, "bf16"),
        "ncnn": lambda: ncnn(kind, shape, folder, threads),
    }


def measure(kind: str, width: int, height: int, options: argparse.Namespace, folder: Path) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    ready: dict[str, Way] = {}
    for name, make in ways(kind, (height, width), folder, options.threads, options.peer).items():
        if options.only and not any(word in name.lower() for word in options.only):
            continue
        try:
            ready[name] = make()
        except ImportError as error:
            print(f"  {name}: not installed ({error.name})")
        except Exception as error:
            print(f"  {name}: cannot run it: {str(error).splitlines()[0][:150]}")
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    exact: np.ndarray | None = None
    apart: dict[str, float] = {}
    for turn in range(options.rounds + 1):
        for name, way in ready.items():
            start = time.perf_counter()
            answer = way(picture)
            if turn:
                seconds[name].append(time.perf_counter() - start)
            elif name == "gantool fp32":
                exact = answer
            if not turn and exact is not None:
                apart[name] = float(np.abs(answer.clip(0, 1) - exact).mean())
    ours = min(seconds.get("gantool auto", [float("nan")]))
    print(f"{kind}, {width}x{height} -> x4, {options.threads} threads")
    for name, times in seconds.items():
        best = min(times)
        differs = f", mean difference to gantool fp32 {apart[name]:.5f}" if name in apart else ""
        print(f"  {name}: {best:.3f} s, ratio {best / ours:.2f}{differs}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=["rrdbnet", "compact"])
    parser.add_argument("--sizes", nargs="+", default=["256x256"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--only", nargs="+", default=[], help="words that a way's name must contain")
    options = parser.parse_args()
    use_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        for kind in options.nets:
            for size in options.sizes:
                width, height = map(int, size.split("x"))
                measure(kind, width, height, options, Path(name))


if __name__ == "__main__":
    main()
