import numpy as np
import pytest

from hamlearn.errors import ConfigError
from hamlearn.regression.folds import fold_indices, random_folds, random_order, rows_of


def test_contiguous_folds():
    assert [fold.tolist() for fold in fold_indices(7, 3)] == [[0, 1, 2], [3, 4], [5, 6]]
    for k in (1, 61):
        with pytest.raises(ConfigError, match=f"divided into {k} folds"):
            fold_indices(60, k)


def test_random_folds():
    """Dealt at random, always the same, sizes differing by one at most."""
    dealt = random_folds(50, 4)
    assert sorted(np.concatenate(dealt)) == list(range(50))
    assert {len(fold) for fold in dealt} == {12, 13}
    for fold, again in zip(dealt, random_folds(50, 4), strict=True):
        assert fold.tolist() == sorted(fold) == again.tolist() != list(range(fold[0], fold[0] + len(fold)))
    assert sorted(random_order(50)) == list(range(50))
    assert random_order(50).tolist() == random_order(50).tolist() != list(range(50))


def test_rows_of_structures():
    assert rows_of(np.array([4, 0, 0, 2, 4, 2]), np.array([2, 4])).tolist() == [0, 3, 4, 5]
    assert rows_of(np.array([4, 0]), np.array([], dtype=int)).tolist() == []
