"""Checkpoint files through the commands: those that must be refused, and real ones where they are at hand.

GANTOOL_TEST_DATA names a folder with ``weights/`` and ``photos/val/``; without it only made-up files
are used.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_kit import call, photo
from PIL import Image

from gantool import loading, metrics
from gantool.catalog import Checkpoint
from gantool.data import read_rgb
from gantool.errors import ExitCode, WeightsError
from gantool.models.pix2pix import NLayerDiscriminator
from gantool.models.srvgg import SRVGGNetCompact

DATA = Path(os.environ.get("GANTOOL_TEST_DATA", "/nowhere"))
WEIGHTS = DATA / "weights"
real = pytest.mark.skipif(not WEIGHTS.is_dir(), reason="GANTOOL_TEST_DATA names no folder of weights")


class Refused:
    """What a pickled module looks like to a reader that knows no such class."""


def made(kind: str, path: Path) -> None:
    """Write a file that is none: one of the things people give for a checkpoint."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = SRVGGNetCompact(num_feat=4, num_conv=1, upscale=2).state_dict()
    if kind == "truncated":
        torch.save(state, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == "pointer":
        path.write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 67040989\n"
        )
    elif kind == "page":
        path.write_text("<!DOCTYPE html>\n<html><body>Sign in to download</body></html>")
    elif kind == "module":
        path.write_bytes(pickle.dumps(Refused(), protocol=2))
    elif kind == "another":
        torch.save(NLayerDiscriminator(3, 2).state_dict(), path)
    else:
        state["body.2.weight"][0, 0] = float("nan")
        torch.save(state, path)


SAID = {
    "truncated": ("the checkpoint is damaged or cut short", "Download it again"),
    "pointer": ("this is a Git LFS pointer", "git lfs pull"),
    "page": ("this is a web page, not a checkpoint", "Download it again"),
    "module": ("Refused", "Use a file that holds only a state dict"),
    "another": ("no known upscaler has this layout", "Use a super-resolution file"),
    "nan": ("tensor 'body.2.weight' holds NaN", "take an earlier checkpoint"),
}


@pytest.mark.parametrize("task", ["upscale", "translate"])
@pytest.mark.parametrize("kind", SAID)
def test_what_is_no_checkpoint_is_refused_with_a_sentence_of_its_own(
    kind, task, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "a.png", 12, 10)
    made(kind, tmp_path / "model.pth")
    done = call(capfd, task, "a.png", "-o", "b.png", "--model", "model.pth")
    what, remedy = SAID[kind]
    if kind == "another" and task == "translate":
        what, remedy = "does not say which translate model it holds", "a name of `gantool models`"
    assert done.code == ExitCode.WEIGHTS and not Path("b.png").exists()
    (line,) = done.err.splitlines()
    assert line.startswith("gantool: error: ") and what in line and remedy in line and "model.pth" in line


# ---- real files


@real
@pytest.mark.weights
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("truncated.pth", "damaged or cut short"),
        ("lfs_pointer.pth", "Git LFS pointer"),
        ("pickled_module.pth", r"Python objects \(__main__.ColorizationCNN\)"),
    ],
)
def test_real_files_that_are_no_checkpoints(file, words):
    with pytest.raises(WeightsError, match=words):
        loading.load(Checkpoint("x", "upscale"), WEIGHTS / "negative" / file)


@real
@pytest.mark.weights
@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "psnr", "ssim"),
    [
        ("rlfn_x4.pth", 32.098, 0.8939),
        ("rfdn_x4.pth", 32.161, 0.8946),
        ("realesr_general_x4v3_f16.safetensors", 26.641, 0.8256),
        ("realesr_animevideov3.pth", 28.232, 0.8268),
    ],
)
def test_set5_as_the_original_programs_measure_it(file, psnr, ssim):
    net, row = loading.load(Checkpoint("x", "upscale"), WEIGHTS / "upscale" / file)
    scores = []
    for path in sorted((DATA / "photos/val/set5_lr/x4").iterdir()):
        (truth,) = [p for p in (DATA / "photos/val/set5").iterdir() if p.stem in path.stem]
        low, high = read_rgb(path), read_rgb(truth)
        assert low is not None and high is not None
        x = torch.from_numpy(low).movedim(-1, 0)[None].float() / 255 * row.value_range
        with torch.no_grad():
            y = (net(x) / row.value_range).clamp(0, 1)
        large = (y[0].movedim(0, -1) * 255).round().byte().numpy()
        high = high[: large.shape[0], : large.shape[1]]
        scores.append((metrics.psnr_y(large, high, shave=4), metrics.ssim_y(large, high, shave=4)))
    assert np.mean([s[0] for s in scores]) == pytest.approx(psnr, abs=0.01)
    assert np.mean([s[1] for s in scores]) == pytest.approx(ssim, abs=0.0003)


@real
@pytest.mark.weights
@pytest.mark.parametrize("size", ["32x32", "64x64"])
def test_golden_pictures(size, tmp_path, monkeypatch, capfd):
    """spandrel's recorded outputs of the nets whose files are here; ours is half precision, hence 1 level."""
    monkeypatch.chdir(tmp_path)
    file = WEIGHTS / "upscale/realesr_general_x4v3_f16.safetensors"
    source = WEIGHTS / f"golden/inputs/{size}.png"
    done = call(capfd, "upscale", source, "-o", "b.png", "--model", file, "--precision", "fp32")
    assert done.code == 0, done.err
    golden = Image.open(WEIGHTS / f"golden/outputs/{size}/realesr-general-x4v3.png").convert("RGB")
    apart = np.abs(np.asarray(Image.open("b.png").convert("RGB")).astype(int) - np.asarray(golden))
    assert apart.max() <= 1 and (apart > 0).mean() < 0.04


@real
@pytest.mark.weights
@pytest.mark.parametrize(
    ("file", "scale"),
    [("rlfn_x4.pth", 4), ("rfdn_x4.pth", 4), ("imdn_rtc_x4.pth", 2), ("srgan_x4_netG_epoch_4_100.pth", 4)],
)
def test_real_files_run_from_end_to_end(file, scale, tmp_path, monkeypatch, capfd):
    """Shrunk again, the large picture is the small one: the right range, order of channels and scale."""
    monkeypatch.chdir(tmp_path)
    source = WEIGHTS / "golden/inputs/64x64.png"
    done = call(capfd, "upscale", source, "-o", "b.png", "--model", WEIGHTS / "upscale" / file)
    assert done.code == 0, done.err
    small = Image.open(source).convert("RGB")
    large = Image.open("b.png").convert("RGB")
    assert large.size == (small.width * scale, small.height * scale)
    again = large.resize(small.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(again).astype(int) - np.asarray(small)).mean() < 6
