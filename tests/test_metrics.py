"""Metrics against scikit-image, closed forms and known motion."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from skimage.color import deltaE_ciede2000, rgb2lab
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


def test_ms_ssim():
    """Within 2e-3 of torchmetrics, which takes mirrored borders into the last scale; the authors do not."""
    rng = np.random.default_rng(4)
    a = np.kron(rng.integers(0, 256, (32, 36, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    b = np.clip(a + rng.normal(0, 60, a.shape), 0, 255).astype(np.uint8)
    theirs = pytest.importorskip("torchmetrics.functional.image")

    def expected(planes, peak):
        x, y = (torch.from_numpy(np.atleast_3d(plane)).movedim(-1, 0)[None] for plane in planes)
        return float(theirs.multiscale_structural_similarity_index_measure(x, y, data_range=peak))

    assert 0.7 < metrics.ms_ssim(b, a) < 0.95
    assert metrics.ms_ssim(b, a) == pytest.approx(expected([metrics.unit(b), metrics.unit(a)], 1.0), abs=2e-3)
    lumas = [metrics.luma(b), metrics.luma(a)]
    assert metrics.ms_ssim_y(b, a) == pytest.approx(expected(lumas, 255.0), abs=2e-3)
    assert metrics.ms_ssim(a, a) == pytest.approx(1)
    assert metrics.ms_ssim(255 - a, a) == 0
    with pytest.raises(ValueError, match="176"):
        metrics.ms_ssim(a[:175], b[:175])


def test_ciede2000():
    a, b = picture(0), picture(1)
    theirs = deltaE_ciede2000(rgb2lab(a), rgb2lab(b))
    ours = metrics.ciede2000_of_lab(rgb2lab(a), rgb2lab(b))
    assert np.abs(ours - theirs).max() < 1e-9
    assert metrics.ciede2000(a, b) == pytest.approx(theirs.mean(), rel=1e-4)
    assert metrics.ciede2000(a, a) == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Of the table of Sharma, Wu and Dalal: blue, opposite hues either way round, near grey, far apart.
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, -1, 2), (50, 0, 0), 2.3669),
        ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((50, -0.001, 2.49), (50, 0.0009, -2.49), 4.8045),
        ((50, -0.001, 2.49), (50, 0.0011, -2.49), 4.7461),
        ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_ciede2000_of_its_authors(first, second, expected):
    both = np.array(first, float), np.array(second, float)
    assert metrics.ciede2000_of_lab(*both) == pytest.approx(expected, abs=1e-4)
    assert metrics.ciede2000_of_lab(*both[::-1]) == pytest.approx(expected, abs=1e-4)


def test_colourfulness_takes_signed_opponents():
    gray = np.repeat(picture()[..., :1], 3, axis=2)
    assert metrics.colourfulness(gray) == 0
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:5, :, 0], halves[5:, :, 1] = 100, 100  # rg = +-100: their spread is 100 although |rg| is constant
    assert metrics.colourfulness(halves) == pytest.approx(100 + 0.3 * 50, abs=1e-6)


def test_delta_ab():
    a, b = picture(0), picture(1)
    theirs = np.linalg.norm((rgb2lab(a) - rgb2lab(b))[..., 1:], axis=-1).mean()
    assert metrics.delta_ab(a, b) == pytest.approx(theirs, rel=1e-4)
    assert np.abs(metrics.lab(a) - rgb2lab(a)).max() < 0.02
    assert metrics.delta_ab(a, a) == 0


def test_lightness_shift_does_not_see_colour():
    a = np.full((8, 8, 3), 120, np.uint8)
    lifted = np.full((8, 8, 3), 140, np.uint8)
    assert metrics.lightness_shift(a, a) == 0
    expected = rgb2lab(lifted)[0, 0, 0] - rgb2lab(a)[0, 0, 0]
    assert metrics.lightness_shift(lifted, a) == pytest.approx(expected, abs=0.01)
    red = np.full((8, 8, 3), (178, 98, 100), np.uint8)  # of nearly the same lightness
    assert metrics.lightness_shift(red, a) < 2 < metrics.delta_ab(red, a)


def test_sharpness_falls_with_blur():
    a = picture()
    soft = (a[1:] // 2 + a[:-1] // 2).astype(np.uint8)
    assert metrics.sharpness(soft) < 0.8 * metrics.sharpness(a)
    assert metrics.sharpness(np.full((9, 9, 3), 7, np.uint8)) == pytest.approx(0, abs=1e-9)


def test_divergence():
    black, white = (metrics.histograms(np.full((4, 5, 3), level, np.uint8)) for level in (0, 255))
    assert black.shape == (3, 256) and black.sum(1) == pytest.approx(1)
    assert metrics.divergence(black, black) == 0
    assert metrics.divergence(black, white) == pytest.approx(np.log(2))
    a, b = metrics.histograms(picture(0)), metrics.histograms(picture(1))
    theirs = np.mean([jensenshannon(p, q) ** 2 for p, q in zip(a, b, strict=True)])
    assert metrics.divergence(a, b) == pytest.approx(theirs, rel=1e-9)


def test_cdc():
    still = [picture()] * 6
    assert metrics.cdc(still) == 0
    # Every second frame is white: frames 1 apart differ wholly, frames 2 and 4 apart not at all.
    blink = [np.full((4, 4, 3), 255 * (t % 2), np.uint8) for t in range(6)]
    assert metrics.cdc(blink) == pytest.approx(np.log(2) / 3)
    assert metrics.cdc([metrics.histograms(frame) for frame in blink]) == metrics.cdc(blink)
    with pytest.raises(ValueError, match="five"):
        metrics.cdc(still[:4])


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
