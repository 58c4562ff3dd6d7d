"""The stages of a run that learns a property from labels in the structures file, one method each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hamlearn.artifacts import save_arrays
from hamlearn.config import ModelSettings, PropertyTarget
from hamlearn.types import IntArray
from hamlearn.workflow.prediction_files import Predicted, write_properties
from hamlearn.workflow.run_folder import RunFolder

if TYPE_CHECKING:
    from hamlearn.model.property import PropertyModel
    from hamlearn.observables.properties import PropertyPrediction

N_EQUIVARIANCE = 10


class PropertyRun(RunFolder["PropertyModel"]):
    """A run that learns a property: model, errors."""

    TIMED = ("fit", "predict")
    OF_PAIRS = False

    @property
    def stages(self) -> dict[str, Callable[[], None]]:
        """What is done, by name, in the order it is done."""
        return {"fit": self.fit, "evaluate": self.evaluate, "curve": self.curve}

    def check_input(self) -> None:
        """Read and check structures, labels and split before anything is written."""
        from hamlearn.learning.tasks import sum_group
        from hamlearn.targets.labels import read_labels

        train = [self.structures[k] for k in self.train]
        read_labels(train, self.target, self.split[0])
        self.references = read_labels(self.tested, self.target, self.split[1])
        group = sum_group(np.concatenate([atoms.numbers for atoms in train]), self.target)
        self._check_learner({group: 1}, held_out=False)

    @property
    def target(self) -> PropertyTarget:
        """Which property is learned."""
        assert isinstance(self.config.target, PropertyTarget)
        return self.config.target

    def evaluate(self) -> None:
        """Predict the test set and measure the errors."""
        from hamlearn.observables.properties import property_metrics

        written = [(self.out / name).exists() for name in ("evaluation.json", "test_properties.npz")]
        if not len(self.test) or all(written):
            return
        with self._timed("predict"):
            predictions = self.model.predict_all(self.tested, self.job)
        target = self.target
        predicted = Predicted(self.tested, predictions, self.out / "model", self.used[self.test].tolist())
        write_properties(self.out / "predictions", predicted, self.model, self.references)
        self._write_references(predictions)
        measured = {
            **property_metrics(predictions, self.references, target),
            "equivariance_error": self.model.equivariance_error(self.tested[:N_EQUIVARIANCE]),
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
            "reference": in_own_shape(self.references.values, self.target.l),
            "predicted": np.stack([p.value for p in predictions]),
            "std": [np.nan if p.std is None else p.std for p in predictions],
        }
        if self.references.forces is not None:
            arrays["reference_forces"] = self.references.forces
            arrays["predicted_forces"] = np.concatenate([p.forces for p in predictions if p.forces is not None])
        save_arrays(self.out / "test_properties.npz", arrays)

    def _fit(self, members: IntArray, settings: ModelSettings, label: str) -> PropertyModel:
        from hamlearn.model.property import PropertyModel

        structures = [self.structures[k] for k in members]
        return PropertyModel(self.target, settings).fit(structures, job=self.job.called(label))

    def _errors(self, model: PropertyModel) -> dict[str, Any]:
        from hamlearn.observables.properties import property_metrics

        predictions = model.predict(self.tested, forces=model.has_forces, job=self.job)
        return property_metrics(predictions, self.references, self.target)
