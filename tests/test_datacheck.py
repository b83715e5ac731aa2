"""The check of training data: every defect is named, sound data pass, and the contact sheet shows samples."""

import itertools
import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantool.datacheck import check, contact_sheet, painted
from gantool.datacheck.duplicates import _bands, _near, find_copies
from gantool.datacheck.look import Look, fingerprint, is_grey, look_at
from gantool.errors import ExitCode, InputError, OutputError
from gantool.layouts import KINDS, Kind, Layout, Sample, recognise
from gantool.progress import Progress

_seeds = itertools.count(1000)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


def picture(width: int = 64, height: int = 48) -> np.ndarray:
    """A smooth random colour picture, as different from the next as two photographs."""
    coarse = np.random.default_rng(next(_seeds)).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def save(path: Path, pixels: np.ndarray | None = None, *options: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture() if pixels is None else pixels, options)
    return path


def finding(report, code: str):
    """The one finding of that code."""
    (found,) = [found for found in report.findings if found.code == code]
    return found


def codes(report) -> set[str]:
    return {found.code for found in report.findings}


def pairs(root: Path, count: int = 3) -> Path:
    for number in range(count):
        save(root / "A" / f"{number}.png")
        save(root / "B" / f"{number}.png")
    return root


def test_sound_data_pass(tmp_path):
    layout = recognise([pairs(tmp_path)], ["pairs"])
    counted = Progress("check", None, "file")
    report = check(layout, crop=48, progress=counted)
    assert report.ok and report.exit_code == ExitCode.OK and report.error() is None and not report.findings
    assert counted.done == counted.expected == 6
    assert report.lines() == [
        "pairs: 3 to train on, 0 held out",
        "A: 3 pictures, 64 x 48",
        "B: 3 pictures, 64 x 48",
        "no errors, 0 notes",
    ]


