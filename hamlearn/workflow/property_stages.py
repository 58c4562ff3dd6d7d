"""The stages of a run that learns a property from labels in the structures file, one method each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.artifacts import save_arrays
from hamlearn.errors import ConfigError
from hamlearn.types import IntArray
from hamlearn.workflow.prediction import write_properties
from hamlearn.workflow.run_folder import RunFolder

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.model.property import PropertyModel
    from hamlearn.observables.properties import PropertyPrediction

N_EQUIVARIANCE = 10


class PropertyRun(RunFolder):
    """A run that learns a property: model, errors."""

    STAGES = ("fit", "evaluate", "curve")
    TIMED = ("fit", "predict")

    def check_input(self) -> None:
        """Read and check structures, labels and split before anything is written."""
        from hamlearn.learning.domain import neighbours_of
        from hamlearn.learning.property_domain import check_elements, check_neighbours, check_settings
        from hamlearn.targets.labels import read_labels

        c = self.config
        train = [self.structures[k] for k in self.train]
        check_settings(c.target, c.kernel, c.model, train)
        read_labels(train, c.target, self.split[0])
        self.references = read_labels(self.tested, c.target, self.split[1])
        check_elements(self.tested, _elements(train), self.split[1])
        check_neighbours(self.tested, neighbours_of(train, c.kernel.cutoff_angstrom), c.kernel, self.split[1])
        if c.split.curve and c.split.curve[0] < 2:
            raise ConfigError(f"split.curve starts at {c.split.curve[0]}; a kernel model needs 2 structures at least")

    def evaluate(self) -> None:
        """Predict the test set and measure the errors."""
        from hamlearn.model.property_equivariance import equivariance_error
        from hamlearn.observables.properties import property_metrics

        written = [(self.out / name).exists() for name in ("evaluation.json", "test_properties.npz")]
        if not len(self.test) or all(written):
            return
        with self._timed("predict"):
            predictions = self.model.predict(self.tested, forces=self.references.forces is not None, std=True)
        target = self.config.target
        write_properties(self.out / "predictions", self.tested, predictions, target)
        self._write_references(predictions)
        measured = {
            **property_metrics(predictions, self.references, target),
            "equivariance_error": equivariance_error(self.model, self.tested[:N_EQUIVARIANCE]),
            "hyperparameters": self.model.hyperparameters_,
        }
        self._write("evaluation", measured)

    def _write_references(self, predictions: Sequence[PropertyPrediction]) -> None:
        """Write what was known and what is predicted of the test set, for the report."""
        from hamlearn.targets.labels import in_own_shape

        arrays = {
            "kind": "test_properties",
            "format_version": 1,
            "structure": self.used[self.test],
            "reference": in_own_shape(self.references.values, self.config.target.l),
            "predicted": np.stack([p.value for p in predictions]),
            "std": [np.nan if p.std is None else p.std for p in predictions],
        }
        if self.references.forces is not None:
            arrays["reference_forces"] = self.references.forces
            arrays["predicted_forces"] = np.concatenate([p.forces for p in predictions if p.forces is not None])
        save_arrays(self.out / "test_properties.npz", arrays)

    def _fit(self, members: IntArray, label: str) -> PropertyModel:
        from hamlearn.model.property import PropertyModel

        c = self.config
        structures = [self.structures[k] for k in members]
        return PropertyModel(c.target, c.kernel, c.model).fit(structures, self.echo, label)

    def _load_model(self, folder: Path) -> PropertyModel:
        from hamlearn.model.property_folder import load_property_model

        return load_property_model(folder)

    def _errors(self, model: PropertyModel) -> dict[str, Any]:
        from hamlearn.observables.properties import property_metrics

        predictions = model.predict(self.tested, forces=self.references.forces is not None)
        return property_metrics(predictions, self.references, self.config.target)

    def _missing(self, members: Sequence[Atoms]) -> str:
        from hamlearn.angular.elements import symbol
        from hamlearn.learning.domain import neighbours_of

        lacking = sorted(_elements(self.tested) - _elements(members))
        if lacking:
            return f"element {', '.join(map(symbol, lacking))} not in the training set"
        kernel = self.config.kernel
        within = kernel.cutoff_angstrom
        unseen = sorted(neighbours_of(self.tested, within) - neighbours_of(members, within))
        if not unseen or kernel.element_likeness is not None:
            return ""
        return ", ".join(f"{symbol(a)} near {symbol(z)}" for z, a in unseen) + " not in the training set"

    def _write_card(self, results: Mapping[str, Any]) -> None:
        from hamlearn.model.property_folder import write_card

        write_card(self.out / "model", results)


def _elements(structures: Sequence[Atoms]) -> set[int]:
    return {int(z) for atoms in structures for z in atoms.numbers}
