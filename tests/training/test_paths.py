"""Parameters that name files."""

from dataclasses import dataclass

import pytest

from gantool.settings import configure, describe, param, path_param
from gantool.superres import PairConfig
from gantool.training import located


@dataclass
class Config:
    init: str = path_param("", "a file to start from")
    eye: str = path_param("auto", "a net by its name or file")
    word: str = param("a", "of no file")


def test_what_is_there_is_named_in_full_and_the_rest_stays(tmp_path, monkeypatch):
    (tmp_path / "runs/psnr").mkdir(parents=True)
    (tmp_path / "runs/vgg19").touch()  # and a name of the catalog, which comes first
    (tmp_path / "here").touch()
    monkeypatch.chdir(tmp_path / "runs")
    assert located(Config, {"init": "psnr", "eye": "vgg19", "word": "psnr"}) == {
        "init": str(tmp_path / "runs/psnr"),
        "eye": "vgg19",
        "word": "psnr",
    }
    assert located(Config, {"init": "../here"}) == {"init": str(tmp_path / "runs/../here")}
    assert located(Config, {"init": "psnr/no", "eye": "auto"}) == {"init": "psnr/no", "eye": "auto"}
    assert located(Config, {"init": "", "unknown": "psnr"}) == {"init": "", "unknown": "psnr"}


def test_paths_are_meant_from_a_folder(tmp_path, monkeypatch):
    (tmp_path / "net.pth").touch()
    assert located(Config, {"init": "net.pth"}, tmp_path) == {"init": str(tmp_path / "net.pth")}
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located(Config, {"init": "~/net.pth"}) == {"init": str(tmp_path / "net.pth")}


def test_links_are_not_followed(tmp_path):
    (tmp_path / "blob").touch()
    link = tmp_path / "net.safetensors"
    try:
        link.symlink_to("blob")
    except OSError:
        pytest.skip("no symbolic links here")
    assert located(Config, {"init": str(link)}) == {"init": str(link)}


def test_what_a_degradation_names_is_named_in_full_too(tmp_path, monkeypatch):
    (tmp_path / "phone").mkdir()
    monkeypatch.chdir(tmp_path)
    found = located(PairConfig, {"degrade": "realsr noise_from=phone patch=128", "scale": "2"})
    assert found == {"degrade": f"realsr noise_from={tmp_path / 'phone'} patch=128", "scale": "2"}


def test_a_path_is_a_parameter_like_others():
    assert configure(Config, {"init": "x"}).init == "x"
    assert describe(Config)[0] == ("init", "", "a file to start from")
