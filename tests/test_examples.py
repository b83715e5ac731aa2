"""Every file of examples/ is run or read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cli_kit
import numpy as np
import pytest
from PIL import Image

from gantool.errors import ExitCode

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def shell(tmp_path):
    """Runs an example in a folder of its own, where ``gantool`` is the one under test."""
    program = tmp_path / "bin" / "gantool"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gantool "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        **os.environ,
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(EXAMPLES.parent),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GANTOOL_DEVICE": "cpu",
    }

    def run(script: str, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        # By its own first line, as a user would: that needs the executable bit, too.
        command = [str(EXAMPLES / script), *words]
        return subprocess.run(
            command, cwd=work, env=environment | env, capture_output=True, text=True, check=False
        )

    run.work, run.environment = work, environment  # type: ignore[attr-defined]
    return run


def test_each_example_is_tested():
    tested = {"colorize-folder.sh", "upscale-loop.sh", "train-your-own.sh", "translate-your-pairs.sh"}
    tested |= {"restore-old-film.sh", "make_clip.py", "old-film.mp4", "photo.jpg"}
    tested |= {"slurm-film.sh", "paint-album.sh", "ray-film.py", "front-faces.sh"}
    assert {path.name for path in EXAMPLES.iterdir() if path.name != "__pycache__"} == tested


def test_colorize_folder(shell):
    cli_kit.photo(shell.work / "old photos/a.png")
    cli_kit.film(shell.work / "old photos/deep/b.mp4", frames=2, sound=True)
    done = shell("colorize-folder.sh", "old photos", "colored")
    assert done.returncode == 0, done.stderr
    assert cli_kit.names(shell.work / "colored") == ["a.colorize.png", "deep", "deep/b.colorize.mp4"]
    # Once more: what is there stays, and the bad file that came along is told.
    before = (shell.work / "colored/a.colorize.png").stat().st_mtime_ns
    (shell.work / "old photos/bad.png").write_bytes(b"not a picture")
    cli_kit.photo(shell.work / "old photos/c.png")
    again = shell("colorize-folder.sh", "old photos", "colored")
    assert again.returncode == ExitCode.PARTIAL and "bad.png" in again.stderr
    made = ["a.colorize.png", "c.colorize.png", "deep", "deep/b.colorize.mp4"]
    assert cli_kit.names(shell.work / "colored") == made
    assert (shell.work / "colored/a.colorize.png").stat().st_mtime_ns == before


def test_upscale_loop(shell):
    cli_kit.photo(shell.work / "my photo.png", 24, 16)
    (shell.work / "bad.png").write_bytes(b"not a picture")
    done = shell("upscale-loop.sh", "2", "my photo.png", "bad.png")
    assert done.returncode == 1
    assert done.stdout.splitlines() == ["my photo.upscale.png", "1 of 2 failed"]
    assert (shell.work / "failed.txt").read_text() == "bad.png\n"
    with Image.open(shell.work / "my photo.upscale.png") as made:
        assert made.size == (48, 32)


def test_train_your_own(shell):
    for number in range(20):
        cli_kit.photo(shell.work / f"photos/{number}.png", 240, 200, gray=False)
    cli_kit.photo(shell.work / "small.png", 24, 16, gray=False)
    done = shell("train-your-own.sh", "photos", "small.png", STEPS="2")
    assert done.returncode == 0, done.stderr
    assert (shell.work / "run/model.safetensors").is_file()
    with Image.open(shell.work / "small.upscale.png") as made:
        assert made.size == (48, 32)


def test_translate_your_pairs(shell):
    for side in ("A", "B"):
        for number in range(4):
            cli_kit.photo(shell.work / f"pairs/{side}/{number}.png", 48, 40, gray=False)
    cli_kit.photo(shell.work / "city.png", 50, 41, gray=False)
    done = shell("translate-your-pairs.sh", "pairs", "city.png", STEPS="2", SIZE="32", NGF="4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["pix2pix-check.png", "run/model.safetensors", "city.translate.png"]
    with Image.open(shell.work / "city.translate.png") as made:
        assert made.size == (50, 41)


@pytest.mark.parametrize("suffix", ["mp4", "png"])
def test_restore_old_film(shell, suffix):
    if suffix == "mp4":
        cli_kit.film(shell.work / "old film.mp4", frames=2, sound=True)
    else:
        cli_kit.photo(shell.work / "old film.png")
    done = shell("restore-old-film.sh", f"old film.{suffix}", f"color.{suffix}")
    assert done.returncode == 0, done.stderr
    made = [f"color.clean.{suffix}", f"color.{suffix}", f"old film.{suffix}"]
    assert cli_kit.names(shell.work) == made and done.stdout.splitlines() == made[:2]


@pytest.mark.parametrize(
    "script",
    [
        "colorize-folder.sh",
        "restore-old-film.sh",
        "upscale-loop.sh",
        "train-your-own.sh",
        "translate-your-pairs.sh",
        "paint-album.sh",
        "slurm-film.sh",
        "front-faces.sh",
    ],
)
def test_scripts_say_what_they_want(shell, script):
    done = shell(script)
    assert done.returncode != 0 and done.stderr
    assert cli_kit.names(shell.work) == []


def test_front_faces(shell):
    """By boxes: the detector must be fetched first."""
    from test_examples_in_help import frontalizer

    frontalizer(shell.work / "front.safetensors")
    for name in ("a.png", "b.png"):
        cli_kit.photo(shell.work / f"photos/{name}", 64, 64, gray=False)
    (shell.work / "photos/bad.png").write_bytes(b"no picture")
    words = (
        "photos",
        "out",
        "--model",
        "front.safetensors",
        "--face-box",
        "10,10,30,40",
        "--faces",
        "largest",
    )
    done = shell("front-faces.sh", *words)
    assert done.returncode == ExitCode.PARTIAL and "bad.png" in done.stderr, done.stderr
    assert done.stdout.splitlines() == [
        f"out/{name}.frontalize.png\t?\t10\t10\t30\t40" for name in ("a", "b")
    ]
    cli_kit.photo(shell.work / "photos/c.png", 64, 64, gray=False)
    done = shell("front-faces.sh", *words, "--skip-existing")  # the list is still of all
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [
        f"out/{name}.frontalize.png" for name in ("a", "b", "c")
    ]


def test_paint_album(shell):
    cli_kit.styler(shell.work / "any.safetensors")
    cli_kit.photo(shell.work / "my album/deep/a.png")
    for art in ("art.png", "wave.png"):
        cli_kit.photo(shell.work / art, 40, 32, gray=False)
    program = shell.work.parent / "bin/gantool"  # there may be no built-in net
    program.write_text(program.read_text().replace('"$@"', '"$@" --model any.safetensors'))
    done = shell("paint-album.sh", "my album", "painted", "art.png", "wave.png")
    assert done.returncode == 0, done.stderr
    made = ["painted/art/deep/a.style.png", "painted/wave/deep/a.style.png"]
    assert done.stdout.splitlines() == made
    assert "left out 1 input" in shell("paint-album.sh", "my album", "painted", "art.png").stderr
    (shell.work / "my album/bad.jpg").write_text("no picture")
    done = shell("paint-album.sh", "my album", "again", "art.png", "wave.png")
    assert done.returncode == ExitCode.PARTIAL
    assert done.stdout.splitlines() == [name.replace("painted", "again") for name in made]


SBATCH = """#!/bin/sh
# Slurm for one machine: runs what is submitted at once, and gives the job's number.
for word; do
    case $word in
        --array=*) first=${word#*=}; last=${first#*-}; first=${first%-*} ;;
        --export=*) join=1 ;;
        --dependency=*) echo "$word" >&2 ;;
    esac
