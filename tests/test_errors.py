"""Suggestions of names."""

import pytest

from hamlearn.errors import nearest


@pytest.mark.parametrize(
    ("name", "valid", "suggestion"),
    [
        ("bezene", ["benzene", "water"], "; did you mean 'benzene'?"),
        ("PBE", ["pbe", "pbe0"], "; did you mean 'pbe'?"),
        ("pbe", ["pbe", "pbe0"], ""),  # the same is no suggestion
        ("xyz", ["abcdefgh"], ""),
        ("x", [], ""),
    ],
)
def test_the_nearest_other_name_is_suggested(name, valid, suggestion):
    assert nearest(name, valid) == suggestion
