import numpy as np

from hamlearn.learning.tasks import MatrixTask
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
        assert MatrixTask.from_state(state) == task


class TestScalarTask(TaskContract):
    problem = PropertyProblem()


class TestTaskWithForces(TaskContract):
    problem = PropertyProblem(forces=True)


class TestVectorTask(TaskContract):
    problem = PropertyProblem(l=1)


class TestTensorTask(TaskContract):
    problem = PropertyProblem(l=2)
