"""Picture files to arrays and back: what the rest of gantool imports.

Reading is in :mod:`image_read` (deep pixels in :mod:`image_deep`), writing in :mod:`image_write`.
"""

from gantool.media.icc import srgb_profile
from gantool.media.image_read import read_picture
from gantool.media.image_write import check_target, encode_picture, write_picture
from gantool.media.picture import Picture, format_of, readable_suffixes, writable_suffixes

__all__ = [
    "Picture",
    "check_target",
    "encode_picture",
    "format_of",
    "read_picture",
    "readable_suffixes",
    "srgb_profile",
    "writable_suffixes",
    "write_picture",
]
