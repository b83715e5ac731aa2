"""The pool of earlier pictures: its odds, and that it goes on exactly."""

import pytest
import torch

from gantool.pool import ImagePool


def numbered(start, count):
    """Pictures that carry their number."""
    return torch.arange(start, start + count).float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()


def test_fills_first_and_gives_new_pictures_back_meanwhile():
    pool = ImagePool(50)
    assert torch.equal(pool.query(numbered(0, 30)), numbered(0, 30))
    assert torch.equal(pool.query(numbered(30, 20)), numbered(30, 20))
    assert len(pool) == 50


def test_half_of_the_answers_are_old_and_every_picture_comes_back_at_most_once():
    pool = ImagePool(50, seed=1)
    pool.query(numbered(0, 50))
    given = [int(pool.query(numbered(n, 1))[0, 0, 0, 0]) for n in range(50, 2050)]
    old = sum(g != n for g, n in zip(given, range(50, 2050), strict=True))
    assert 900 < old < 1100
    assert len(set(given)) == len(given)  # an answer leaves the pool, or never entered it
    assert len(pool) == 50


def test_size_zero_gives_everything_back_detached():
    x = numbered(0, 3).requires_grad_()
    y = ImagePool(0).query(x)
    assert torch.equal(y, x) and not y.requires_grad
    assert not ImagePool(5).query(x).requires_grad


def test_answers_do_not_depend_on_batches_nor_on_other_random_numbers():
    one, many = ImagePool(8, seed=3), ImagePool(8, seed=3)
    singles = []
    for n in range(60):
        torch.manual_seed(n)
        torch.rand(n)
        singles.append(one.query(numbered(n, 1)))
    batches = [many.query(numbered(n, 4)) for n in range(0, 60, 4)]
    assert torch.equal(torch.cat(singles), torch.cat(batches))
    other = ImagePool(8, seed=4)
    assert not torch.equal(
        torch.cat([other.query(numbered(n, 4)) for n in range(0, 60, 4)]), torch.cat(batches)
    )


def test_it_does_not_touch_the_global_random_state():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    pool = ImagePool(2)
    pool.query(numbered(0, 20))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("done", [3, 40])  # while it fills, and long after
def test_saved_and_loaded_it_goes_on_exactly(tmp_path, done):
    unbroken, first = ImagePool(10, seed=7), ImagePool(10, seed=7)
    for n in range(done):
        unbroken.query(numbered(n, 1))
        first.query(numbered(n, 1))
    torch.save(first.state_dict(), tmp_path / "pool.pt")
    for n in range(done, done + 5):  # what was saved must not change afterwards
        first.query(numbered(n, 1))
    resumed = ImagePool(10, seed=99)
    resumed.load_state_dict(torch.load(tmp_path / "pool.pt", weights_only=True))
    for n in range(done, done + 60, 3):
        assert torch.equal(resumed.query(numbered(n, 3)), unbroken.query(numbered(n, 3)))


def test_kept_pictures_are_copies():
    pool = ImagePool(1)
    x = numbered(5, 1)
    pool.query(x)
    x.zero_()
    assert pool.state_dict()["pictures"][0].eq(5).all()


def test_refusals():
    pool = ImagePool(2)
    pool.query(numbered(0, 2))
    with pytest.raises(ValueError, match="shape"):
        pool.query(torch.zeros(1, 1, 3, 2))
    with pytest.raises(ValueError, match="pool of 1"):
        ImagePool(1).load_state_dict(pool.state_dict())
    with pytest.raises(ValueError, match="-1"):
        ImagePool(-1)
