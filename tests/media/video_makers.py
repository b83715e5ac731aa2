"""Small clips for the video tests, made on the spot with the ffmpeg that imageio-ffmpeg brings."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np

from gantool.media.video import Frame, VideoInfo, VideoWriter, probe, read_frames

SIZE = "64x48"
SUBTITLES = "1\n00:00:00,200 --> 00:00:01,000\nHello <i>there</i>\n\n2\n00:00:01,200 --> 00:00:01,900\nBye\n"
# Every colour and point is named: the source draws at random, whatever its seed, those that are not.
_COLORS = "c0=0xc03020:c1=0x2050c0:c2=0x30a040:c3=0xd0c040:x0=4:y0=4:x1=60:y1=44"
PICTURE = ("-f", "lavfi", "-i", f"gradients=s={SIZE}:r=25:d=2:speed=0.1:seed=3:n=4:{_COLORS}")
SOUND = ("-f", "lavfi", "-i", "sine=440:d=2:r=48000")
X264 = (
    "-c:v",
    "libx264",
    "-preset",
    "ultrafast",
    "-bf",
    "2",
    "-g",
    "12",
    "-pix_fmt",
    "yuv420p",
    "-crf",
    "12",
)


def ffmpeg(*arguments: str | Path) -> None:
    """Run the bundled ffmpeg program; a failure shows its message."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-nostdin", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def make_clip(path: Path, *options: str | Path, sound: bool = True) -> Path:
    """Two seconds of moving test picture, 25 frames per second, with a tone."""
    inputs = (*PICTURE, *SOUND) if sound else PICTURE
    ffmpeg(*inputs, *X264, *options, path)
    return path


def track_packets(path: Path) -> list[tuple[str, str, list[tuple[float, str]]]]:
    """(type, language, [(time, hash of the payload)]) of every sound and subtitle track."""
    with av.open(f"file:{path}") as container:
        chosen = [s for s in container.streams if s.type in ("audio", "subtitle")]
        packets: dict[int, list[tuple[float, str]]] = {s.index: [] for s in chosen}
        for packet in container.demux(chosen) if chosen else ():
            if packet.pts is not None:
                digest = hashlib.sha256(bytes(packet)).hexdigest()
                packets[packet.stream_index].append((float(packet.pts * packet.time_base), digest))
        return [(s.type, s.language or "und", packets[s.index]) for s in chosen]


def assert_same_tracks(source: Path, target: Path, tolerance: float = 1e-6, shift: float = 0.0) -> None:
    before, after = track_packets(source), track_packets(target)
    assert len(before) == len(after)
    for (kind, language, packets), (kind2, language2, packets2) in zip(before, after, strict=True):
        assert (kind, language) == (kind2, language2)
        assert [digest for _, digest in packets] == [digest for _, digest in packets2]
        moved = np.array([time for time, _ in packets]) - [time for time, _ in packets2]
        assert np.abs(moved - shift).max() <= tolerance


def rewrite(source: Path, target: Path, **options: Any) -> tuple[VideoInfo, list[Frame], list[str]]:
    """Copy a video frame by frame; the source's info, its frames, and the warnings."""
    warnings: list[str] = []
    reading = {key: options.pop(key) for key in ("deinterlace", "tonemap") if key in options}
    info = probe(source, **reading)
    part = {key: options[key] for key in ("start", "duration", "keep_partial") if key in options}
    deep = options.pop("deep", False)
    frames = list(read_frames(source, info, deep=deep, warn=warnings.append, **part))
    options = {"preset": "ultrafast", "warn": warnings.append, **options}
    with VideoWriter(target, info, info.width, info.height, **options) as writer:
        for frame in frames:
            writer.write(frame.rgb, frame.pts, frame.duration)
    return info, frames, warnings


def times(frames: list[Frame]) -> np.ndarray:
    """Presentation times in seconds."""
    return np.array([frame.time for frame in frames])


def difference(first: list[Frame], second: list[Frame]) -> float:
    """Mean absolute difference of two equally long lists of frames, in levels."""
    assert len(first) == len(second)
    return float(
        np.mean([np.abs(a.rgb.astype(float) - b.rgb).mean() for a, b in zip(first, second, strict=True)])
    )


