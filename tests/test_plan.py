"""Plans: which input becomes which output, and what is refused before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gantool.errors import GantoolError, InputError, OutputError, UsageError
from gantool.plan import IMAGE_OUTPUTS, VIDEO_OUTPUTS, make_plan
from gantool.sniff import IMAGE_SUFFIXES, VIDEO_SUFFIXES, kind_of, kind_of_bytes

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 600


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(*names: str, data: bytes = PNG) -> None:
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def plan(*inputs: str, output: str | None = None, **options):
    return make_plan(inputs, task="upscale", output=output, **options)


def pairs(made) -> list[tuple[str, str]]:
    return [(str(job.source), str(job.target)) for job in made.jobs]


def test_default_is_beside_the_input(here):
    put("a/photo.png", "film.mov")
    made = plan("a/photo.png", "film.mov")
    assert pairs(made) == [("a/photo.png", "a/photo.upscale.png"), ("film.mov", "film.upscale.mov")]
    assert [job.kind for job in made.jobs] == ["image", "video"]


@pytest.mark.parametrize(
    ("name", "result"),
    [
        ("x.JPG", "x.upscale.jpg"),
        ("x.heic", "x.upscale.png"),
        ("x.bmp", "x.upscale.png"),
        ("x.ts", "x.upscale.mkv"),
        ("x.y.png", "x.y.upscale.png"),
    ],
)
def test_suffix_of_the_output(here, name, result):
    put(name)
    assert pairs(plan(name)) == [(name, result)]


def test_output_file_folder_and_new_folder(here):
    put("a.png")
    Path("there").mkdir()
    assert pairs(plan("a.png", output="b.jpg")) == [("a.png", "b.jpg")]
    assert pairs(plan("a.png", output="there")) == [("a.png", "there/a.upscale.png")]
    assert pairs(plan("a.png", output="new/")) == [("a.png", "new/a.upscale.png")]
    assert pairs(plan("a.png", output="new")) == [("a.png", "new/a.upscale.png")]
    assert pairs(plan("a.png", output="new/deep/b.png")) == [("a.png", "new/deep/b.png")]
    assert not Path("new").exists(), "a plan creates nothing"


def test_results_in_a_folder_may_keep_their_names(here):
    put("in/a.jpg", "in/deep/b.png")
    made = plan("in", output="out", recursive=True, keep_names=True)
    assert pairs(made) == [("in/a.jpg", "out/a.jpg"), ("in/deep/b.png", "out/deep/b.png")]
    assert pairs(plan("in/a.jpg", keep_names=True)) == [("in/a.jpg", "in/a.upscale.jpg")]


def test_template(here):
    put("d/a.png", "d/b.mp4")
    made = plan("d/a.png", "d/b.mp4", output="{dir}/out/{stem}-{task}{ext}")
    assert pairs(made) == [("d/a.png", "d/out/a-upscale.png"), ("d/b.mp4", "d/out/b-upscale.mp4")]


@pytest.mark.parametrize("template", ["{nothing}.png", "{stem", "{0}.png", "{stem!x}.png", "{}.png"])
def test_template_that_is_not_understood(here, template):
    put("a.png")
    with pytest.raises(UsageError, match="template"):
        plan("a.png", output=template)


def test_folder_mirrors_its_tree(here):
    put(
        "in/b.png",
        "in/a.jpg",
        "in/sub/c.mp4",
        "in/Thumbs.db",
        "in/.hidden.png",
        "in/.d/e.png",
        "in/notes.txt",
    )
    assert pairs(plan("in", output="out")) == [
        ("in/a.jpg", "out/a.upscale.jpg"),
        ("in/b.png", "out/b.upscale.png"),
    ]
    made = plan("in", output="out/", recursive=True)
    assert pairs(made)[-1] == ("in/sub/c.mp4", "out/sub/c.upscale.mp4")
    assert len(made.jobs) == 3
    mirrored = plan("in", output="out/{rel}/{stem}{ext}", recursive=True)
    assert pairs(mirrored)[-1] == ("in/sub/c.mp4", "out/sub/c.mp4")


def test_own_outputs_are_not_inputs_again(here):
    put("in/a.png", "in/a.upscale.png", "in/f.mp4", "in/f.upscale.preview.png", "in/b.colorize.png")
    assert [s for s, _ in pairs(plan("in", output="out"))] == ["in/a.png", "in/b.colorize.png", "in/f.mp4"]
    put("in/out/a.png")
    assert len(plan("in", output="in/out", recursive=True).jobs) == 3, "the output folder is not an input"


def test_second_run_with_a_glob(here):
    put("a.png", "a.upscale.png", "b.png")
    made = plan("a.png", "a.upscale.png", "b.png", skip_existing=True)
    assert pairs(made) == [("b.png", "b.upscale.png")]
    assert [str(path) for path in made.skipped] == ["a.upscale.png"]


def test_the_same_input_twice_is_one_job(here):
    put("a.png")
    assert len(plan("a.png", "./a.png", str(Path("a.png").absolute())).jobs) == 1


def test_two_inputs_for_one_output(here):
    put("x/a.png", "y/a.png")
    with pytest.raises(UsageError, match="two inputs for one output") as caught:
        plan("x/a.png", "y/a.png", output="out/")
    assert "template" in str(caught.value)
    put("b.heic", "b.png")
    with pytest.raises(UsageError, match="two inputs"):
        plan("b.heic", "b.png")


@pytest.mark.parametrize("inputs", [("x/a.png", "y/a.png"), ("b.heic", "b.png")])
def test_the_template_that_is_suggested_keeps_them_apart(here, inputs):
    put(*inputs)
    with pytest.raises(UsageError) as caught:
        plan(*inputs, output="out/")
    template = caught.value.remedy.split("'")[1]
    targets = [target for _, target in pairs(plan(*inputs, output=template))]
    assert len(set(targets)) == 2 and all(target.startswith("out/") for target in targets)


def test_collision_through_a_link_is_seen(here):
    put("a.png", "b.png")
    Path("d").mkdir()
    Path("same").symlink_to("d")
    Path("l").mkdir()
    Path("l/a.upscale.png").symlink_to(here / "d/b.upscale.png")
    with pytest.raises(UsageError, match="two inputs"):
        make_plan(["a.png", "b.png"], task="upscale", output="{dir}/same/x.png")


def test_existing_outputs(here):
    put("a.png", "a.upscale.png", "b.png", "b.upscale.png", "c.png")
    with pytest.raises(OutputError, match="the output exists") as caught:
        plan("a.png")
    assert "--overwrite" in str(caught.value) and "--skip-existing" in str(caught.value)
    with pytest.raises(OutputError, match="2 outputs exist"):
        plan("a.png", "b.png", "c.png")
    assert len(plan("a.png", "b.png", overwrite=True).jobs) == 2
    made = plan("a.png", "b.png", "c.png", skip_existing=True)
    assert pairs(made) == [("c.png", "c.upscale.png")] and len(made.skipped) == 2
    with pytest.raises(UsageError, match="contradict"):
        plan("a.png", overwrite=True, skip_existing=True)


def test_a_dangling_link_as_output_exists(here):
    put("a.png")
    Path("a.upscale.png").symlink_to("nowhere.png")
    with pytest.raises(OutputError, match="exists"):
        plan("a.png")


def test_output_is_an_input(here):
    put("a.png", "b.png")
    for output in ("a.png", "./a.png"):
        with pytest.raises(OutputError, match="also an input"):
            plan("a.png", output=output, overwrite=True)
    with pytest.raises(OutputError, match="also an input"):
        plan("a.png", "b.png", output="{dir}/b.png", overwrite=True)
    os.link("a.png", "hard.png")
    with pytest.raises(OutputError, match="also an input"):
        plan("a.png", output="hard.png", overwrite=True)


@pytest.mark.parametrize("name", ["gone.png", "gone/deep.png", "x" * 300 + ".png", "a\0b.png"])
def test_missing_input(here, name):
    with pytest.raises(InputError):
        plan(name)


def test_special_inputs(here):
    os.mkfifo("pipe.png")
    with pytest.raises(InputError, match="regular file"):
        plan("pipe.png")
    Path("dangling.png").symlink_to("gone.png")
    with pytest.raises(InputError, match="leads nowhere"):
        plan("dangling.png")
    put("in/a.png")
    Path("in/z.png").symlink_to("gone.png")
    assert len(plan("in").jobs) == 2, "a dangling link in a folder is a job that will fail, not a silent gap"


def test_the_working_folder_is_gone(here):
    put("gone/x.png", "a.png")
    os.chdir("gone")
    Path("x.png").unlink()
    Path("../gone").rmdir()
    try:
        with pytest.raises(InputError, match="working folder"):
            plan(str(here / "a.png"), output="out/")
        assert plan(str(here / "a.png")).jobs, "full paths need no working folder"
    finally:
        os.chdir(here)


def test_folder_without_media(here):
    put("in/notes.txt", "in/sub/a.png")
    with pytest.raises(InputError, match="no images or videos") as caught:
        plan("in")
    assert "--recursive" in str(caught.value)


def test_kind_by_content_when_the_suffix_is_unknown(here):
    put("picture.dat")
    assert plan("picture.dat").jobs[0].kind == "image"
    put("text.dat", data=b"hello")
    with pytest.raises(InputError, match="neither"):
        plan("text.dat")
    put("empty.dat", data=b"")
    with pytest.raises(InputError, match="empty"):
        plan("empty.dat")
    assert kind_of_bytes(b"\0\0\0 ftypisom") == "video"
    assert kind_of_bytes(b"\0\0\0 ftypavif") == "image"
    assert kind_of_bytes(b"RIFF\0\0\0\0WEBPVP8 ") == "image"


def gif(pictures: int) -> bytes:
    picture = b"\x21\xf9\x04\0\0\0\0\0" + b"\x2c" + b"\0\0\0\0\1\0\1\0\0" + b"\x02" + b"\x02\x4c\x01\0"
    return b"GIF89a\1\0\1\0\x80\0\0" + b"\0\0\0\xff\xff\xff" + picture * pictures + b"\x3b"


def test_gif_is_a_video_when_it_moves(here):
    put("still.gif", data=gif(1))
    put("moving.gif", data=gif(2))
    put("cut.gif", data=gif(2)[:30])
    assert [kind_of(Path(n)) for n in ("still.gif", "moving.gif", "cut.gif")] == ["image", "video", "image"]
    assert pairs(plan("still.gif")) == [("still.gif", "still.upscale.png")]


def test_standard_streams(here):
    made = plan("-")
    assert made.jobs[0].source is None and made.jobs[0].target is None
    assert str(plan("-", output="o.png").jobs[0].target) == "o.png"
    assert str(plan("-", output="new/").jobs[0].target) == "new/stdin.upscale.png"
    put("a.png", "b.png", "f.mp4")
    assert plan("a.png", output="-").jobs[0].target is None
    for inputs in (("a.png", "b.png"), ("f.mp4",)):
        with pytest.raises(UsageError, match="standard output"):
            plan(*inputs, output="-")
    for inputs in (("-", "a.png"), ("-", "-")):
        with pytest.raises(UsageError, match="standard input"):
            plan(*inputs)


def test_wrong_kind_of_output(here):
    put("a.png", "f.mp4")
    with pytest.raises(UsageError, match="--preview"):
        plan("f.mp4", output="sheet.png")
    assert plan("f.mp4", output="sheet.png", suffix_for=lambda kind, suffix: ".preview.png").jobs
    with pytest.raises(OutputError, match="cannot write an image"):
        plan("a.png", output="a.mp4")
    with pytest.raises(OutputError, match="cannot write a video"):
        plan("f.mp4", output="a.xyz")


def test_several_inputs_need_a_folder(here):
    put("a.png", "b.png", "in/c.png")
    for inputs in (("a.png", "b.png"), ("in",)):
        with pytest.raises(UsageError, match="several inputs"):
            plan(*inputs, output="one.png")


def test_folder_that_cannot_be_written(here, monkeypatch):
    put("a.png", "file")
    with pytest.raises(OutputError, match="not a folder"):
        plan("a.png", output="file/b.png")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot be written"):
        plan("a.png")


def test_target_is_a_folder_or_too_long(here):
    put("a.png")
    Path("a.upscale.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        plan("a.png", overwrite=True)
    put("n" * 246 + ".png")
    with pytest.raises(OutputError, match="too long"):
        plan("n" * 246 + ".png")


def test_from_file(here):
    put("a.png", "with space.png", "ü.png")
    Path("list").write_text("a.png\n\nwith space.png\n", encoding="utf-8")
    assert len(plan(from_file=Path("list")).jobs) == 2
    Path("nul").write_bytes("a.png\0ü.png\0".encode())
    assert len(plan("with space.png", from_file=Path("nul")).jobs) == 3
    Path("none").write_text("\n")
    with pytest.raises(UsageError, match="no input"):
        plan(from_file=Path("none"))
    with pytest.raises(InputError, match="list of inputs"):
        plan(from_file=Path("gone"))
    with pytest.raises(UsageError, match="no input"):
        plan()


def test_written_formats_are_read_too():
    assert set(IMAGE_OUTPUTS) <= IMAGE_SUFFIXES and set(VIDEO_OUTPUTS) <= VIDEO_SUFFIXES
    assert not IMAGE_SUFFIXES & VIDEO_SUFFIXES


NAMES = st.sampled_from(["a.png", "a.PNG", "a.jpg", "a.heic", "b.png", "ü x.png", "a.b.png", "f.mp4", "f.ts"])
FOLDERS = st.sampled_from([".", "x", "x/y", "z"])
OUTPUTS = st.sampled_from(
    [None, "out/", "x", "{dir}/{stem}.{task}{ext}", "out/{stem}{ext}", "out/{rel}/{stem}{ext}", "{stem}.png"]
)


@settings(max_examples=60)
@given(
    files=st.lists(st.tuples(FOLDERS, NAMES), min_size=1, max_size=6, unique=True),
    named=st.sets(FOLDERS, max_size=2),
    output=OUTPUTS,
    recursive=st.booleans(),
    overwrite=st.booleans(),
)
def test_no_two_jobs_share_an_output(tmp_path_factory, files, named, output, recursive, overwrite):
    root = tmp_path_factory.mktemp("plan")
    before = Path.cwd()
    os.chdir(root)
    try:
        put(*(f"{folder}/{name}" for folder, name in files))
        inputs = [f"{folder}/{name}" for folder, name in files] + [f for f in named if Path(f).is_dir()]
        try:
            made = plan(*inputs, output=output, recursive=recursive, overwrite=overwrite)
        except GantoolError:
            return
        targets = [os.path.realpath(job.target) for job in made.jobs if job.target]
        sources = [os.path.realpath(job.source) for job in made.jobs if job.source]
        assert len(targets) == len(set(targets)) and len(sources) == len(set(sources))
        assert not set(targets) & set(sources)
    finally:
        os.chdir(before)


def test_numbered_pictures_are_a_film(here):
    put("in/00001.png", "in/00002.png", "in/other.png", "shot1.png", "shot2.png")
    made = plan("in/%05d.png", "shot%d.png")
    assert pairs(made) == [
        ("in/%05d.png", "in/%05d.upscale.png"),
        ("shot%d.png", "shot%d.upscale.png"),
    ]
    assert [job.kind for job in made.jobs] == ["video", "video"]
    assert pairs(plan("in/%05d.png", output="film.mp4")) == [("in/%05d.png", "film.mp4")]
    assert pairs(plan("in/%05d.png", output="out/")) == [("in/%05d.png", "out/%05d.upscale.png")]
    assert pairs(plan("in/%05d.png", output="out/{stem}.mkv")) == [("in/%05d.png", "out/in.mkv")]
    assert pairs(plan("shot%d.png", output="out/{stem}.mkv")) == [("shot%d.png", "out/shot.mkv")]
    assert pairs(plan("shot%d.png", output="out/{stem}{ext}")) == [("shot%d.png", "out/shot%d.png")]
    sheet = plan("in/%05d.png", suffix_for=lambda kind, suffix: ".preview.png")
    assert pairs(sheet) == [("in/%05d.png", "in/in.upscale.preview.png")]


def test_a_film_becomes_numbered_pictures(here):
    put("film.mp4")
    assert pairs(plan("film.mp4", output="out/%05d.png")) == [("film.mp4", "out/%05d.png")]
    with pytest.raises(UsageError, match="one image") as caught:
        plan("film.mp4", output="out.png")
    assert "%05d.png" in caught.value.remedy
    put("out/00007.png")
    with pytest.raises(OutputError, match="exists"):
        plan("film.mp4", output="out/%05d.png")
    plan("film.mp4", output="out/%05d.png", overwrite=True)
    plan("film.mp4", output="out/%04d.png")  # 00007 is none of these
    made = plan("film.mp4", output="out/%05d.png", skip_existing=True)
    assert made.jobs == () and len(made.skipped) == 1


def test_numbered_pictures_that_are_not_there(here):
    put("in/1.png")
    for name in ("in/%05d.png", "absent/%d.png"):
        with pytest.raises(InputError):
            plan(name)
    put("in/%d.png")  # a file of that very name is itself
    assert [job.kind for job in plan("in/%d.png").jobs] == ["image"]


def test_numbered_output_that_is_the_input(here):
    put("in/1.png")
    with pytest.raises(OutputError, match="also an input"):
        plan("in/%d.png", output="in/%d.png", overwrite=True)


def test_a_film_to_and_from_standard_streams(here):
    put("film.mp4")
    with pytest.raises(UsageError, match="standard output"):
        plan("film.mp4", output="-")
    (job,) = plan("film.mp4", output="-", films_to_stdout=True).jobs
    assert (job.target, job.kind) == (None, "video")
    (job,) = plan("-", stdin_kind="video", films_to_stdout=True).jobs
    assert (job.source, job.target, job.kind) == (None, None, "video")
    (job,) = plan("-", stdin_kind="video", output="out.mp4").jobs
    assert (str(job.target), job.kind) == ("out.mp4", "video")
