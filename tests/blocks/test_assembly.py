"""The sparse map from values of blocks to one matrix against putting blocks together one after another."""

from dataclasses import replace

import numpy as np
import pytest

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import assemble_matrices, split_matrices
from hamlearn.blocks.assembly import Assembly
from hamlearn.learning import tasks
from hamlearn.learning.groups import Answers
from hamlearn.learning.tasks import MatrixTask, by_group

SHELLS = {1: ((1, 0), (2, 1)), 6: ((2, 0), (2, 1), (3, 2)), 8: ((2, 0), (3, 0), (2, 1))}
ORBITALS = Orbitals(SHELLS, {z: tuple(range(sum(2 * l + 1 for _, l in shells)))[::-1] for z, shells in SHELLS.items()})
MOLECULES = [np.array(z) for z in ([8, 1, 8, 1], [6, 1, 8], [1], [6, 6])]


def symmetric(numbers, channels=()):
    matrix = np.random.default_rng(len(numbers)).normal(size=(*channels, *[ORBITALS.n_ao(numbers)] * 2))
    return matrix + matrix.swapaxes(-1, -2)


@pytest.mark.parametrize("channels", [(), (2,)])
@pytest.mark.parametrize("numbers", MOLECULES, ids=str)
def test_it_is_the_inverse_of_splitting(numbers, channels):
    matrix = symmetric(numbers, channels)
    blocks = split_matrices([matrix], [numbers], ORBITALS)
    groups = list(by_group([key for key in blocks.values if len(blocks.samples[key.family])]).values())
    assembly = Assembly.of(numbers, groups, ORBITALS)
    values = [np.stack([blocks.values[key].ravel() for key in keys], axis=1).ravel() for keys in groups]
    np.testing.assert_allclose(assembly(np.concatenate(values)), matrix, rtol=0, atol=1e-13)


def test_blocks_that_are_absent_are_zero():
    """Of symmetries that data do not have, and of everything."""
    (numbers, *_) = MOLECULES
    blocks = split_matrices([symmetric(numbers)], [numbers], ORBITALS)
    some = [keys for group, keys in by_group(list(blocks.values)).items() if group.L != 1]
    values = np.concatenate([np.stack([blocks.values[k].ravel() for k in keys], axis=1).ravel() for keys in some])
    kept = replace(blocks, values={key: blocks.values[key] for keys in some for key in keys})
    (expected,) = assemble_matrices(kept, [numbers], ORBITALS)
    np.testing.assert_allclose(Assembly.of(numbers, some, ORBITALS)(values), expected, rtol=0, atol=1e-13)
    nothing = Assembly.of(numbers, [], ORBITALS)(np.zeros(0))
    np.testing.assert_array_equal(nothing, np.zeros_like(expected))


def test_a_molecule_alone_has_the_matrix_it_has_among_others(monkeypatch):
    """Whatever the order of the groups of answers, however many compositions came before, and after another fit."""
    monkeypatch.setattr(tasks, "MOST_ASSEMBLIES", 2)
    task, matrices = MatrixTask(ORBITALS), [symmetric(z) for z in MOLECULES]
    for some in ([0, 1, 2, 3], [1, 0], [0, 1, 2, 3]):
        data = task.encode([matrices[k] for k in some], [MOLECULES[k] for k in some])
        for position, k in [*enumerate(some), *enumerate(some)]:
            own = {g: rows[data.owner[g] == position] for g, rows in reversed(data.values.items())}
            for values in (own, dict(reversed(own.items()))):
                (found,) = task.matrices(Answers(1, values), [MOLECULES[k]])
                np.testing.assert_allclose(found, matrices[k], rtol=0, atol=1e-13)
    assert len(task._assemblies) == 2
    several = task.matrices(Answers(4, data.values), MOLECULES)
    for found, expected in zip(several, matrices, strict=True):
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)
