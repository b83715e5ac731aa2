"""Video files: what is in them, their frames, and writing them again. See the modules named below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantool.media.clip import write_clip
from gantool.media.decode import Frame, read_frames
from gantool.media.encode import VideoWriter
from gantool.media.encoders import plan_picture, writable_suffixes
from gantool.media.info import VideoInfo
from gantool.media.pictures import PictureWriter, place
from gantool.media.probe import probe
from gantool.media.trial import try_encoder
from gantool.numbered import is_numbered

__all__ = [
    "Frame",
    "PictureWriter",
    "VideoInfo",
    "VideoWriter",
    "is_deep",
    "open_writer",
    "place",
    "probe",
    "read_frames",
    "try_encoder",
    "writable_suffixes",
    "write_clip",
]


def is_deep(path: Path, info: VideoInfo, *, codec: str = "auto", pix_fmt: str = "auto", **_: Any) -> bool:
    """Whether frames are worth having in 16 bits: the source has more than 8, or the target is to get them.

    Options as for :func:`open_writer`; those without a bearing on it are passed over.
    """
    if info.deep or is_numbered(path):
        return info.deep
    return plan_picture(path, info, (info.width, info.height), codec=codec, pix_fmt=pix_fmt).deep


def open_writer(
    path: Path, info: VideoInfo, width: int, height: int, *, quality: int = 95, **options: Any
) -> VideoWriter | PictureWriter:
    """The writer for a target: a film, or numbered pictures of ``quality``; options of ``VideoWriter``."""
    if is_numbered(path):
        return PictureWriter(path, info, width, height, quality=quality, **options)
    return VideoWriter(path, info, width, height, **options)
