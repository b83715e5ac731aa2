"""What a training folder holds, and its samples.

:func:`recognise` looks at folders and gives a :class:`Layout`, whose samples :func:`read` turns into arrays.
"""

from gantool.layouts.recognition import Layout, recognise
from gantool.layouts.samples import (
    DO_NOT_CARE,
    KINDS,
    PICTURE_SUFFIXES,
    Kind,
    Sample,
    natural,
    read,
    read_labels,
    read_rgb,
)

__all__ = [
    "DO_NOT_CARE",
    "KINDS",
    "PICTURE_SUFFIXES",
    "Kind",
    "Layout",
    "Sample",
    "natural",
    "read",
    "read_labels",
    "read_rgb",
    "recognise",
]
