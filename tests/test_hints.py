"""Files of colour hints: JSON, CSV, px, shares, and what is wrong with them."""

from __future__ import annotations

import json

import pytest

from gantool.errors import ExitCode, InputError
from gantool.hints import Hint, read_hints


def written(tmp_path, text):
    path = tmp_path / "hints.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        '[{"x": 3, "y": 2, "color": "#ff8000", "radius": 4}, {"x": 0, "y": 7, "colour": "00ff00"}]',
        '{"hints": [[3, 2, "#ff8000", 4], [0, 7, "#00FF00"]]}',
        "x,y,color,radius\n3,2,#ff8000,4\n0,7,#00ff00,\n",
        "# mine\n3; 2; #ff8000; 4\n0; 7; #00ff00\n",
        "x,y,color,radius,\n3,2,#ff8000,4,\n0,7,#00ff00,,\n",
        "\ufeff3\t2\tff8000\t4\n\n0\t7\t#00ff00\n",
        "y,x,color\n".replace("y,x", "X,Y") + "3,2,#ff8000\n0,7,#00ff00\n",
    ],
)
def test_forms_of_the_same(tmp_path, text):
    first, second = read_hints(written(tmp_path, text))
    assert (first.x, first.y, first.radius) in ((3, 2, 4), (3, 2, None))
    assert first.rgb == pytest.approx((1, 128 / 255, 0))
    assert second == Hint(0, 7, (0, 1, 0))
    assert second.at(10, 8) == (0.5, 7.5, None)


def test_shares_of_the_picture(tmp_path):
    (hint,) = read_hints(
        written(tmp_path, json.dumps([{"x": 0.25, "y": 1, "color": "#000000", "radius": 0.1}]))
    )
    assert hint.fractions
    assert hint.at(200, 100) == (50, 100, 10)


def test_one_number_above_one_makes_all_px(tmp_path):
    assert not any(hint.fractions for hint in read_hints(written(tmp_path, "0,0,#000000\n1,2,#000000")))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "no hints"),
        ("x,y,color\n", "no hints"),
        ("[]", "no hints"),
        ('{"points": []}', "no list"),
        ("[{", "not valid JSON"),
        ("[3]", "hint 1 is not"),
        ("1,2,#ff0000\n1,2,red", "hint 2 has no colour"),
        ("1,two,#ff0000", "hint 1 has no y"),
        ("1,-2,#ff0000", "hint 1 has no y"),
        ("nan,2,#ff0000", "hint 1 has no x"),
        ('[{"x": true, "y": 2, "color": "#ff0000"}]', "hint 1 has no x"),
        ("1,2,#ff0000,wide", "hint 1 has no radius"),
        ("1,2,#ff0000,3,4", "hint 1 says more than"),
        ("x,y,color,raduis\n1,2,#ff0000,3", "hint 1 has an unknown field 'raduis'"),
        ("x,y,color\n1,2,#ff0000,3", "hint 1 has an unknown field 'column 4'"),
        ('[{"x": 1, "y": 2, "color": "#ff0000", "size": 3}]', "hint 1 has an unknown field 'size'"),
        ('[{"x": 1%s, "y": 2, "color": "#ff0000"}]' % ("0" * 400), "hint 1 has no x"),
        ("x,y,color\n1%s,2,#ff0000" % ("0" * 200_000), "not valid CSV"),
    ],
)
def test_what_is_wrong(tmp_path, text, what):
    path = written(tmp_path, text)
    with pytest.raises(InputError, match=what) as caught:
        read_hints(path)
    assert caught.value.code == ExitCode.INPUT and str(path) in str(caught.value)


def test_missing_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="cannot read"):
        read_hints(tmp_path / "gone.csv")
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(InputError, match="not text"):
        read_hints(tmp_path / "photo.png")


def test_outside_the_picture():
    with pytest.raises(InputError, match="10, 3 lies outside the picture of 10 x 8"):
        Hint(10, 3, (0, 0, 0)).at(10, 8)
