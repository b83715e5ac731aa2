"""Sets of pictures: colourfulness, NIQE, and distances between distributions of features."""

import cv2
import numpy as np
import pytest
import torch
from moving_pictures import scene

from gantool import metrics
from gantool.errors import UsageError, WeightsError
from gantool.evaluation import distributions
from gantool.evaluation.distributions import FeatureNet, distances, measures
from gantool.evaluation.sets import evaluate_set
from gantool.models.inception import Inception


class Judge(FeatureNet):
    """Features that can be reckoned: mean and spread of the channels; two classes."""

    def __init__(self, original: bool = True) -> None:
        self.original, self.device = original, torch.device("cpu")

    def net(self, x):
        features = torch.cat([x.mean((2, 3)), x.std((2, 3))], dim=1)
        return features, torch.stack([features[:, 0], 1 - features[:, 0]], dim=1) * 20


def folder(path, seeds, size=200, tint=1.0):
    """Pictures named after their seeds, tinted more and more."""
    path.mkdir()
    for number, seed in enumerate(seeds):
        picture = scene(seed, size, size).astype(float)
        picture[..., 2] *= 1 - 0.1 * number * tint
        cv2.imwrite(str(path / f"{seed}.png"), picture.astype(np.uint8)[..., ::-1])
    return path, sorted(path.iterdir())


def test_figures_without_and_with_a_reference(tmp_path):
    pictures = folder(tmp_path / "a", range(3))
    alone = evaluate_set(*pictures)
    colours = [metrics.colourfulness(cv2.imread(str(path))[..., ::-1]) for path in sorted(pictures[1])]
    assert [row.values["colourfulness"] for row in alone.rows] == pytest.approx(colours)
    assert alone.totals["colourfulness"] == pytest.approx(np.mean(colours))
    assert all(row.values["niqe"] > 2 for row in alone.rows)
    assert "--inception" in alone.left_out["FID, KID, Inception score"]
    grey = folder(tmp_path / "b", range(4), tint=0)
    both = evaluate_set(*pictures, grey)
    assert both.totals["reference_colourfulness"] == 0
    assert both.totals["colourfulness_difference"] == pytest.approx(np.mean(colours))
    assert both.settings == {"pictures": 3, "reference_pictures": 4}


def test_small_pictures_have_no_niqe(tmp_path):
    found = evaluate_set(*folder(tmp_path / "a", range(2), size=100))
    assert found.totals["niqe"] is None and "2 of 2" in found.left_out["NIQE"]


def test_distances_of_pictures(tmp_path):
    first, second = folder(tmp_path / "a", range(5)), folder(tmp_path / "b", range(5, 10), tint=2)
    net = Judge()
    found = evaluate_set(*first, second, net)
    assert found.totals["fid"] > 0 and {"kid", "kid_std", "is"} <= set(found.totals)
    assert "too high" in found.left_out["FID says little"]
    same = evaluate_set(*first, first, net)
    assert abs(same.totals["fid"]) < 1e-4 < found.totals["fid"]
    assert 1 <= same.totals["is"] <= 2
    few = evaluate_set(first[0], first[1][:3], (second[0], second[1][:3]), net)
    assert "kid" not in few.totals and "four pictures" in few.left_out["KID"]
    assert "fid" not in evaluate_set(*first, None, net).totals
    assert "fd_torchvision" in evaluate_set(*first, second, Judge(original=False)).totals
    ends = [exhibit.title for exhibit in found.exhibits]
    assert ends[:2] == ["The least colourful", "The most colourful"]


def test_distances_of_known_distributions():
    """FID of two Gaussians of one covariance: the squared distance of their means. KID by its definition."""
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(400, 5, generator=generator)
    second = first.flip(0) + torch.tensor([1.0, 0, 0, 0, 2])
    logits = torch.eye(4).repeat(100, 1) * 50
    found = distances(Judge(), (second, logits), first)
    assert found["fid"] == pytest.approx(5, abs=1e-3)
    assert found["is"] == pytest.approx(4, rel=0.05)  # four sure classes, alike often
    again = distances(Judge(), (second, logits), first)
    assert again == found, "seeded"

    def kernel(x, y):
        return (x @ y.T / 5 + 1) ** 3

    count = len(first)
    within = [(kernel(x, x).sum() - kernel(x, x).trace()) / (count * (count - 1)) for x in (first, second)]
    expected = float(sum(within) - 2 * kernel(first, second).mean())
    assert found["kid"] == pytest.approx(expected, rel=0.15)  # the mean over subsets of 200
    assert set(found) == {one.name for one in measures(True)}


def test_inception_of_both_kinds(tmp_path):
    """Names and logits; that the layers are right was compared with pytorch-fid's own code, bit for bit."""
    with torch.device("meta"):
        original, torchvision_s = Inception(), Inception(1000)
    names = set(original.state_dict())
    assert names == set(torchvision_s.state_dict()) and len(names) == 566
    assert {"Conv2d_1a_3x3.conv.weight", "Mixed_7c.branch_pool.bn.running_var", "fc.bias"} <= names
    assert not Inception.own_names({"AuxLogits.fc.weight": torch.zeros(1)})
    # TensorFlow's pools: at the border, the mean is of what is there; in the last block the largest counts.
    x = torch.arange(9.0).view(1, 1, 3, 3)
    assert original.Mixed_5b.pool(x)[0, 0, 0, 0] == 2 and original.Mixed_7b.pool(x)[0, 0, 0, 0] == 2
    assert original.Mixed_7c.pool(x)[0, 0, 0, 0] == 4
    assert not hasattr(torchvision_s.Mixed_5b, "pool")


def test_inception_from_a_file(tmp_path):
    torch.manual_seed(0)
    net = Inception().eval()
    state = {
        name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()
    }
    file = tmp_path / "inception.pth"
    torch.save(state, file)
    loaded = FeatureNet(file)
    assert loaded.original
    pictures = [scene(seed, 40, 60) for seed in range(2)]
    features, logits = loaded.features(pictures)
    assert features.shape == (2, 2048) and logits.shape == (2, 1008)
    x = torch.stack([torch.from_numpy(p / 255).float().movedim(-1, 0) for p in pictures])
    x = torch.nn.functional.interpolate(x, (299, 299), mode="bicubic", antialias=True).clamp(0, 1)
    net.load_state_dict(state)
    with torch.inference_mode():
        expected, _ = net(x)
    assert (features - expected).abs().max() < 1e-4
    assert (logits - features @ net.fc.weight.T).abs().max() < 1e-4, "without the bias"


def test_what_is_no_inception_file(tmp_path, monkeypatch):
    torch.save({"fc.weight": torch.zeros(1008, 2048)}, tmp_path / "part.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="no such file"):
        FeatureNet(tmp_path / "gone.pth")
    with pytest.raises(WeightsError, match="Inception v3"):
        FeatureNet(tmp_path / "other.pth")
    with pytest.raises(WeightsError):
        FeatureNet(tmp_path / "part.pth")
    monkeypatch.setattr(distributions, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"gantool\[eval\]"):
        FeatureNet(tmp_path / "part.pth")
