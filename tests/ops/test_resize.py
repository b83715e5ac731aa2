"""Resampling: exact identities, and a recorded digest of the MATLAB kernel."""

import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gantool.ops.resize import matlab_resize, mirror_pad, resize, to_tensor


def test_same_size_is_the_same_tensor():
    x = torch.rand(1, 3, 7, 9)
    assert resize(x, 7, 9) is x


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(3, 5), (14, 18), (20, 4)])
def test_flat_stays_flat(method, size):
    x = torch.full((1, 3, 7, 9), 0.3)
    y = resize(x, *size, method)
    assert y.shape[-2:] == size and torch.allclose(y, torch.tensor(0.3), atol=1e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_matlab_resize_of_a_ramp_is_a_ramp(scale):
    ramp = np.repeat(np.arange(0, 48 * scale, dtype=np.uint8)[None, :, None], 24 * scale, 0).repeat(3, 2)
    small = matlab_resize(ramp, 24, 48)
    expected = np.arange(48) * scale + (scale - 1) / 2
    assert np.abs(small[12, 4:-4, 0] - expected[4:-4]).max() <= 0.5


def test_matlab_resize_digest():
    # Recorded after 0 samples differed from the published MATLAB reductions of Set5 at x2, x3 and x4.
    image = np.random.default_rng(5).integers(0, 256, (60, 84, 3), dtype=np.uint8)
    digest = hashlib.sha256()
    for scale in (2, 3, 4):
        digest.update(matlab_resize(image, 60 // scale, 84 // scale).tobytes())
    assert digest.hexdigest()[:16] == "52151c273d82fe4a"


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (1, 3), (31, 33)])
def test_pad_and_crop_is_identity(size):
    x = torch.rand(1, 2, *size)
    padded = mirror_pad(x, size[0] + -size[0] % 8, size[1] + -size[1] % 8)
    assert padded.shape[-2] % 8 == 0 and padded.shape[-1] % 8 == 0
    assert torch.equal(padded[..., : size[0], : size[1]], x)


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (20, 5)])
def test_one_mirror_image_is_the_usual_reflection(size):
    x = torch.rand(2, 3, *size)
    down, right = size[0] - 1, size[1] - 1
    padded = mirror_pad(x, size[0] + down, size[1] + right)
    assert torch.equal(padded, F.pad(x, (0, right, 0, down), mode="reflect"))
    around = mirror_pad(x, size[0] + 6, size[1] + 6, before=3)
    assert torch.equal(around, F.pad(x, (3, 3, 3, 3), mode="reflect"))


def test_several_mirror_images():
    x = torch.arange(3.0).view(1, 1, 1, 3)
    assert mirror_pad(x, 1, 11)[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]
    assert mirror_pad(x, 4, 9, before=4)[0, 0, 2].tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert mirror_pad(x, 4, 3)[0, 0, :, 1].tolist() == [1, 1, 1, 1]  # a side of one pixel is repeated
    assert mirror_pad(x, 1, 3) is x


def test_to_tensor_spans_the_range():
    for dtype in (np.uint8, np.uint16):
        peak = np.iinfo(dtype).max
        frames = np.array([0, peak // 2, peak], dtype).reshape(1, 1, 3, 1).repeat(3, 3)
        x = to_tensor(frames)
        assert x.shape == (1, 3, 1, 3)
        assert x[0, 0, 0].tolist() == pytest.approx([0, (peak // 2) / peak, 1])
