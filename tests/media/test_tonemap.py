"""HDR brought to standard range: the curves at published points, and films from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from video_makers import encode_planes, rewrite, rgb_to_yuv

from gantool.errors import InputError
from gantool.media.tonemap import WHITE, compressed, hlg_to_scene, light_to_pq, pq_to_light, to_standard
from gantool.media.video import probe, read_frames


def test_curves_at_published_points() -> None:
    # BT.2408-7 table 1: 18 % grey, reference white, and the peak of a usual master.
    assert light_to_pq([26, WHITE, 1000, 10_000]) == pytest.approx([0.38, 0.58, 0.75, 1.0], abs=0.005)
    assert hlg_to_scene([0.0, 0.5, 1.0]) == pytest.approx([0, 1 / 12, 1])
    assert 1000 * hlg_to_scene(0.75) ** 1.2 == pytest.approx(WHITE, abs=1)  # 75 % HLG is reference white
    light = np.array([0, 0.01, 1, 203, 4000])
    assert pq_to_light(light_to_pq(light)) == pytest.approx(light, abs=1e-6)


@pytest.mark.parametrize("peak", [300, 1000, 4000, 10_000])
def test_only_what_shines_is_compressed(peak: float) -> None:
    light = np.linspace(0, peak, 4001)
    result = compressed(light, peak)
    assert np.diff(result).min() > -1e-9  # brighter stays brighter
    assert result[-1] == pytest.approx(WHITE, rel=1e-6)
    assert (result <= light + 1e-6).all()
    dim = light < (20 if peak > 1000 else 80)
    assert result[dim] == pytest.approx(light[dim], abs=1e-6)
    assert compressed(np.array([5.0, 400.0]), 150) == pytest.approx([5.0, WHITE])


def signal(light: np.ndarray, kind: str) -> np.ndarray:
    """uint16 PQ or HLG of display light (...,3) in cd/m2, by the inverse of BT.2100's formulas."""
    if kind == "PQ":
        return np.rint(light_to_pq(light) * 65535).astype(np.uint16)
    display = light / 1000
    luma = (display @ np.array([0.2627, 0.6780, 0.0593]))[..., None]
    scene = display * np.where(luma > 0, np.maximum(luma, 1e-9) ** (1 / 1.2 - 1), 0)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    high = a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    return np.rint(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high) * 65535).astype(np.uint16)


FROM_709 = np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
def test_dim_colours_of_bt709_come_back_as_they_are(kind: str) -> None:
    """Below the knee nothing but the coding changes, so the light of the result is that of the source."""
    shares = np.random.default_rng(0).uniform(0, 1, (40, 30, 3)) * 70 / WHITE
    light = np.maximum(shares * WHITE @ FROM_709.T, 0)
    result = to_standard(signal(light, kind), kind)
    assert result.dtype == np.uint16
    assert (result / 65535) ** 2.4 == pytest.approx(shares, abs=2e-4)


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
def test_greys_stay_grey_and_rise(kind: str) -> None:
    ramp = np.rint(np.linspace(0, 1, 200) * 65535).astype(np.uint16)
    result = to_standard(np.repeat(ramp[:, None, None], 3, 2), kind)[:, 0].astype(int)
    assert np.ptp(result, axis=1).max() <= 40  # of 65535: the published matrix has four digits
    assert np.diff(result[:, 1]).min() >= 0
    assert (result[0] == 0).all() and (result[-1] == 65535).all()


def test_colours_that_bt709_lacks_lose_saturation_only() -> None:
    light = np.array([[[60.0, 0, 0], [0, 60.0, 0], [0, 0, 60.0], [700.0, 0, 0]]])
    red, green, blue, bright = to_standard(signal(light, "PQ"), "PQ")[0].astype(int)
    assert red.argmax() == 0 and green.argmax() == 1 and blue.argmax() == 2 and bright.argmax() == 0
    luma = (np.stack([red, green, blue]) / 65535) ** 2.4 @ np.array([0.2126, 0.7152, 0.0722]) * WHITE
    assert luma == pytest.approx(np.array([0.2627, 0.6780, 0.0593]) * 60, rel=0.01)


def hdr_clip(path: Path, kind: str) -> tuple[Path, np.ndarray]:
    """Four grey and two coloured patches of known light, and their shares of standard white."""
    shares = np.array([[0, 0, 0], [2, 2, 2], [20, 20, 20], [75, 75, 75], [70, 20, 10], [10, 30, 60]]) / WHITE
    light = np.maximum(shares * WHITE @ FROM_709.T, 0)
    rgb = np.kron(signal(light, kind).reshape(2, 3, 3) / 65535 * 255, np.ones((16, 16, 1)))
    yuv = rgb_to_yuv(rgb, "bt2020", False, 10)
    transfer = {"PQ": "smpte2084", "HLG": "arib-std-b67"}[kind]
    return encode_planes(path, yuv, "bt2020", full=False, transfer=transfer), shares.reshape(2, 3, 3)


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
def test_hdr_film_from_end_to_end(tmp_path: Path, kind: str) -> None:
    source, shares = hdr_clip(tmp_path / "hdr.mp4", kind)
    with pytest.raises(InputError, match=kind) as caught:
        probe(source)
    assert "--tonemap" in caught.value.remedy
    info = probe(source, tonemap=True)
    assert (info.hdr, info.peak_nits, info.deep) == (kind, 1000, True)
    assert kind in info.summary()
    deep = next(iter(read_frames(source, info, deep=True))).rgb[8::16, 8::16]
    assert deep / 65535 == pytest.approx(shares ** (1 / 2.4), abs=0.004)  # 10 bits of signal
    shallow = next(iter(read_frames(source, info))).rgb[8::16, 8::16]
    assert np.abs(shallow - deep / 257).max() <= 0.51
    rewrite(source, tmp_path / "sdr.mkv", tonemap=True, deep=True)
    result = probe(tmp_path / "sdr.mkv")  # not refused
    assert (result.matrix, result.primaries, result.transfer, result.bits) == ("bt709", 1, 1, 10)
    again = next(iter(read_frames(tmp_path / "sdr.mkv", deep=True))).rgb[8::16, 8::16]
    assert again / 65535 == pytest.approx(shares ** (1 / 2.4), abs=0.01)


def test_the_peak_is_taken_from_the_film(tmp_path: Path) -> None:
    from gantool.media.probe import _peak

    class Frame:
        def __init__(self, **blocks: bytes) -> None:
            self.side_data = blocks

    import struct

    display = struct.pack("=16i", *[0] * 16) + struct.pack("=6i", 50, 10_000, 40_000_000, 10_000, 1, 1)
    light = struct.pack("=2I", 800, 300)
    assert _peak(Frame(CONTENT_LIGHT_LEVEL=light, MASTERING_DISPLAY_METADATA=display)) == 800
    assert _peak(Frame(MASTERING_DISPLAY_METADATA=display)) == 4000
    assert _peak(Frame()) == 1000
    assert _peak(Frame(CONTENT_LIGHT_LEVEL=struct.pack("=2I", 90, 30))) == WHITE