done
while [ "${1#-}" != "$1" ]; do shift; done
if [ -n "${join:-}" ]; then GANTOOL_JOIN=1 exec "$@"; fi
number=$first
while [ "$number" -le "$last" ]; do
    SLURM_ARRAY_TASK_ID=$number "$@" >> shares.txt || exit
    number=$((number + 1))
done
echo 4711
"""


def test_slurm_film(shell):
    from gantool.media.video import probe

    cli_kit.film(shell.work / "my film.mp4", frames=250, width=32, height=16, sound=True)
    cli_kit.upscaler(shell.work / "tiny.safetensors")
    sbatch = shell.work.parent / "bin/sbatch"
    sbatch.write_text(SBATCH)
    sbatch.chmod(0o755)
    words = ("my film.mp4", "my large.mp4", "--model", "tiny.safetensors", "--quiet")
    done = shell("slurm-film.sh", "2", "upscale", *words)
    assert done.returncode == 0, done.stderr
    assert "--dependency=afterok:4711" in done.stderr and done.stdout == "my large.mp4\n"
    assert (shell.work / "shares.txt").read_text().count(".my large.mp4.gantool\n") == 2
    made = probe(shell.work / "my large.mp4")
    assert (made.frames_hint, made.width, made.audio) == (250, 64, 1)
    assert ".my large.mp4.gantool" not in cli_kit.names(shell.work)


@pytest.mark.slow
def test_ray_film(shell):
    """Two workers on this machine."""
    from gantool.media.video import probe

    pytest.importorskip("ray")
    cli_kit.film(shell.work / "my film.mp4", frames=250, width=32, height=16, sound=True)
    cli_kit.upscaler(shell.work / "tiny.safetensors")
    words = ("my film.mp4", "my large.mp4", "--model", str(shell.work / "tiny.safetensors"), "--quiet")
    command = [sys.executable, str(EXAMPLES / "ray-film.py"), "2", "upscale", *words, "--cpus", "0.5"]
    environment = {**shell.environment, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    with tempfile.TemporaryDirectory(prefix="r") as short:  # the names of its sockets have a limit
        done = subprocess.run(
            command,
            cwd=shell.work,
            env=environment | {"RAY_TMPDIR": short},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert "2 of 2 shares are done" in done.stderr and done.stdout.endswith("my large.mp4\n")
    made = probe(shell.work / "my large.mp4")
    assert (made.frames_hint, made.width, made.audio) == (250, 64, 1)


def test_make_clip(shell, tmp_path):
    """The committed film and photo are what the script makes."""
    from gantool.media.video import probe, read_frames

    pytest.importorskip("skimage", reason="the script's photographs come with scikit-image")
    folder = tmp_path / "made"
    folder.mkdir()
    shutil.copy(EXAMPLES / "make_clip.py", folder)
    done = subprocess.run(
        [sys.executable, str(folder / "make_clip.py")],
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made, committed = probe(folder / "old-film.mp4"), probe(EXAMPLES / "old-film.mp4")
    for name in ("width", "height", "fps", "time_base", "pix_fmt", "matrix", "audio", "codec"):
        assert getattr(made, name) == getattr(committed, name), name
    frames = [np.stack([f.rgb for f in read_frames(info.path)]) for info in (made, committed)]
    assert frames[0].shape == frames[1].shape == (120, 240, 320, 3)
    difference = np.abs(frames[0].astype(np.int16) - frames[1])
    assert difference.mean() < 2  # another encoder's rounding, not another film
    with Image.open(folder / "photo.jpg") as photo, Image.open(EXAMPLES / "photo.jpg") as there:
        assert photo.size == there.size and photo.mode == there.mode == "RGB"
        assert np.abs(np.asarray(photo, np.int16) - np.asarray(there)).mean() < 1


def test_old_film():
    """Grey, with sound, five seconds."""
    from gantool.media.video import probe, read_frames

    info = probe(EXAMPLES / "old-film.mp4")
    assert info.audio == 1 and info.duration == pytest.approx(5.005, abs=0.05)
    frame = next(iter(read_frames(EXAMPLES / "old-film.mp4"))).rgb.astype(int)
    assert np.ptp(frame, axis=2).max() <= 2
    assert sum(path.stat().st_size for path in EXAMPLES.iterdir() if path.is_file()) < 1_000_000
