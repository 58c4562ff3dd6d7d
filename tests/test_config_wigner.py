"""What the section of kernels of matrices says in words."""

import pytest

from hamlearn.config import WignerSettings
from hamlearn.config.wigner import kernels_in_words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "atoms (P(k_i), up to order 4) and of pairs (t(R) P(k_i + k_j), up to order 3), env"),
        ({"mixture_i": (1.0, 1.0, 0.0)}, "P(k_i + k_j), up to order 1), env"),
        ({"form": "product", "mixture_j": (0.0, 2.0)}, "(t(R) P(k_i) P(k_j), up to order 3 and 1), env"),
        (
            {"form": "one_sided", "message_passing": True},
            "P(k_i) / 2 + P(k_j) / 2, up to order 3), atoms with messages,",
        ),
        ({"max_nu_pair": 0}, "and of bonds alone (t(R)), env"),
        (
            {"rate": 0.0},
            "the same kernel for all like atoms and of bonds alone (t(R)), environments of 4.5 Å, pairs up to 8",
        ),
    ],
)
def test_kernels_in_words_name_the_orders_that_have_a_weight(settings, words):
    assert words in kernels_in_words(WignerSettings(**settings).model_dump())
