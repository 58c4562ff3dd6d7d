"""A learned Hamiltonian: geometry in, matrix and everything that follows from it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hamlearn.angular.ao_order import Orbitals
from hamlearn.blocks import assemble_matrices, split_matrices
from hamlearn.config import FeatureSettings, ModelSettings, QMSettings, TargetSettings
from hamlearn.errors import ConfigError
from hamlearn.models import BlockModel
from hamlearn.models.saved import describe_training
from hamlearn.observables import Prediction
from hamlearn.parallel import open_executor
from hamlearn.structures import check_structures
from hamlearn.targets import Target, n_occupied, needs_calculation, predict_side
from hamlearn.units import BOHR_ANGSTROM

if TYPE_CHECKING:
    from ase import Atoms

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Side = tuple[FloatArray | None, FloatArray | None]
"""Metric and baseline of a molecule, None where the target has none."""


@dataclass
class HamiltonianModel:
    """Learns the Hamiltonian of molecules from their geometries, block by block, with exact symmetry.

    Args:
        qm: how the matrices were computed; needed for what a prediction computes analytically (overlap, guess).
        target: which matrix is learned.
        features: neighbour densities and features.
        model: regression.

    Attributes:
        block_model_: the fitted regressors.
        orbitals_: shells and order of every species.
        training_: size, formulas and hash of the training set.

    Predictions obey H(R A) = T H(A) T^T for R in O(3), T block-diagonal in Wigner matrices, follow permutations of
    the atoms and do not change under translations.
    """

    qm: QMSettings = field(default_factory=QMSettings)
    target: TargetSettings = field(default_factory=TargetSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    model: ModelSettings = field(default_factory=ModelSettings)
    block_model_: BlockModel = field(init=False)
    orbitals_: Orbitals = field(init=False)
    training_: dict[str, object] = field(init=False, default_factory=dict)

    def fit(
        self,
        structures: Sequence[Atoms],
        targets: Sequence[Target],
        echo: Callable[[str], object] | None = None,
        label: str = "fit",
    ) -> HamiltonianModel:
        """Fit on matrices of known molecules.

        Args:
            structures: geometries, Å.
            targets: the matrix of each, from :func:`hamlearn.targets.build_target`.
            echo: receives lines about the progress; None for silence.
            label: begins these lines.

        Raises:
            ConfigError: if there are no structures, or not one target for each, made for it by the same settings.
            StructureError: if a geometry is not acceptable.
        """
        if not structures or len(structures) != len(targets):
            raise ConfigError(f"fit got {len(structures)} structures and {len(targets)} targets; give one target each")
        check_structures(structures, source="the training set")
        _check_targets(structures, targets, self.target)
        self.orbitals_ = Orbitals.merge(target.orbitals for target in targets)
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        blocks = split_matrices([target.matrix for target in targets], numbers, self.orbitals_)
        self.block_model_ = BlockModel(self.features, self.model).fit(structures, blocks, echo, label)
        self.training_ = describe_training(structures, [target.matrix for target in targets])
        return self

    def predict(
        self, structures: Sequence[Atoms], executor: str = "serial", sides: Sequence[Side] | None = None
    ) -> list[Prediction]:
        """Predict the Hamiltonian of new molecules.

        Args:
            structures: geometries, Å.
            executor: where overlaps and guess matrices are computed, if the target needs them; see
                :func:`hamlearn.parallel.open_executor`.
            sides: metric and baseline of every molecule, where they are known already.

        Raises:
            StructureError: if a geometry is not acceptable.
            DomainError: for elements or pairs of elements that were not in the training set.
        """
        check_structures(structures, source="the structures to predict")
        blocks = self.block_model_.predict(structures)
        numbers = [np.asarray(atoms.numbers, dtype=np.int64) for atoms in structures]
        matrices = assemble_matrices(blocks, numbers, self.orbitals_)
        sides = sides or self._sides(numbers, [atoms.positions / BOHR_ANGSTROM for atoms in structures], executor)
        out = []
        for z, matrix, (metric, baseline) in zip(numbers, matrices, sides, strict=True):
            full = matrix if baseline is None else matrix + baseline
            out.append(Prediction(z, full, metric, n_occupied(z, self.target), self.orbitals_))
        return out

    def _sides(self, numbers: list[IntArray], positions_bohr: list[FloatArray], executor: str) -> list[Side]:
        """Return the metric and the baseline of every molecule, as far as the target has them."""
        if not needs_calculation(self.target):
            return [(None, None)] * len(numbers)
        side = partial(predict_side, qm=self.qm, target=self.target)
        with open_executor(executor) as pool:
            return list(pool.map(side, numbers, positions_bohr, chunksize=8))

    def save(self, folder: str | Path) -> None:
        """Write the model to a new folder: model.yaml, tensors.safetensors, MODEL_CARD.md.

        Raises:
            ArtifactError: if the folder exists and is not empty; nothing is overwritten.
        """
        from hamlearn.hamiltonian_model.folder import save_model

        save_model(self, Path(folder))


def _check_targets(structures: Sequence[Atoms], targets: Sequence[Target], settings: TargetSettings) -> None:
    """Raise ConfigError unless every target belongs to its structure and to the settings."""
    has_metric = settings.kind == "fock" or (settings.kind == "saph" and settings.form == "nonorthogonal")
    has_baseline = settings.delta != "none"
    for index, (atoms, target) in enumerate(zip(structures, targets, strict=True)):
        if not np.array_equal(atoms.numbers, target.numbers):
            raise ConfigError(
                f"target {index} is of atoms {target.numbers.tolist()}, structure {index} of {atoms.numbers.tolist()}; "
                "give both in the same order"
            )
        if (target.metric is not None, target.baseline is not None) != (has_metric, has_baseline):
            raise ConfigError(
                f"target {index} was not built with the settings of the model (kind {settings.kind}, "
                f"delta {settings.delta}, form {settings.form}); build it with model.target"
            )
