"""The perceptual distance: its formula, which net measures it, and that the built-in one ranks pictures."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gantool import cache, hub, percept
from gantool.catalog import load_catalog
from gantool.cli import main
from gantool.data import read_rgb
from gantool.errors import UsageError, WeightsError
from gantool.models.vgg import VGG19
from gantool.ops.resize import to_tensor

pytest_plugins = ("hub_fixtures",)
pytestmark = pytest.mark.usefixtures("hub_home")

PHOTO = Path(__file__).parent.parent / "examples/photo.jpg"
ROW = load_catalog().get("vgg19")


@pytest.fixture(scope="module")
def net() -> percept.PerceptNet:
    return percept.load(model="builtin")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """The example photograph, short side 160 px, uint8 RGB."""
    image = read_rgb(PHOTO)
    assert image is not None
    factor = 160 / min(image.shape[:2])
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


# ---- the formula


def test_formula_on_one_position():
    x, y = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([5.0, 0.0]).view(1, 2, 1, 1)
    one = percept.distance({"a": x}, {"a": y}, {"a": 1.0})
    assert one.item() == pytest.approx((1 - 0.6) ** 2 + 0.8**2)  # (0.6, 0.8) and (1, 0)
    two = percept.distance({"a": x, "b": x}, {"a": y, "b": 2 * x}, {"a": 1.0, "b": 3.0})
    assert two.item() == pytest.approx(one.item() / 4)  # b differs in length only
    dark = percept.distance({"a": x * 0}, {"a": x * 0}, {"a": 1.0})
    assert dark.item() == 0


def test_zero_symmetric_and_a_number_for_each_picture(net):
    torch.manual_seed(0)
    x, y = torch.rand(3, 3, 40, 33), torch.rand(3, 3, 40, 33)
    assert torch.equal(net(x, x), torch.zeros(3))
    assert torch.allclose(net(x, y), net(y, x), atol=1e-6)
    assert torch.allclose(net(x, y)[1], net(x[1:2], y[1:2])[0], atol=1e-5)
    assert (net(x, y) > 0.01).all() and (net(x, y) < 2).all()
    with pytest.raises(ValueError, match="one size"):
        net(x, y[..., :32])


def test_gradient_leads_back_to_the_picture(net, photo):
    truth = to_tensor(photo[None, :64, :64])
    x = (truth + 0.1 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    before = net(x, truth).item()
    for _ in range(8):
        x.requires_grad_(True)
        loss = net(x, truth).sum()
        (gradient,) = torch.autograd.grad(loss, x)
        assert torch.isfinite(gradient).all()
        x = (x - 0.01 * gradient.sign()).detach().clamp(0, 1)
    assert net(x, truth).item() < 0.8 * before
    equal = truth.clone().requires_grad_(True)
    net(equal, truth).sum().backward()
    assert equal.grad is not None and torch.isfinite(equal.grad).all()
    assert all(p.grad is None and not p.requires_grad for p in net.parameters())


def test_bf16_is_near_float32(net, photo):
    x = to_tensor(photo[None])
    y = to_tensor(cv2.GaussianBlur(photo, (0, 0), 1.5)[None])
    half = percept.load(dtype=torch.bfloat16, model="builtin")
    assert half(x, y).item() == pytest.approx(net(x, y).item(), rel=0.03)
    assert half(x, x).item() == 0 and half(x, y).dtype == torch.float32


def test_features_by_name_and_other_pooling(net):
    x = torch.rand(1, 3, 32, 32)
    found = net.features(x, ["conv5_4", "relu1_2"])
    assert found["conv5_4"].shape == (1, 128, 2, 2) and (found["conv5_4"] < 0).any()
    other = percept.load(model="builtin", pool="max")
    assert not torch.allclose(other.features(x, ["conv5_4"])["conv5_4"], found["conv5_4"])
    assert torch.equal(other.features(x, ["relu1_2"])["relu1_2"], found["relu1_2"])


# ---- that it ranks


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    decoded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1)
    assert decoded is not None
    return decoded


def noisy(image: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    grain = np.random.default_rng(seed).normal(size=image.shape)
    return np.clip(np.round(image + sigma * grain), 0, 255).astype(np.uint8)


def shifted_in_colour(image: np.ndarray, amount: float) -> np.ndarray:
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 1] += amount
    return np.clip(np.round(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB) * 255), 0, 255).astype(np.uint8)


RISING = {
    "blur": lambda image: [cv2.GaussianBlur(image, (0, 0), s) for s in (0.6, 1, 1.6, 2.5, 4)],
    "noise": lambda image: [noisy(image, s) for s in (4, 8, 16, 28, 45)],
    "jpeg": lambda image: [jpeg(image, q) for q in (85, 60, 35, 20, 10)],
    "colour": lambda image: [shifted_in_colour(image, a) for a in (4, 8, 14, 22, 32)],
    "texture": lambda image: [cv2.bilateralFilter(image, 9, s, 3) for s in (10, 20, 35, 60, 100)],
}


@pytest.mark.parametrize("kind", RISING)
def test_more_is_further(kind, net, photo):
    x = to_tensor(photo[None])
    found = [net(x, to_tensor(image[None])).item() for image in RISING[kind](photo)]
    clearly = 1.02 if kind == "noise" else 1.1  # strong noise of the next level hardly looks worse
    assert all(b > clearly * a for a, b in itertools.pairwise(found)), found


def test_a_shift_by_a_pixel_is_nearer_than_a_blur_of_the_same_squared_error(net, photo):
    truth, shift = photo[:, 2:-2].astype(float), photo[:, 1:-3]
    wanted = np.mean((shift - truth) ** 2)
    blurs = [cv2.GaussianBlur(photo, (0, 0), s)[:, 2:-2] for s in np.arange(0.4, 8, 0.1)]
    blur = min(blurs, key=lambda b: abs(np.mean((b - truth) ** 2) - wanted))
    assert np.mean((blur - truth) ** 2) == pytest.approx(wanted, rel=0.1)
    x, near, far = (to_tensor(np.ascontiguousarray(i[None])) for i in (photo[:, 2:-2], shift, blur))
    assert 2 * net(x, near).item() < net(x, far).item()


def test_other_grain_is_nearer_than_none(net, photo):
    x, near, far = (to_tensor(i[None]) for i in (noisy(photo, 20), noisy(photo, 20, seed=1), photo))
    assert (near - x).square().mean() > 1.8 * (far - x).square().mean()
    assert net(x, near).item() < net(x, far).item()


# ---- which net


@pytest.fixture
def pulled(hub_home: Path) -> Path:
    """A small file with timm's names in the hub's cache, as if it had been pulled."""
    torch.manual_seed(0)
    state = VGG19(0.05).state_dict()
    state |= {"pre_logits.fc1.weight": torch.rand(8, 4, 7, 7), "head.fc.bias": torch.rand(9)}
    folder = cache.hub_folder(ROW)
    commit = "1" * 40
    path = folder / "snapshots" / commit / ROW.file
    path.parent.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / ROW.revision).write_text(commit)
    save_file(state, path)
    return path


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog's VGG19, 0.05 wide."""
    text = Path(__file__).parent.parent.joinpath("weights.toml").read_text("utf-8")
    head, _, tail = text.partition("[vgg19]\n")
    narrowed = head + "[vgg19]\n" + tail.replace("args = {}", "args = { width = 0.05 }", 1)
    path = cache.own_folder() / "narrow.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(narrowed, "utf-8")
    monkeypatch.setattr(percept, "load_catalog", lambda: load_catalog(path))