def test_corrupt_unmatched_16_bit_and_grey_are_all_named(tmp_path):
    pairs(tmp_path, 8)
    data = save(tmp_path / "A" / "1.jpg").read_bytes()
    (tmp_path / "A" / "1.png").unlink()
    (tmp_path / "A" / "1.jpg").write_bytes(data[: len(data) // 2])
    save(tmp_path / "A" / "lonely.png")
    save(tmp_path / "B" / "2.png", picture().astype(np.uint16) * 257)
    save(tmp_path / "A" / "4.png", picture()[..., 0])
    report = check(recognise([tmp_path], ["pairs"]))
    assert report.exit_code == 3 and report.errors == 2
    error = report.error()
    assert isinstance(error, InputError) and "2 errors" in str(error)
    text = "\n".join(report.lines())
    for words in (
        "error: 1 file that cannot be read: A/1.jpg (the picture is damaged or cut off",
        "error: 1 file without a partner, not used: A/lonely.png (none of its name in B)",
        "note: 1 file with 16 bits per channel, read with 8: B/2.png",
        "note: A: 1 of 7 pictures are grey: A/4.png",
    ):
        assert words in text, text
    told = json.loads(json.dumps(report.to_json()))
    assert told["kind"] == "pairs" and told["errors"] == 2 and told["train"] == 8
    assert {found["code"] for found in told["findings"]} == {"unreadable", "unmatched", "16-bit", "grey"}


def test_pointers_empty_files_text_and_wrong_checksums(tmp_path):
    save(tmp_path / "0.png")
    (tmp_path / "1.png").write_bytes(POINTER)
    (tmp_path / "2.png").write_bytes(b"")
    (tmp_path / "3.jpg").write_text("not found")
    data = bytearray(save(tmp_path / "4.png").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "4.png").write_bytes(data)
    report = check(recognise([tmp_path], ["photos"]))
    assert finding(report, "lfs").files == ("1.png",)
    bad = finding(report, "unreadable").files
    assert [name.partition(" ")[0] for name in bad] == ["2.png", "3.jpg", "4.png"]
    assert "empty" in bad[0] and "text" in bad[1] and "checksum" in bad[2]


def test_a_wrong_checksum_beside_the_pixels_is_damage_too(tmp_path):
    data = save(tmp_path / "0.png").read_bytes()
    text = b"\0\0\0\4tEXta\0bc" + bytes(4)
    (tmp_path / "1.png").write_bytes(data[:33] + text + data[33:])
    assert "checksum" in finding(check(recognise([tmp_path], ["photos"])), "unreadable").files[0]


def test_a_file_that_vanished_is_told(tmp_path):
    layout = recognise([pairs(tmp_path)], ["pairs"])
    (tmp_path / "B" / "1.png").unlink()
    assert finding(check(layout), "unreadable").files == (
        "B/1.png (cannot be read: No such file or directory)",
    )


def test_pictures_smaller_than_the_crop(tmp_path):
    save(tmp_path / "0.png", picture(64, 31))
    save(tmp_path / "1.png", picture(64, 32))
    layout = recognise([tmp_path], ["photos"])
    some = finding(check(layout, crop=32), "small")
    assert some.severity == "note" and some.files == ("0.png (64 x 31)",)
    all_ = check(layout, crop=100)
    assert finding(all_, "small").severity == "error" and not all_.ok
    assert check(layout).ok


def test_the_crop_is_compared_with_a_half(tmp_path):
    save(tmp_path / "0.png", picture(128, 64))
    layout = recognise([tmp_path], ["side-by-side"])
    assert "small" not in codes(check(layout, crop=64)) and "small" in codes(check(layout, crop=65))
    assert check(layout).sizes["A and B, each"].width == (64, 64, 64)


def test_odd_widths_and_grey_halves(tmp_path):
    for number in range(4):
        drawn = np.repeat(picture(64, 64)[..., :1], 3, axis=2)
        save(tmp_path / f"{number}.png", np.hstack([drawn, picture(64, 64)]))
    save(tmp_path / "5.png", picture(129, 64))
    report = check(recognise([tmp_path], ["side-by-side"]))
    assert finding(report, "odd-width").files == ("5.png (129 x 64)",)
    save(tmp_path / "5.png", picture(128, 64))
    grey = finding(check(recognise([tmp_path], ["side-by-side"])), "grey")
    assert grey.what == "A: 4 of 5 pictures are grey" and len(grey.files) == 4


def test_partners_of_other_sizes(tmp_path):
    for number in range(3):
        save(tmp_path / "A" / f"{number}.png", picture(20, 10))
        save(tmp_path / "B" / f"{number}.png", picture(80, 40))
    report = check(recognise([tmp_path], ["pairs"]))
    assert report.ok and finding(report, "scale").what == "every B is 4 times as large as its A"
    save(tmp_path / "B" / "1.png", picture(79, 40))
    report = check(recognise([tmp_path], ["pairs"]))
    assert "A/1.png (20 x 10) and B/1.png (79 x 40)" in finding(report, "size").files and not report.ok


def test_ctrl_c_drops_what_has_not_begun(tmp_path, monkeypatch):
    for number in range(100):
        save(tmp_path / f"{number}.png")
    begun = []

    def slow(path, side, held):
        begun.append(path)
        time.sleep(0.01)
        return look_at(path, side, held)

    class Interrupting(Progress):
        def advance(self, n: int = 1) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("gantool.datacheck.look.look_at", slow)
    with pytest.raises(KeyboardInterrupt):
        check(recognise([tmp_path], ["photos"]), progress=Interrupting("check", None, "file"))
    assert len(begun) < 50


# ---- copies


def test_copies_across_the_splits_are_errors(tmp_path):
    shared, edited = picture(160, 120), picture(160, 120)
    save(tmp_path / "train" / "1.png", shared)
    save(tmp_path / "train" / "2.png", edited)
    save(tmp_path / "train" / "3.png")
    save(tmp_path / "val" / "7.png", shared)
    save(tmp_path / "val" / "8.jpg", cv2.resize(edited, (80, 60)), cv2.IMWRITE_JPEG_QUALITY, 60)
    save(tmp_path / "val" / "9.png")
    report = check(recognise([tmp_path], ["photos"]))
    leak = finding(report, "leak")
    assert leak.severity == "error" and not report.ok
    assert leak.files == ("train/1.png = val/7.png", "train/2.png ~ val/8.jpg")


def test_copies_inside_a_split_are_notes(tmp_path):
    one = picture(160, 120)
    save(tmp_path / "1.png", one)
    save(tmp_path / "2.png", one)
    save(tmp_path / "3.jpg", one, cv2.IMWRITE_JPEG_QUALITY, 50)
    save(tmp_path / "4.png", one[:, ::-1])
    report = check(recognise([tmp_path], ["photos"]))
    assert report.ok and finding(report, "duplicates").files == ("1.png = 2.png ~ 3.jpg",)


def test_a_repeated_input_is_a_note_but_a_repeated_target_an_error(tmp_path):
    blank, target = np.full((40, 40, 3), 255, np.uint8), picture(40, 40)
    for split, number in (("train", 1), ("train", 2), ("val", 3)):
        save(tmp_path / split / "A" / f"{number}.png", blank)
        save(tmp_path / split / "B" / f"{number}.png", picture(40, 40))
    report = check(recognise([tmp_path], ["pairs"]))
    assert report.ok and finding(report, "duplicates").files == (
        "train/A/1.png = train/A/2.png = val/A/3.png",
    )
    save(tmp_path / "train" / "B" / "2.png", target)
    save(tmp_path / "val" / "B" / "3.png", target)
    assert not check(recognise([tmp_path], ["pairs"])).ok


def test_equal_partners_and_files_in_both_domains(tmp_path):
    pairs(tmp_path)
    (tmp_path / "B" / "1.png").write_bytes((tmp_path / "A" / "1.png").read_bytes())
    assert finding(check(recognise([tmp_path], ["pairs"])), "equal").files == ("A/1.png",)
    assert finding(check(recognise([tmp_path], ["unpaired"])), "both").files == ("A/1.png = B/1.png",)


def test_the_pixels_decide_whether_pictures_are_copies(tmp_path):
    one = picture(96, 96)
    changed = one.copy()
    changed[:48, :48] = picture(48, 48)
    squashed = cv2.resize(one, (96, 80), interpolation=cv2.INTER_AREA)
    for name, other, same in (
        ("again", one, True),
        ("changed", changed, False),
        ("squashed", squashed, False),
    ):
        paths = [save(tmp_path / "one.png", one), save(tmp_path / f"{name}.png", other)]
        looks = [Look(p, "photo", False, digest=p.name.encode(), fingerprint=5) for p in paths]
        assert bool(find_copies(looks)) is same, name


@given(st.integers(0, 2**64 - 1), st.sets(st.integers(0, 63), max_size=10))
def test_fingerprints_up_to_seven_bits_apart_are_found(mark, flipped):
    from gantool.datacheck.duplicates import Copies

    other = mark
    for bit in flipped:
        other ^= 1 << bit
    group = Copies(Look(Path("x"), "photo", False, fingerprint=mark))
    bands = defaultdict(list)
    for place, value in _bands(mark):
        bands[place, value].append(group)
    assert bool(_near(other, bands)) == (len(flipped) <= 7)


def test_fingerprints():
    one = picture(300, 200)
    mark = fingerprint(one)
    assert mark is not None and fingerprint(np.full((50, 50, 3), 90, np.uint8)) is None
    small = fingerprint(cv2.resize(one, (150, 100), interpolation=cv2.INTER_AREA))
    assert small is not None and (mark ^ small).bit_count() <= 3
    others = [fingerprint(picture(300, 200)) for _ in range(50)]
    assert min((mark ^ other).bit_count() for other in others if other is not None) > 7


# ---- labels


def labelled(root: Path, values=(0, 5, 255), suffix: str = "png") -> Path:
    for number in range(2):
        map_ = np.array(values, np.uint8)[np.arange(64) * len(values) // 64]
        save(root / "train_label" / f"{number}.{suffix}", np.tile(map_, (48, 1)))
        save(root / "train_img" / f"{number}.jpg")
    return root


def test_label_values(tmp_path):
    layout = recognise([labelled(tmp_path)], ["labels"])
    report = check(layout, label_count=6)
    assert report.ok and report.classes == {0: 2, 5: 2, 255: 2}
    assert "classes: 0 to 5, 2 of 6 in use; 255 (do not care) in 2 maps" in report.lines()
    report = check(layout, label_count=5)
    assert finding(report, "classes").files == ("train_label/0.png (5)", "train_label/1.png (5)")
    assert not report.ok and check(layout).ok


def test_label_maps_must_fit_their_photographs_and_be_lossless(tmp_path):
    labelled(tmp_path, (0, 128))
    save(tmp_path / "train_img" / "1.jpg", picture(60, 48))
    report = check(recognise([tmp_path], ["labels"]))
    assert finding(report, "size").files == ("train_label/1.png (64 x 48) and train_img/1.jpg (60 x 48)",)
    (tmp_path / "train_label" / "1.png").unlink()
    save(tmp_path / "train_label" / "1.jpg", np.zeros((48, 60), np.uint8))
    assert finding(check(recognise([tmp_path], ["labels"])), "lossy").files == ("train_label/1.jpg",)


def test_a_coloured_label_map_among_numbers(tmp_path):
    labelled(tmp_path)
    labelled(tmp_path / "more")
    save(tmp_path / "train_label" / "1.png", picture())
    report = check(recognise([tmp_path], ["labels"]))
    assert finding(report, "unreadable").files == ("train_label/1.png (colours, not class numbers)",)


# ---- single files


def test_alpha_counts_where_it_is_used(tmp_path):
    for name, alpha in (("solid", 255), ("holes", 0)):
        pixels = np.dstack([picture(), np.full((48, 64), 255, np.uint8)])
        pixels[:9, :9, 3] = alpha
        save(tmp_path / f"{name}.png", pixels)
    assert finding(check(recognise([tmp_path], ["photos"])), "alpha").files == ("holes.png",)


def test_grey_by_its_pixels(tmp_path):
    grey = np.repeat(picture()[..., :1], 3, axis=2)
    assert is_grey(grey) and not is_grey(picture())
    tinted = grey.copy()
    tinted[3, 4] = (0, 9, 0)
    assert not is_grey(tinted)
    assert cv2.imwrite(str(tmp_path / "grey.jpg"), grey, [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert look_at(tmp_path / "grey.jpg", "photo", False).grey == (True,)


def test_a_single_sample_is_told(tmp_path):
    save(tmp_path / "1.png")
    assert "few" in codes(check(recognise([tmp_path], ["photos"])))


def test_lines_are_short_and_json_is_whole(tmp_path):
    save(tmp_path / "good.png")
    for number in range(40):
        (tmp_path / f"{number}.png").write_bytes(b"")
    report = check(recognise([tmp_path], ["photos"]))
    line = next(line for line in report.lines() if line.startswith("error"))
    assert line.endswith("and 28 more") and line.count(".png") == 12
    assert len(report.to_json()["findings"][0]["files"]) == 40


def test_notes_of_the_layout_are_in_the_report(tmp_path):
    pairs(tmp_path)
    save(tmp_path / "readme.png")
    report = check(recognise([tmp_path], ["pairs"]))
    assert report.ok and "1 picture (readme.png) in other folders left out" in finding(report, "layout").what


def test_a_look_never_raises(tmp_path):
    path = save(tmp_path / "1.png")
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        for side in ("photo", "AB", "label"):
            assert look_at(path, side, False).trouble, length


# ---- the contact sheet


def a_layout(root: Path, kind: Kind) -> Layout:
    if kind == "labels":
        return recognise([labelled(root)], [kind])
    if kind == "photos":
        for number in range(30):
            save(root / f"{number}.png")
    elif kind == "side-by-side":
        save(root / "train" / "1.png", picture(128, 64))
        save(root / "val" / "1.png", picture(128, 64))
    else:
        pairs(root)
    return recognise([root], [kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_of_every_layout(tmp_path, kind):
    layout = a_layout(tmp_path / "data", kind)
    path = contact_sheet(layout, tmp_path / "sheet.png", count=8, side_px=48)
    sheet = cv2.imread(str(path))
    assert sheet is not None
    parts = {"photos": 1}.get(kind, 2)
    cells = {"photos": 8, "side-by-side": 2, "labels": 2}.get(kind, 3)
    columns = min(4, cells)
    assert sheet.shape[1] == 6 + columns * parts * 54
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 100


def test_the_sheet_shows_the_pictures(tmp_path):
    red, blue = np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8)
    red[..., 2] = blue[..., 0] = 255
    save(tmp_path / "A" / "1.png", red)
    save(tmp_path / "B" / "1.png", blue)
    path = contact_sheet(recognise([tmp_path], ["pairs"]), tmp_path / "sheet.png", side_px=32)
    sheet = cv2.imread(str(path))
    assert sheet is not None
    assert (sheet[6:38, 6:38] == red).all() and (sheet[6:38, 44:76] == blue).all()


def test_an_unreadable_picture_is_a_cross(tmp_path):
    save(tmp_path / "A" / "1.png", np.zeros((32, 32, 3), np.uint8))
    path = save(tmp_path / "B" / "1.png", np.zeros((32, 32, 3), np.uint8))
    layout = recognise([tmp_path], ["pairs"])
    path.write_bytes(b"")
    sheet = cv2.imread(str(contact_sheet(layout, tmp_path / "sheet.png", side_px=32)))
    assert sheet is not None
    reddish = (sheet[..., 2].astype(int) - sheet[..., 0]) > 100
    assert reddish.any() and not reddish[:, :44].any()


def test_the_sheet_is_whole_or_not_there(tmp_path):
    layout = a_layout(tmp_path / "data", "pairs")
    with pytest.raises(OutputError, match="folder does not exist"):
        contact_sheet(layout, tmp_path / "gone" / "sheet.png")
    contact_sheet(layout, tmp_path / "sheet.png")
    with pytest.raises(OutputError, match="exists"):
        contact_sheet(layout, tmp_path / "sheet.png", overwrite=False)


def test_numbers_are_painted_in_colours_of_their_own():
    colors = painted(np.arange(256)[None])[0]
    assert not colors[255].any() and len(np.unique(colors[:255], axis=0)) == 255
    apart = np.abs(colors[:40, None].astype(int) - colors[None, :40]).sum(axis=2)
    assert apart[~np.eye(40, dtype=bool)].min() > 20
    assert painted(np.array([[70000]], np.int32)).shape == (1, 1, 3)


def test_paths_of_a_sample_may_lack_the_instances():
    assert Sample("x", (Path("a"), None, Path("b"))).files == (Path("a"), Path("b"))
