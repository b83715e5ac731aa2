"""Several inputs: going on after a failure, resuming, dry runs, and what every job leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from cli_kit import call, colorizer, film, names, photo, upscaler

from gantool.errors import ExitCode, Stopped


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return upscaler(tmp_path_factory.mktemp("model") / "u.safetensors")


@pytest.fixture
def here(tmp_path, monkeypatch):
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return work


def test_folder_with_one_bad_file_among_ten(here, model, capfd):
    for number in range(9):
        photo(here / f"in/{number}.png")
    Path("in/5b.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model)
    assert done.code == ExitCode.PARTIAL
    assert names(here / "out") == [f"{n}.upscale.png" for n in range(9)]
    assert len(done.out.splitlines()) == 9
    lines = done.err.splitlines()
    assert sum("gantool: error:" in line and "in/5b.png" in line for line in lines) == 1
    assert any(line.startswith("gantool: warning: failed: in/5b.png") for line in lines)
    assert lines[-1].startswith("gantool: error: 1 of 10 inputs failed")


def test_second_run_does_only_the_rest(here, model, capfd):
    photo(here / "in/a.png")
    Path("in/b.png").write_bytes(b"broken")
    call(capfd, "upscale", "in", "-o", "out", "--model", model)
    photo(here / "in/b.png")
    refused = call(capfd, "upscale", "in", "-o", "out", "--model", model)
    assert refused.code == ExitCode.OUTPUT and refused.out == ""
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model, "--skip-existing")
    assert (
        done.code == 0
        and done.out == "out/b.upscale.png\n"
        and "left out 1 input whose output exists" in done.err
    )
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model, "--skip-existing", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_fail_fast(here, model, capfd):
    for name in "abc":
        photo(here / f"in/{name}.png")
    Path("in/b.png").write_bytes(b"broken")
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model, "--fail-fast")
    assert done.code == ExitCode.PARTIAL and names(here / "out") == ["a.upscale.png"]
    assert "1 of 3 inputs failed, 1 not tried" in done.err


def test_model_that_cannot_be_had_ends_the_batch_at_once(here, capfd):
    for name in "ab":
        photo(here / f"in/{name}.png")
    done = call(capfd, "upscale", "in", "-o", "out", "--model", "realesr-animevideov3")
    assert done.code == ExitCode.WEIGHTS and len(done.err.splitlines()) == 1
    assert names(here) == ["in", "in/a.png", "in/b.png"], "no empty folder is left either"


def test_tree_is_mirrored(here, model, capfd):
    photo(here / "in/a.png")
    photo(here / "in/deep/er/b.jpg")
    done = call(capfd, "upscale", "in", "-o", "out", "-r", "--model", model)
    assert done.code == 0 and done.out == "out/a.upscale.png\nout/deep/er/b.upscale.jpg\n"
    done = call(capfd, "upscale", "in", "-o", "flat/{rel}/{stem}{ext}", "-r", "--model", model)
    assert done.code == 0 and done.out == "flat/a.png\nflat/deep/er/b.jpg\n"


def test_unicode_spaces_and_odd_names(here, model, capfd):
    for name in ("für Élise 日本.png", "-dash.png", "100%03d.png", "a:b.png", "quo'te\".png", "[x].png"):
        photo(here / name)
    film(here / "concat:ä b%03d.mp4", frames=2)
    done = call(capfd, "upscale", "--model", model, "-o", "out/", "--", *names(here))
    assert done.code == 0, done.err
    assert len(names(here / "out")) == 7 and done.out.count("\n") == 7


def test_dry_run_touches_nothing(here, model, capfd, monkeypatch):
    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    photo(here / "in/a.png")
    film(here / "in/f.mp4", frames=2)
    words = ("upscale", "in", "-o", "out", "--dry-run")
    before = names(here)
    done = call(capfd, *words, "--model", model)
    assert done.code == 0
    assert done.out.splitlines() == [
        "in/a.png -> out/a.upscale.png",
        "in/f.mp4 -> out/f.upscale.mp4",
        "model tiny, nothing to download",
    ]
    done = call(capfd, *words, "--model", "realesr-animevideov3", "--json")
    assert done.code == 0 and [record["kind"] for record in done.records] == ["image", "video"]
    assert all(record["download_bytes"] > 1_000_000 for record in done.records)
    assert "MB to download" in call(capfd, *words, "--model", "realesr-animevideov3").out
    assert names(here) == before and not (here.parent / "hf").exists()


def test_the_plan_is_checked_before_any_work(here, model, capfd, monkeypatch):
    monkeypatch.setattr("gantool.commands.batch.Session", lambda *_: pytest.fail("chose a model"))
    photo(here / "x/a.png")
    photo(here / "y/a.png")
    done = call(capfd, "upscale", "x/a.png", "y/a.png", "-o", "out/", "--model", model)
    assert done.code == ExitCode.USAGE and "two inputs for one output" in done.err
    done = call(capfd, "upscale", "x/a.png", "gone.png", "--model", model)
    assert done.code == ExitCode.INPUT
    assert not Path("out").exists()


def test_from_file(here, model, capfd):
    photo(here / "a b.png")
    Path("list.txt").write_text("a b.png\n", encoding="utf-8")
    done = call(capfd, "upscale", "--from-file", "list.txt", "--model", model)
    assert (done.code, done.out) == (0, "a b.upscale.png\n")


def test_jpeg_cannot_hold_transparency(here, model, capfd, monkeypatch):
    from PIL import Image

    monkeypatch.setattr("gantool.commands.session.Session.pipeline", lambda _: pytest.fail("loaded a model"))
    Image.new("RGBA", (8, 8), (1, 2, 3, 100)).save("a.png")
    done = call(capfd, "upscale", "a.png", "-o", "a.jpg", "--model", model)
    assert done.code == ExitCode.OUTPUT and "transparency (a.jpg)" in done.err
    assert names(here) == ["a.png"]


def test_what_a_pipeline_says_stands_in_the_record(here, model, capfd, monkeypatch):
    from gantool.pipelines import upscale

    real = upscale.build

    def build(*args, warn, **options):
        pipeline = real(*args, warn=warn, **options)

        def predict(x, context):
            warn("tiles of 64 px from here on")
            return pipeline.predict(x, context)

        return replace(pipeline, predict=predict)

    monkeypatch.setattr(upscale, "build", build)
    photo(here / "a.png")
    done = call(capfd, "upscale", "a.png", "--model", model, "--json")
    assert done.records[0]["warnings"] == ["tiles of 64 px from here on"]
    assert done.err == "gantool: warning: tiles of 64 px from here on (a.png)\n"


def test_metadata_can_be_switched_off(here, model, capfd):
    photo(here / "a.png")
    call(capfd, "upscale", "a.png", "-o", "with.png", "--model", model)
    call(capfd, "upscale", "a.png", "-o", "without.png", "--model", model, "--no-metadata")
    marked, plain = Path("with.png").read_bytes(), Path("without.png").read_bytes()
    assert b"tiny" in marked and b"DigitalSourceType" in marked
    assert b"gantool" not in plain and b"DigitalSourceType" not in plain


def test_scale_width_and_height(here, model, capfd):
    photo(here / "a.png", 24, 16)
    for words, size in [
        (("--scale", 3), (72, 48)),
        (("--scale", 2.5), (60, 40)),
        (("--width", 30), (30, 20)),
        (("--height", 40), (60, 40)),
        (("--tile-px", 16), (48, 32)),
        ((), (48, 32)),
    ]:
        done = call(capfd, "upscale", "a.png", "--model", model, "--overwrite", "--json", *words)
        assert (done.records[0]["width"], done.records[0]["height"]) == size


def test_strength_zero_returns_the_input(here, capfd):
    from gantool.media.image import read_picture

    photo(here / "a.png", gray=False)
    model = colorizer(here.parent / "c.safetensors")
    done = call(capfd, "colorize", "a.png", "--strength", 0, "--model", model)
    assert done.code == 0
    assert (read_picture(Path("a.colorize.png")).rgb == read_picture(Path("a.png")).rgb).all()


def test_video_options_reach_the_film(here, model, capfd):
    from gantool.media.video import probe

    film(here / "f.mp4", frames=50, sound=True)
    done = call(
        capfd,
        "upscale",
        "f.mp4",
        "--model",
        model,
        "--start",
        "0:01",
        "--duration",
        0.4,
        "--no-audio",
        "--json",
    )
    assert done.code == 0 and done.records[0]["frames"] == 10
    info = probe(Path("f.upscale.mp4"))
    assert info.audio == 0 and (info.width, info.height) == (96, 64)
    done = call(
        capfd, "upscale", "f.mp4", "--model", model, "-o", "g.mkv", "--temporal", "online", "--flow", "dis"
    )
    assert done.code == 0 and probe(Path("g.mkv")).audio == 1


def test_the_record_tells_the_size_of_the_file(here, model, capfd):
    film(here / "f.mp4", frames=2, width=48, height=32)
    done = call(capfd, "upscale", "f.mp4", "--model", model, "--width", 45, "--height", 31, "--json")
    assert (done.records[0]["width"], done.records[0]["height"]) == (46, 32)
    assert "padded" in done.records[0]["warnings"][0] and "padded" in done.err


def test_preview(here, model, capfd):
    from gantool.media.image import read_picture

    film(here / "f.mp4", frames=20)
    done = call(capfd, "upscale", "f.mp4", "--preview", "--model", model, "--json")
    assert done.code == 0 and names(here) == ["f.mp4", "f.upscale.preview.png"]
    record = done.records[0]
    assert record["output"] == "f.upscale.preview.png" and record["estimate_seconds"] >= 0
    assert "will take about" in done.err
    sheet = read_picture(Path("f.upscale.preview.png"))
    assert (sheet.width, sheet.height) == (record["width"], record["height"])


def test_preview_of_a_photo_says_that_there_is_none(here, model, capfd):
    photo(here / "a.png")
    done = call(capfd, "upscale", "a.png", "--preview", "--model", model)
    assert done.code == 0 and "--preview is for films" in done.err


def test_no_files_are_left_by_a_failure(here, model, capfd, monkeypatch):
    """The encoder dies in the middle; neither the folder that was made nor a temporary file stays."""
    from gantool.errors import EncoderError

    def dies(info, temporary, *_, **__):
        temporary.write_bytes(b"half a film")
        raise EncoderError("the encoder died at frame 7", temporary)

    film(here / "f.mp4", frames=3)
    monkeypatch.setattr("gantool.engine.run_video", dies)
    done = call(capfd, "upscale", "f.mp4", "-o", "new/deep/f.mp4", "--model", model)
    assert done.code == ExitCode.ENCODER and "(new/deep/f.mp4)" in done.err
    assert names(here) == ["f.mp4"]


def test_a_stop_ends_the_batch_but_keeps_what_is_done(here, model, capfd, monkeypatch):
    from gantool import engine

    for name in "abc":
        photo(here / f"in/{name}.png")
    real, calls = engine.run_picture, []

    def stops_at_the_second(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise Stopped
        return real(*args, **options)

    monkeypatch.setattr(engine, "run_picture", stops_at_the_second)
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model)
    assert done.code == ExitCode.INTERRUPTED and names(here / "out") == ["a.upscale.png"]
    assert done.err == (
        "gantool: error: interrupted. 1 of 3 are done; --skip-existing goes on with the rest.\n"
    )


def test_bug_in_one_job_does_not_end_the_batch(here, model, capfd, monkeypatch):
    from gantool import engine

    for name in "abc":
        photo(here / f"in/{name}.png")
    real, calls = engine.run_picture, []

    def breaks_once(*args, **options):
        calls.append(1)
        if len(calls) == 2:
            raise IndexError("oops")
        return real(*args, **options)

    monkeypatch.setattr(engine, "run_picture", breaks_once)
    done = call(capfd, "upscale", "in", "-o", "out", "--model", model)
    assert done.code == ExitCode.PARTIAL and names(here / "out") == ["a.upscale.png", "c.upscale.png"]
    assert "unexpected IndexError: oops" in done.err and "in/b.png" in done.err
