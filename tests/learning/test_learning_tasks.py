import numpy as np
import pytest
from ase import Atoms

from hamlearn.config import PropertyTarget, SaphTarget
from hamlearn.learning.groups import Answers
from hamlearn.learning.tasks import MatrixTask, PropertyTask
from hamlearn.targets.labels import Labels
from hamlearn.testing.exact_problems import MatrixProblem, PropertyProblem
from hamlearn.testing.task_contract import STRUCTURES, TaskContract


class TestMatrixTask(TaskContract):
    problem = MatrixProblem()


class TwoMatrices(MatrixProblem):
    """The kinetic energy in one channel, half the whole matrix in the other."""

    def labels(self, structures):
        wholes = super().labels(structures)
        kinetic = [self._mole(atoms).intor("int1e_kin") for atoms in structures]
        return [np.stack(both) for both in zip(kinetic, [0.5 * whole for whole in wholes], strict=True)]

    def permuted(self, label, atoms, order):
        return np.stack([super(TwoMatrices, self).permuted(matrix, atoms, order) for matrix in label])


class TestTaskOfTwoMatrices(TaskContract):
    problem = TwoMatrices()

    def test_folders_without_channels_have_one(self):
        """As they were written before there were several."""
        task, _ = MatrixProblem().encode(STRUCTURES)
        state = task.state()
        for entry in state["groups"]:
            assert set(entry.pop("channels")) == {0}
        assert MatrixTask.from_state(SaphTarget(), state) == task


class TestScalarTask(TaskContract):
    problem = PropertyProblem()


class TestTaskWithForces(TaskContract):
    problem = PropertyProblem(forces=True)


class TestVectorTask(TaskContract):
    problem = PropertyProblem(l=1)


class TestTensorTask(TaskContract):
    problem = PropertyProblem(l=2)


def test_a_variance_that_is_negative_by_rounding_is_no_error_bar():
    task = PropertyTask(PropertyTarget(key="energy"))
    task.encode([Atoms("He", [[0.0, 0.0, 0.0]])] * 2, Labels(np.array([[1.0], [2.0]])))
    answers = Answers(2)
    answers.add(task.group, np.zeros((2, 1)), [np.full((1, 1, 1), v) for v in (-1e-18, 4.0)])
    assert task.decode_stds(answers) == pytest.approx([0.0, 2.0 * task.scale], abs=0.0)