def yuv_coefficients(matrix: str) -> tuple[float, float]:
    """(Kr, Kb) of a colour matrix, from H.273."""
    return {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020": (0.2627, 0.0593)}[matrix]


def rgb_to_yuv(rgb: np.ndarray, matrix: str, full: bool, bits: int = 8) -> np.ndarray:
    """(...,3) RGB in 0..255 to integer Y, U, V by the formulas of H.273."""
    kr, kb = yuv_coefficients(matrix)
    red, green, blue = np.moveaxis(rgb.astype(float) / 255, -1, 0)
    luma = kr * red + (1 - kr - kb) * green + kb * blue
    u, v = (blue - luma) / (2 * (1 - kb)), (red - luma) / (2 * (1 - kr))
    scale = 2 ** (bits - 8)
    if full:
        peak = 2**bits - 1
        planes = [luma * peak, u * peak + 128 * scale, v * peak + 128 * scale]
    else:
        planes = [(16 + 219 * luma) * scale, (128 + 224 * u) * scale, (128 + 224 * v) * scale]
    return np.rint(np.clip(np.stack(planes, -1), 0, 2**bits - 1)).astype(int)


def yuv_to_rgb(yuv: np.ndarray, matrix: str, full: bool, bits: int = 8) -> np.ndarray:
    """The inverse, in floating point, clipped to 0..255."""
    kr, kb = yuv_coefficients(matrix)
    scale = 2 ** (bits - 8)
    luma, u, v = np.moveaxis(yuv.astype(float), -1, 0)
    if full:
        peak = 2**bits - 1
        luma, u, v = luma / peak, (u - 128 * scale) / peak, (v - 128 * scale) / peak
    else:
        luma, u, v = (luma / scale - 16) / 219, (u / scale - 128) / 224, (v / scale - 128) / 224
    red, blue = luma + 2 * (1 - kr) * v, luma + 2 * (1 - kb) * u
    green = (luma - kr * red - kb * blue) / (1 - kr - kb)
    return np.clip(np.stack([red, green, blue], -1) * 255, 0, 255)


def patches() -> np.ndarray:
    """(48,64,3) uint8: twelve plain colours, grey ones among them, in 16x16 squares."""
    colours = np.array(
        [
            *([0, 0, 0], [255, 255, 255], [128, 128, 128], [220, 30, 40]),
            *([30, 180, 60], [40, 50, 200], [230, 210, 60], [200, 60, 190]),
            *([50, 190, 200], [120, 80, 40], [250, 180, 150], [64, 64, 64]),
        ],
        dtype=np.uint8,
    ).reshape(3, 4, 3)
    return np.kron(colours, np.ones((16, 16, 1), dtype=np.uint8))


def colour_clip(path: Path, matrix: str, *, full: bool, tagged: bool, bits: int = 8, scale: int = 1) -> Path:
    """Five lossless 4:4:4 frames of :func:`patches` in a given matrix and range."""
    rgb = np.kron(patches(), np.ones((scale, scale, 1), dtype=np.uint8))
    yuv = rgb_to_yuv(rgb, matrix, full, bits)
    return encode_planes(path, yuv, matrix, full=full, tagged=tagged, bits=bits)


def encode_planes(
    path: Path,
    yuv: np.ndarray,
    matrix: str,
    *,
    full: bool,
    tagged: bool = True,
    bits: int = 10,
    transfer: str | None = None,
) -> Path:
    """Five lossless 4:4:4 frames of (H,W,3) integers Y, U, V."""
    pix_fmt = "yuv444p" if bits == 8 else "yuv444p10le"
    planes = np.moveaxis(yuv, -1, 0).astype(np.uint8 if bits == 8 else "<u2")
    raw = path.with_suffix(".yuv")
    raw.write_bytes(planes.tobytes() * 5)
    primaries, usual, space = {
        "bt709": ("bt709", "bt709", "bt709"),
        "bt601": ("smpte170m", "smpte170m", "smpte170m"),
        "bt2020": ("bt2020", "bt2020-10", "bt2020nc"),
    }[matrix]
    size = f"{yuv.shape[1]}x{yuv.shape[0]}"
    tags = ("-color_primaries", primaries, "-color_trc", transfer or usual, "-colorspace", space)
    tags = (*tags, "-color_range", "pc" if full else "tv") if tagged else ()
    source = ("-f", "rawvideo", "-pix_fmt", pix_fmt, "-s", size, "-r", "25", *tags, "-i", raw)
    ffmpeg(*source, "-c:v", "libx264", "-qp", "0", "-preset", "ultrafast", *tags, path)
    return path
