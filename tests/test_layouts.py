"""Training folders: what is recognised, what is refused, and that no file disappears without a word."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from gantool.errors import InputError, UsageError
from gantool.layouts import Sample, natural, read, read_labels, read_rgb, recognise
from gantool.layouts.folders import plain_stem, walk
from gantool.layouts.samples import breaks_off

PAIRED = ("side-by-side", "pairs")
_seeds = itertools.count()


def whole(value):
    """The value, which is not None."""
    assert value is not None
    return value


def photo(path: Path, width: int = 48, height: int = 40) -> Path:
    """A smooth random colour picture, as different from the next as two photographs."""
    coarse = np.random.default_rng(next(_seeds)).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return save(path, cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC))


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels)
    return path


def numbers(path: Path, values=(0, 7, 33), size=(40, 48), dtype: type = np.uint8) -> Path:
    """A label map: areas of a few values."""
    height, width = size
    map_ = np.array(values, dtype)[np.arange(width) * len(values) // width]
    return save(path, np.tile(map_, (height, 1)))


def abutted(path: Path, half: int = 32, height: int = 32) -> Path:
    """Two unlike pictures side by side."""
    left, right = np.full((height, half, 3), 30, np.uint8), np.full((height, half, 3), 200, np.uint8)
    for part in (left, right):
        part += np.random.default_rng(next(_seeds)).integers(0, 20, part.shape, dtype=np.uint8)
    return save(path, np.hstack([left, right]))


def names(samples) -> list[str]:
    return [sample.name for sample in samples]


def test_natural_order():
    assert sorted(["10", "2", "a10", "a9", "A8", ""], key=natural) == ["", "2", "10", "A8", "a9", "a10"]


@given(st.permutations(["", "1", "01", "1a", "a1", "A1", "a", "a1b2", "a1b10", "٣", "²"]))
def test_natural_order_does_not_depend_on_the_order_before(texts):
    assert sorted(texts, key=natural) == sorted(set(texts), key=natural)


# ---- side by side


def test_side_by_side_with_splits(tmp_path):
    for number in (1, 2, 10):
        abutted(tmp_path / "train" / f"{number}.png")
    abutted(tmp_path / "val" / "3.jpg")
    layout = recognise([tmp_path], PAIRED)
    assert layout.kind == "side-by-side" and layout.summary() == "side-by-side: 3 to train on, 1 held out"
    assert names(layout.train) == ["train/1", "train/2", "train/10"] and names(layout.held) == ["val/3"]
    a, b = whole(read(layout.train[0], layout.kind))
    assert a.shape == b.shape == (32, 32, 3) and a.mean() < 60 and b.mean() > 180


@pytest.mark.parametrize(("half", "height"), [(60, 40), (30, 50)])
def test_halves_that_are_no_squares_show_by_their_seam(tmp_path, half, height):
    for number in range(4):
        abutted(tmp_path / f"{number}.png", half, height)
    assert recognise([tmp_path], PAIRED).kind == "side-by-side"


def test_photographs_of_even_width_are_not_side_by_side(tmp_path):
    for number in range(4):
        photo(tmp_path / f"{number}.png", 64, 48)
    with pytest.raises(
        InputError, match=r"found single pictures \(0.png does not look like two pictures"
    ) as error:
        recognise([tmp_path], PAIRED)
    assert "this task needs pictures with A and B side by side or folders A/ and B/" in str(error.value)
    assert recognise([tmp_path], ["photos"]).kind == "photos"


def test_wide_pictures_are_side_by_side_only_for_a_paired_task(tmp_path):
    photo(tmp_path / "0.png", 80, 40)
    assert recognise([tmp_path], [*PAIRED, "photos"]).kind == "side-by-side"
    assert recognise([tmp_path], ["photos", *PAIRED]).kind == "photos"


def test_held_out_pictures_without_a_right_half_are_told(tmp_path):
    abutted(tmp_path / "train" / "1.png")
    photo(tmp_path / "val" / "1.png", 33, 32)
    layout = recognise([tmp_path], PAIRED)
    assert not layout.held and "val/1.png" in layout.notes[0]


def test_a_picture_of_odd_width_has_no_halves(tmp_path):
    path = photo(tmp_path / "1.png", 65, 32)
    assert read(Sample("1", (path,)), "side-by-side") is None
    assert read(Sample("1", (path,)), "photos") is not None


def test_most_pictures_may_be_of_odd_width(tmp_path):
    for number in range(5):
        abutted(tmp_path / f"{number}.png")
    for number in range(5, 12):
        photo(tmp_path / f"{number}.png", 63, 32)
    layout = recognise([tmp_path], ["photos", *PAIRED][::-1])
    assert layout.kind == "side-by-side" and len(layout.train) == 12


def test_files_that_cannot_be_read_do_not_decide(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.png").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert recognise([tmp_path], PAIRED).kind == "side-by-side"
    photo(tmp_path / "9.png", 64, 48)
    with pytest.raises(InputError, match="does not look like"):
        recognise([tmp_path], PAIRED)


# ---- pairs


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("A", "B"),
        ("trainA", "trainB"),
        ("train_A", "train_B"),
        ("A/train", "B/train"),
        ("train/a", "train/b"),
        ("input", "target"),
        ("lr", "HR"),
        ("data/Blurry", "data/Sharp"),
    ],
)
def test_pairs_by_folder_names(tmp_path, a, b):
    for stem in ("1", "2", "10"):
        photo(tmp_path / a / f"{stem}.png", 20, 20)
        photo(tmp_path / b / f"{stem}.jpg", 40, 40)
    layout = recognise([tmp_path], PAIRED)
    assert layout.kind == "pairs" and not layout.problems and not layout.notes
    assert [path.name for path in layout.train_files] == [
        "1.png",
        "1.jpg",
        "2.png",
        "2.jpg",
        "10.png",
        "10.jpg",
    ]
    assert [x.shape for x in whole(read(layout.train[0], "pairs"))] == [(20, 20, 3), (40, 40, 3)]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("DIV2K_train_LR_bicubic/X4/0801x4.png", "DIV2K_train_HR/0801.png"),
        ("A/night_01_A.png", "B/night_01_B.png"),
        ("input/frame_7_input.png", "gt/frame_7_gt.jpg"),
        ("A/one/5.png", "B/one/5.png"),
        ("A/IMG_5.PNG", "B/img_5.jpg"),
    ],
)
def test_names_of_partners_may_differ_by_words_for_their_role(tmp_path, a, b):
    photo(tmp_path / a)
    photo(tmp_path / b)
    (sample,) = recognise([tmp_path], ["pairs"]).train
    assert [path.relative_to(tmp_path).as_posix() for path in sample.files] == [a, b]


def test_the_test_split_is_held_out_where_there_is_no_val_split(tmp_path):
    for folder in ("trainA", "trainB", "testA", "testB"):
        photo(tmp_path / folder / "1.png")
    layout = recognise([tmp_path], ["pairs"])
    assert len(layout.train) == len(layout.held) == 1
    photo(tmp_path / "valA" / "8.png")
    photo(tmp_path / "valB" / "8.png")
    layout = recognise([tmp_path], ["pairs"])
    assert names(layout.held) == ["8"] and "2 pictures (testA/1.png, ...)" in layout.notes[0]


def test_unmatched_names_are_told_and_the_rest_is_used(tmp_path):
    for stem in "123":
        photo(tmp_path / "A" / f"{stem}.png")
        photo(tmp_path / "B" / f"{stem}.png")
    photo(tmp_path / "A" / "4.png")
    photo(tmp_path / "B" / "only.png")
    photo(tmp_path / "B" / "3.jpg")
    layout = recognise([tmp_path], ["pairs"])
    assert names(layout.train) == ["1", "2", "3"]
    assert layout.unmatched[0] == "A/4.png (none of its name in B)"
    assert "B/only.png (none of its name in A)" in layout.unmatched
    assert [name for name in layout.unmatched if "the same name as" in name] == [
        "B/3.png (the same name as 3.jpg)"
    ]
    assert len(layout.problems) == 3


def test_full_names_decide_between_two_files_of_one_stem(tmp_path):
    for folder, suffix in itertools.product("AB", ("png", "jpg")):
        photo(tmp_path / folder / f"1.{suffix}")
    layout = recognise([tmp_path], ["pairs"])
    assert not layout.problems and len(layout.train) == 2
    assert all(
        a is not None and b is not None and a.name == b.name for a, b in (s.paths for s in layout.train)
    )


def test_frames_of_several_sequences_are_not_mixed_up(tmp_path):
    for folder in ("A/s1", "A/s2", "B/s1", "B/s2"):
        photo(tmp_path / folder / "0.png")
    photo(tmp_path / "B" / "s2" / "1.png")
    layout = recognise([tmp_path], ["pairs"])
    assert names(layout.train) == ["s1/0", "s2/0"]
    assert layout.unmatched == ("B/s2/1.png (none of its name in A)",)


def test_frames_that_are_numbered_alike_are_not_matched_across_sequences(tmp_path):
    for folder in ("A/s1", "A/s2", "B/t1", "B/t2"):
        photo(tmp_path / folder / "0.png")
    with pytest.raises(InputError, match="0 of 2 file names"):
        recognise([tmp_path], ["pairs"])


def test_two_roots_are_a_and_b_in_the_order_given(tmp_path):
    for folder in ("zebra", "horse"):
        photo(tmp_path / folder / "1.png")
    layout = recognise([tmp_path / "zebra", tmp_path / "horse"], ["pairs"])
    assert [path.parent.name for path in layout.train_files] == ["zebra", "horse"]
    photo(tmp_path / "zebra" / "train" / "7.png")
    photo(tmp_path / "horse" / "test" / "7.png")
    layout = recognise([tmp_path / "horse", tmp_path / "zebra"], ["unpaired"])
    assert names(layout.held_a) == ["7"] and names(layout.train_b) == ["7"]


def test_drawn_labels_are_pictures(tmp_path):
    photo(tmp_path / "train_label" / "1.png")
    photo(tmp_path / "train_img" / "1.jpg")
    assert recognise([tmp_path], PAIRED).kind == "pairs"
    with pytest.raises(InputError, match="colours or shades, not class numbers"):
        recognise([tmp_path], ["labels"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
def test_every_file_is_matched_or_told(tmp_path_factory, in_a, in_b):
    root = tmp_path_factory.mktemp("data")
    for folder, stems in (("A", in_a), ("B", in_b)):
        (root / folder).mkdir()
        for stem in stems:
            (root / folder / f"{stem}.png").write_bytes(b"never opened")
    common = in_a & in_b
    if 2 * len(common) < max(len(in_a), len(in_b)):
        with pytest.raises(InputError, match=f"{len(common)} of {max(len(in_a), len(in_b))} file names"):
            recognise([root], ["pairs"])
        return
    layout = recognise([root], ["pairs"])
    assert names(layout.train) == [str(stem) for stem in sorted(common)]
    told = {name.partition(" ")[0] for name in layout.unmatched}
    assert told == {f"A/{n}.png" for n in in_a - in_b} | {f"B/{n}.png" for n in in_b - in_a}


# ---- unpaired


def test_unpaired(tmp_path):
    for folder, count in (("trainA", 3), ("trainB", 2), ("testA", 1), ("testB", 2)):
        for number in range(count):
            photo(tmp_path / folder / f"{folder}{number}.jpg")
    layout = recognise([tmp_path], ["unpaired"])
    assert layout.summary() == "unpaired: 3 A and 2 B to train on, 1 and 2 held out"
    assert [len(s) for s in (layout.train_a, layout.train_b, layout.held_a, layout.held_b)] == [3, 2, 1, 2]
    assert layout.train == () and len(layout.trained) == 5 and len(layout.held_out) == 3
    with pytest.raises(
        InputError, match=r"two folders of pictures whose file names differ \(0 of 3 file names"
    ):
        recognise([tmp_path], PAIRED)


def test_folders_with_other_names_are_not_guessed_to_be_domains(tmp_path):
    photo(tmp_path / "horse" / "1.png")
    photo(tmp_path / "zebra" / "1.png")
    with pytest.raises(InputError, match="Name the folder of A and the folder of B, in this order"):
        recognise([tmp_path], ["unpaired"])


# ---- labels


@pytest.mark.parametrize(
    ("label", "inst", "picture"),
    [
        ("train_label", "train_inst", "train_img"),
        ("train_A/seq1", "train_inst/seq1", "train_B/seq1"),
        ("seq1/label", "seq1/inst", "seq1/photo"),
    ],
)
def test_labels(tmp_path, label, inst, picture):
    for number in (1, 2):
        numbers(tmp_path / label / f"{number}.png")
        numbers(tmp_path / inst / f"{number}.png", (0, 26001, 33), dtype=np.uint16)
        photo(tmp_path / picture / f"{number}.jpg")
    layout = recognise([tmp_path], ["labels"])
    assert layout.kind == "labels" and len(layout.train) == 2 and not layout.problems
    map_, instances, shown = whole(read(layout.train[0], "labels"))
    assert map_.dtype == np.uint8 and set(np.unique(map_)) == {0, 7, 33} and map_.shape == (40, 48)
    assert instances.dtype == np.uint16 and instances.max() == 26001 and shown.shape == (40, 48, 3)
    with pytest.raises(InputError, match="found label maps with their photographs"):
        recognise([tmp_path], PAIRED)


def test_labels_without_instances_and_with_long_names(tmp_path):
    numbers(tmp_path / "train_label" / "aachen_000000_000019_gtFine_labelIds.png")
    photo(tmp_path / "train_img" / "aachen_000000_000019_leftImg8bit.png")
    numbers(tmp_path / "test_label" / "berlin_000000_000019_gtFine_labelIds.png")
    layout = recognise([tmp_path], ["labels"])
    (sample,) = layout.train
    assert sample.paths[1] is None and len(sample.files) == 2
    assert [array.ndim for array in whole(read(sample, "labels"))] == [2, 3]
    assert "berlin_000000_000019_gtFine_labelIds.png) held out without partners" in layout.notes[0]


def test_photos_of_a_labelled_folder_are_its_photographs(tmp_path):
    numbers(tmp_path / "label" / "1.png")
    photo(tmp_path / "img" / "1.png")
    layout = recognise([tmp_path], ["photos"])
    assert names(layout.train) == ["img/1"] and "1 picture (label/1.png) left out" in layout.notes[0]


def test_label_files_keep_their_numbers(tmp_path):
    expected = np.repeat(np.arange(4, dtype=np.uint8), 10)[None].repeat(8, 0)
    indexed = Image.fromarray(expected)
    indexed.putpalette([level for n in range(256) for level in (9 * n % 256, 200, 255 - n)])
    indexed.save(tmp_path / "palette.png")
    save(tmp_path / "rgb.png", np.repeat(expected[..., None], 3, axis=2))
    save(tmp_path / "deep.png", expected.astype(np.uint16) * 300)
    Image.fromarray(expected > 1).save(tmp_path / "bits.png")
    for name in ("palette", "rgb"):
        assert np.array_equal(whole(read_labels(tmp_path / f"{name}.png")), expected), name
    assert np.array_equal(whole(read_labels(tmp_path / "deep.png")), expected.astype(np.uint16) * 300)
    assert np.array_equal(whole(read_labels(tmp_path / "bits.png")), expected > 1)
    assert read_labels(photo(tmp_path / "colours.png")) is None


# ---- photos, and all of them


def test_photos_in_any_folders(tmp_path):
    for name in ("b/2.jpg", "b/10.jpg", "a.png", "my_test/1.png"):
        photo(tmp_path / name)
    layout = recognise([tmp_path], ["photos"])
    assert names(layout.train) == ["a", "b/2", "b/10", "my_test/1"] and not layout.held
    photo(tmp_path / "my_train" / "1.png")
    layout = recognise([tmp_path], ["photos"])
    assert names(layout.train) == ["my_train/1"] and names(layout.held) == ["my_test/1"]
    assert "3 pictures (a.png, ...) beside the train folder left out" in layout.notes[0]


def test_a_lone_test_folder_is_trained_on(tmp_path):
    photo(tmp_path / "test" / "1.png")
    layout = recognise([tmp_path], ["photos"])
    assert len(layout.train) == 1 and not layout.held


def test_one_file_and_several_roots(tmp_path):
    one = photo(tmp_path / "x" / "one.png")
    two = photo(tmp_path / "y" / "two.png")
    assert names(recognise([one], ["photos"]).train) == ["one"]
    layout = recognise([one, two.parent, two], ["photos"])
    assert names(layout.train) == ["x/one", "y/two"] and layout.shown(two) == "y/two.png"


def test_foreign_hidden_and_linked_files(tmp_path):
    photo(tmp_path / "data" / "1.png")
    (tmp_path / "data" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "data" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "data" / "._1.png").write_bytes(b"x")
    (tmp_path / "data" / "notes.txt").write_text("x")
    (tmp_path / "data" / "clip.mp4").write_bytes(b"x")
    photo(tmp_path / "data" / "__MACOSX" / "1.png")
    photo(tmp_path / "data" / ".cache" / "1.png")
    photo(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    layout = recognise([tmp_path / "data"], ["photos"])
    assert names(layout.train) == ["1", "more/2"]
    assert layout.notes == ("files of kinds that training does not read are left out: 1 .mp4",)


@pytest.mark.parametrize(
    ("stem", "plain"),
    [
        ("0801x4", "0801"),
        ("a_B", "a"),
        ("lisa", "lisa"),
        ("x_gtFine_labelIds", "x"),
        ("IMG_7", "7"),
        ("b", "b"),
    ],
)
def test_plain_stems(stem, plain):
    assert plain_stem(stem) == plain


def test_a_lone_letter_in_a_name_is_an_article(tmp_path):
    photo(tmp_path / "a day out" / "1.png")
    photo(tmp_path / "plan b" / "1.png")
    assert [entry.role for entry in walk([tmp_path]).entries] == ["", "b"]


def test_refusals(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        recognise([tmp_path / "gone"], ["photos"])
    with pytest.raises(InputError, match="no pictures found"):
        recognise([tmp_path], ["photos"])
    with pytest.raises(InputError, match="no training pictures"):
        recognise([], ["photos"])
    photo(tmp_path / "1.png")
    for accepts in ([], ["movies"]):
        with pytest.raises(UsageError, match="no such data layout"):
            recognise([tmp_path], accepts)
    with pytest.raises(InputError, match="needs folders train_label/ and train_img/"):
        recognise([tmp_path], ["labels"])


# ---- reading


def test_broken_files_give_none(tmp_path):
    jpeg = photo(tmp_path / "whole.jpg", 200, 200).read_bytes()
    png = photo(tmp_path / "whole.png", 200, 200).read_bytes()
    cases = {"cut.jpg": jpeg[:-300], "cut.png": png[:-300], "empty.png": b"", "text.jpg": b"text"}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        assert read_rgb(tmp_path / name) is None, name
        assert read_labels(tmp_path / name) is None, name
    assert read_rgb(tmp_path / "gone.png") is None and read_labels(tmp_path / "gone.png") is None
    assert read(Sample("x", (tmp_path / "whole.png", tmp_path / "cut.png")), "pairs") is None


def test_whole_files_that_look_cut_are_read(tmp_path):
    jpeg = photo(tmp_path / "whole.jpg", 200, 200).read_bytes()
    (tmp_path / "tail.jpg").write_bytes(jpeg + bytes(9000))  # as telephones append films
    (tmp_path / "misnamed.jpg").write_bytes(photo(tmp_path / "p.png").read_bytes())
    assert read_rgb(tmp_path / "tail.jpg") is not None and read_rgb(tmp_path / "misnamed.jpg") is not None


def test_a_thumbnail_does_not_hide_that_the_picture_is_cut(tmp_path):
    big = photo(tmp_path / "big.jpg", 200, 200).read_bytes()
    thumbnail = photo(tmp_path / "small.jpg", 16, 16).read_bytes()
    segment = b"\xff\xe2" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    path = tmp_path / "with.jpg"
    path.write_bytes(big[:2] + segment + big[2:])
    assert read_rgb(path) is not None and not breaks_off(path.read_bytes())
    path.write_bytes(big[:2] + segment + big[2:-300])
    assert read_rgb(path) is None and breaks_off(path.read_bytes())


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20), "red").save(tmp_path / "turned.jpg", exif=exif)
    image = read_rgb(tmp_path / "turned.jpg")
    assert image is not None and image.shape == (30, 20, 3)
