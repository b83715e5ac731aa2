"""Training data: what a step sees depends on files, seed and step alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from gantool.data import (
    Steps,
    Together,
    augment,
    batches,
    data_hash,
    find_photos,
    photos,
    read_rgb,
    split,
    step_rng,
    told,
)
from gantool.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "in ner").mkdir()
    for number in range(7):
        image = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
        place = tmp_path / "in ner" if number % 2 else tmp_path
        cv2.imwrite(str(place / f"{number}.png"), image)
    (tmp_path / "notes.txt").write_text("not a photo")
    (tmp_path / ".hidden.png").write_bytes(b"")
    return tmp_path


def crop(item, rng):
    (image,) = item
    top = int(rng.integers(image.shape[0] - 8))
    return (image[top : top + 8, :8].astype(np.float32).transpose(2, 0, 1),)


def steps(folder, seed=0, batch=3, **values):
    return Steps(photos(find_photos([folder]), lambda image: (image,)), crop, batch, seed, **values)


def test_finds_photos_sorted_and_only_those(folder):
    found = find_photos([folder])
    assert len(found) == 7 and found == sorted(found)
    assert data_hash(found) == data_hash(find_photos([folder]))
    with pytest.raises(InputError, match="no such"):
        find_photos([folder / "missing"])
    (folder / "empty").mkdir()
    for roots in ([folder / "empty"], [folder, folder / "empty"]):
        with pytest.raises(InputError, match="no photographs found") as caught:
            find_photos(roots)
        assert caught.value.file == str(folder / "empty")


def test_a_link_to_nothing_counts_as_a_file_that_cannot_be_read(folder):
    before = data_hash(find_photos([folder]))
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    found = find_photos([folder])
    assert len(found) == 8 and data_hash(found) != before
    (folder / "gone.jpg").unlink()


def test_a_step_is_the_same_whenever_it_is_asked_for(folder):
    forward = [steps(folder)[i][0] for i in range(5)]
    again = steps(folder)
    for i in (4, 0, 3):
        assert np.array_equal(again[i][0], forward[i])
    assert not np.array_equal(steps(folder, seed=1)[0][0], forward[0])
    late = [b[0].numpy() for b in batches(again, 2, 5)]
    assert all(np.array_equal(a, b) for a, b in zip(late, forward[2:], strict=True))


def test_an_epoch_shows_every_photo_once(folder):
    dataset = steps(folder, batch=7)
    for epoch in range(3):
        assert sorted(dataset._index(epoch * 7 + i) for i in range(7)) == list(range(7))


def test_bad_photos_are_skipped_and_counted(folder):
    (folder / "bad.png").write_bytes(b"not a picture")
    whole = cv2.imencode(".jpg", np.full((64, 64, 3), 90, np.uint8))[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    dataset = steps(folder, batch=9)
    assert dataset[0][0].shape == (9, 3, 8, 8)
    assert {p.name for p in dataset.items.bad} == {"bad.png", "cut.jpg"}


def test_only_bad_photos_is_an_error(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"hardly any .* smaller than the crop .* --check"):
        steps(tmp_path)[0]


def test_cache_stops_at_its_limit(folder):
    items = photos(find_photos([folder]), lambda image: (image,))
    items.cache_bytes = 2 * 40 * 50 * 3
    for index in range(7):
        assert items[index] is not None
    assert len(items._cache) == 2


def test_shares_of_processes_make_up_the_batch(folder):
    whole = steps(folder, batch=4)
    parts = [steps(folder, batch=4, share=(rank, 2)) for rank in range(2)]
    for step in (0, 5):
        assert np.array_equal(np.concatenate([p[step][0] for p in parts]), whole[step][0])


def test_sources_side_by_side_have_orders_of_their_own(folder):
    a, b = steps(folder), steps(folder, lane=1)
    together = Together(a, b)[2]
    assert np.array_equal(together[0], a[2][0]) and np.array_equal(together[1], b[2][0])
    assert any(not np.array_equal(a[i][0], b[i][0]) for i in range(3))


def test_augment_moves_all_arrays_alike():
    a = np.arange(16).reshape(4, 4)
    for key in range(20):
        x, y = augment((a, a * 10), step_rng(0, key))
        assert np.array_equal(x * 10, y)
        assert sorted(x.ravel()) == list(range(16))


def test_exif_turn_is_applied(tmp_path):
    from PIL import Image

    image = Image.new("RGB", (20, 10))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    turned = read_rgb(tmp_path / "turned.jpg")
    assert turned is not None and turned.shape[:2] == (20, 10)


def test_split_never_takes_more_than_a_tenth():
    paths = [Path(f"{i}.png") for i in range(30)]
    held, rest = split(paths, 16, 0)
    assert len(held) == 3 and sorted(held + rest) == sorted(paths)
    assert split(paths, 16, 0) == (held, rest)


def test_one_is_singular():
    assert told(1, "photograph", 0, 1) == "1 photograph to train on, 0 kept out; 1 step"
    assert told(2, "photograph", 1, 10) == "2 photographs to train on, 1 kept out; 10 steps"
