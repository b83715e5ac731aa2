"""Recipe parameters: types, bounds, near matches, descriptions."""

from dataclasses import dataclass

import pytest

from gantool.errors import UsageError
from gantool.recipes import colorize, upscale
from gantool.settings import assignments, configure, describe, param


@dataclass
class Config:
    lr: float = param(0.1, "rate")
    deep: bool = param(False, "or not")
    name: str = param("a", "word")
    count: int = param(3, "number", low=1, high=9)


def test_settings_take_the_type_of_their_default():
    config = configure(Config, {"lr": "1e-3", "deep": "true", "count": "7"})
    assert (config.lr, config.deep, config.name, config.count) == (1e-3, True, "a", 7)
    with pytest.raises(UsageError, match="Did you mean count"):
        configure(Config, {"coutn": "1"})
    with pytest.raises(UsageError, match="takes a whole number"):
        configure(Config, {"count": "many"})
    with pytest.raises(UsageError, match="takes true or false"):
        configure(Config, {"deep": "perhaps"})
    with pytest.raises(UsageError, match="at least 1"):
        configure(Config, {"count": "0"})
    with pytest.raises(UsageError, match="at most 9"):
        configure(Config, {"count": "10"})
    for text in ("inf", "-inf", "nan", "1e999"):
        with pytest.raises(UsageError, match="lr takes a number, not"):
            configure(Config, {"lr": text})


@pytest.mark.parametrize("recipe", [colorize, upscale])
def test_every_parameter_is_described(recipe):
    rows = describe(recipe.Config)
    assert rows and all(name and meaning for name, _, meaning in rows)


def test_assignments_are_split_at_the_first_equals_sign():
    assert assignments(["a-b=1", "path=x=y", "empty="]) == {"a_b": "1", "path": "x=y", "empty": ""}


def test_two_values_of_one_parameter_contradict_each_other():
    assert assignments(["a=1", "a=1"]) == {"a": "1"}
    with pytest.raises(UsageError, match="a_b=1 and --set a_b=2 contradict"):
        assignments(["a-b=1", "a_b=2"])


@pytest.mark.parametrize("word", ["lr", "=3", " =3", ""])
def test_other_words_are_no_assignments(word):
    with pytest.raises(UsageError, match="not KEY=VALUE"):
        assignments([word])
