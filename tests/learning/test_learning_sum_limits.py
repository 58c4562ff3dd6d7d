"""What fits of sums need."""

import pytest

from hamlearn.config import KernelRidgeSettings, KernelSettings
from hamlearn.errors import ConfigError
from hamlearn.learning.sum_fits import check_basis
from hamlearn.testing.exact_problems import small_molecules

STRUCTURES = small_molecules(6)  # 3 waters, 3 peroxides: 12 H, 9 O
KERNEL = KernelSettings(max_nu=3)


@pytest.mark.parametrize(
    ("settings", "forces", "kind"),
    [
        ({}, False, "full"),
        ({}, True, "sparse"),
        ({"active": 5}, False, "sparse"),
        ({"basis": "sparse"}, False, "sparse"),
        ({"basis": "derivatives"}, True, "derivatives"),
        ({"basis": "full"}, False, "full"),
    ],
)
def test_bases(settings, forces, kind):
    assert KernelRidgeSettings(kernel=KERNEL, **settings).basis_of_sums(forces) == kind


@pytest.mark.parametrize(
    ("kind", "width", "active", "matrices", "size"),
    [
        ("full", 1, None, 4 + 4, 6),
        ("full", 5, None, 4 + 4, 30),
        ("sparse", 3, 10, 8 + 3, 3 * 19),
        ("sparse", 1, None, 8 + 3, 21),
        ("sparse", 1, {"O": 4}, 8 + 3, 12 + 4),
        ("derivatives", 1, None, 4, 6 + 3 * 21),
    ],
)
def test_memory_is_that_of_the_matrices(kind, width, active, matrices, size):
    needed = 8e-9 * matrices * size**2
    enough, little = (
        KernelRidgeSettings(kernel=KERNEL, active=active, memory_gb=factor * needed) for factor in (1.01, 0.99)
    )
    check_basis(enough, STRUCTURES, width, kind)
    with pytest.raises(ConfigError, match=rf"model.basis {kind} of 6 structures \({size} .*\) needs .* GB"):
        check_basis(little, STRUCTURES, width, kind)
