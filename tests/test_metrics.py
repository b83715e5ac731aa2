"""Metrics against scikit-image, closed forms and known motion."""

import numpy as np
import pytest
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gantool import metrics


def picture(seed=0, height=48, width=64):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_psnr():
    a, b = picture(0), picture(1)
    assert metrics.psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-9)
    assert metrics.psnr(a, a) == float("inf")
    assert metrics.psnr(a / 255.0, a) > 300
    deep = a.astype(np.uint16) * 257
    assert metrics.psnr(deep, a) > 300


def test_luma_is_matlabs():
    black, white = np.zeros((1, 1, 3), np.uint8), np.full((1, 1, 3), 255, np.uint8)
    assert metrics.luma(black).item() == pytest.approx(16)
    assert metrics.luma(white).item() == pytest.approx(235, abs=0.01)


def test_psnr_y_leaves_the_border_out():
    a = picture()
    b = a.copy()
    b[:4] = 0
    assert metrics.psnr_y(a, b, shave=4) == float("inf")
    assert metrics.psnr_y(a, b) < 40
    one_level = metrics.psnr_y(np.full((9, 9, 3), 101, np.uint8), np.full((9, 9, 3), 100, np.uint8))
    assert one_level == pytest.approx(-20 * np.log10(219 / 255 / 255), abs=0.01)


def test_ssim():
    a = picture()
    b = np.clip(a.astype(int) + np.random.default_rng(2).integers(-40, 40, a.shape), 0, 255).astype(np.uint8)
    theirs = structural_similarity(
        metrics.luma(a),
        metrics.luma(b),
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert metrics.ssim_y(b, a) == pytest.approx(theirs, abs=2e-3)  # they crop the border, we do not
    assert metrics.ssim_y(a, a) == pytest.approx(1)
    assert metrics.ssim(a, a) == pytest.approx(1)
    assert 0 < metrics.ssim(a, b) < 1
    with pytest.raises(ValueError, match="11"):
        metrics.ssim_y(a, a, shave=20)


def test_colourfulness_takes_signed_opponents():
    gray = np.repeat(picture()[..., :1], 3, axis=2)
    assert metrics.colourfulness(gray) == 0
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:5, :, 0], halves[5:, :, 1] = 100, 100  # rg = +-100: their spread is 100 although |rg| is constant
    assert metrics.colourfulness(halves) == pytest.approx(100 + 0.3 * 50, abs=1e-6)


def test_delta_ab():
    a, b = picture(0), picture(1)
    theirs = np.linalg.norm((rgb2lab(a) - rgb2lab(b))[..., 1:], axis=-1).mean()
    assert metrics.delta_ab(a, b) == pytest.approx(theirs, rel=2e-3)
    assert metrics.delta_ab(a, a) == 0


def pan(step, count=4, shift=0.0):
    big = picture(3, 40, 100) / 255.0
    return [np.clip(big[:, 8 + step * t : 68 + step * t] + shift * (t % 2), 0, 2) for t in range(count)]


def known(step, count=3):
    flow = np.zeros((40, 60, 2), np.float32)
    flow[..., 0] = -step
    return [flow] * count


def test_warping_error_of_a_perfect_pan_is_zero():
    assert metrics.warping_error(pan(3), known(3)) < 1e-12
    assert metrics.warping_error(pan(3), known(0)) > 0.01


def test_warping_error_is_the_mean_square():
    assert metrics.warping_error(pan(3, shift=0.1), known(3)) == pytest.approx(0.01, rel=1e-5)


def test_warping_error_respects_masks():
    frames = pan(3)
    frames[1] = frames[1].copy()
    frames[1][:10] += 0.5
    mask = np.ones((40, 60), bool)
    mask[:10] = False
    assert metrics.warping_error(frames, known(3), [mask] * 3) < 1e-12
    with pytest.raises(ValueError, match="no pixel"):
        metrics.warping_error(frames, known(3), [np.zeros_like(mask)] * 3)
    with pytest.raises(ValueError, match="n - 1"):
        metrics.warping_error(frames, known(3, count=2))


def test_reliable_drops_occlusions_and_boundaries():
    forward = np.zeros((30, 40, 2), np.float32)
    forward[:, 20:, 0] = 4
    backward = -forward
    backward[10:15, 5:10] = 9  # does not lead back
    good = metrics.reliable(forward, backward)
    assert not good[12, 7] and not good[:, 19:21].any()
    assert good[20:25, 3:15].all()
    assert not good[:, 37:].any()  # moves out of the picture