def test_built_in_when_nothing_was_pulled():
    net = percept.load()
    assert net.name == "percept"
    assert "gantool models pull vgg19" in net.notice
    assert not net.training


def test_vgg19_when_it_was_pulled(pulled, narrow):
    net = percept.load()
    assert net.name == "vgg19" and net.notice == "Using vgg19."
    x = torch.rand(1, 3, 16, 16)
    expected = VGG19(0.05).eval()
    stored = cache.copy_file(ROW)
    assert stored is not None and stored.is_file()
    from safetensors.torch import load_file

    expected.load_state_dict(load_file(stored))
    assert all(name.startswith("features.") for name in load_file(stored))
    assert torch.equal(net.features(x, ["conv5_4"])["conv5_4"], expected(x, ["conv5_4"])["conv5_4"])
    assert percept.load(model="builtin").name == "percept"


def test_the_classifier_is_read_once_and_an_altered_copy_is_made_again(pulled, narrow, monkeypatch):
    percept.load()
    read = []
    features = percept._features
    monkeypatch.setattr(percept, "_features", lambda path: read.append(path) or features(path))
    percept.load()
    assert read == []
    copy = cache.copy_file(ROW)
    assert copy is not None
    copy.write_bytes(copy.read_bytes()[:-4] + b"evil")
    assert percept.load().name == "vgg19" and read == [pulled]
    percept.load()
    assert read == [pulled]


def test_a_cache_that_may_only_be_read_still_serves(pulled, narrow, monkeypatch):
    hub.verify(ROW)
    (cache.own_folder() / "copies").write_text("a file where the folder should be")
    assert percept.load().name == "vgg19"


def test_remove_takes_the_copy_too(pulled, narrow):
    percept.load()
    copy = cache.copy_file(ROW)
    assert copy is not None and copy.is_file()
    freed = hub.remove(ROW)
    assert not copy.exists() and not pulled.exists()
    assert freed > 0 and percept.load().name == "percept"


def test_an_altered_download_is_not_used_silently(pulled, narrow):
    percept.load()
    copy = cache.copy_file(ROW)
    assert copy is not None
    copy.unlink()
    pulled.write_bytes(pulled.read_bytes()[:-4] + b"evil")
    net = percept.load()
    assert net.name == "percept" and "vgg19 in the cache is damaged" in net.notice
    with pytest.raises(WeightsError, match="not here"):
        percept.load(model="vgg19")


def test_named_but_not_here_and_of_another_task():
    with pytest.raises(WeightsError, match=r"not here.*gantool models pull vgg19"):
        percept.load(model="vgg19")
    with pytest.raises(UsageError, match="for upscale, not for percept"):
        percept.load(model="upscale-compact-x4")


def test_models_lists_them_and_commands_do_not_offer_them(capsys):
    assert main(["models", "--task", "percept", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["name"]: row["state"] for row in rows} == {
        "vgg19": "not here",
        "vgg16": "not here",
        "percept": "built-in",
    }
    assert main(["upscale", str(PHOTO), "--model", "percept", "--dry-run"]) == 2
    said = capsys.readouterr().err
    assert "only measures" in said and "gantool models --task upscale" in said
    assert main(["upscale", str(PHOTO), "--model", "percpet", "--dry-run"]) == 2
    assert "percept" not in capsys.readouterr().err
