"""One model for every target: a task that says what is learned, and a learner that learns it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from hamlearn.config import ModelSettings, QMSettings, Section, TargetSettings, installed_versions
from hamlearn.display import Shown, Words, html_table
from hamlearn.errors import ConfigError, check_type
from hamlearn.job import SILENT, Job, check_job
from hamlearn.learning.protocols import FoundByFit, Learner
from hamlearn.learning.registry import learner_class
from hamlearn.learning.tasks import MatrixTask, PropertyTask
from hamlearn.model.folder import FORMAT_VERSION, write_model_folder
from hamlearn.structures import Structures, as_structures, check_structures, permute, random_rotation, rotate
from hamlearn.structures.transforms import shuffle_like_atoms
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor


LEARNER = (
    ModelSettings,
    "settings of a learner: ModelSettings(kind='ridge', features=...) or ModelSettings(kind='kernel', kernel=...)",
)


class Model(FoundByFit, Shown, ABC):
    """What :class:`HamiltonianModel` and :class:`PropertyModel` share: parameters, state, manners.

    Constructor parameters are stored as they are and never changed; what a fit finds ends in an underscore.

    Attributes:
        task_: what is learned as rows, and how answers become predictions.
        learner_: the fitted learner.
        training_: size, formulas and hash of the training set.
    """

    KIND: ClassVar[str]
    PARAMETERS: ClassVar[dict[str, tuple[type[Section], str]]]
    """The constructor's parameters in order: sections of a workflow file, and what to give, in words."""
    TASK: ClassVar[type[MatrixTask] | type[PropertyTask]]

    qm: QMSettings = QMSettings()  # no calculations for properties
    target: TargetSettings
    model: ModelSettings
    task_: MatrixTask | PropertyTask
    learner_: Learner
    training_: dict[str, Any]

    def _check_parameters(self) -> None:
        """Raise ConfigError unless all parameters are such sections, and the learner can learn the target."""
        for name, (section, expected) in self.PARAMETERS.items():
            check_type(getattr(self, name), section, name, expected, ConfigError)
        self.model.check_target(self.target)

    def _given(
        self, structures: Structures, job: Job = SILENT, source: str = "the structures to predict"
    ) -> list[Atoms]:
        """Return structures as a list; StructureError for what the target does not have."""
        check_job(job)
        structures = as_structures(structures)
        check_structures(structures, source, closed_shell=not self.target.is_property, qm=self.qm)
        return structures

    @property
    def has_error_bars(self) -> bool:
        """Whether predictions have standard deviations: if asked for; those of properties unless told not to."""
        asked = self.model.error_bars
        if asked is None:
            return self.target.is_property and learner_class(self.model).HAS_ERROR_BARS
        return asked

    @property
    def is_fitted(self) -> bool:
        """Whether there was a fit."""
        return hasattr(self, "learner_")

    @property
    def elements_(self) -> list[int]:
        """Elements of the training set, ascending."""
        return self.learner_.domain_.elements

    def save(self, folder: str | Path) -> None:
        """Write the model to a new folder: model.yaml, tensors.safetensors, MODEL_CARD.md.

        Raises:
            ConfigError: before a fit.
            ArtifactError: if the folder exists and is not empty; nothing is overwritten.
        """
        learned, tensors = self.learner_.state()
        beside, more = self._own_state()
        check_type(folder, (str, os.PathLike), "folder", "the path of a new folder")
        spec = {
            "kind": self.KIND,
            "format_version": FORMAT_VERSION,
            **{name: section.model_dump(mode="json") for name, section in self.get_params().items()},
            "training": self.training_,
            "versions": installed_versions(),
            "in_words": self.learner_.in_words(),
            "elements": self.elements_,
            "task": self.task_.state(),
            "learner": learned,
            **beside,
        }
        write_model_folder(Path(folder), spec, tensors | more, self.learner_.max_l)

    @classmethod
    def from_state(cls, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """Return the model that a folder describes."""
        out = cls(**{name: section(**spec[name]) for name, (section, _) in cls.PARAMETERS.items()})
        out.training_ = dict(spec["training"])
        out.task_ = cls.TASK.from_state(out.target, spec["task"])
        restore = learner_class(out.model).from_state
        out.learner_ = restore(out.model, out.task_.n_targets, spec["learner"], tensors)
        out._restore_own(spec, tensors)
        return out

    def _own_state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what a class of models found beside task and learner: plain values, and tensors by name."""
        return {}, {}

    def _restore_own(self, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`_own_state` returned; absent from older folders."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in self.PARAMETERS}

    def set_params(self, **parameters: Any) -> Self:
        """Replace some of the constructor's parameters and forget the fit, which was made with others.

        Raises:
            ConfigError: for a name that is none, or what does not go together; then all is left as it was.
        """
        unknown = sorted(set(parameters) - set(self.PARAMETERS))
        if unknown:
            raise ConfigError(
                f"{type(self).__name__} has no parameter {unknown[0]}; it has {', '.join(self.PARAMETERS)}"
            )
        if parameters:
            fresh = type(self)(**{**self.get_params(), **parameters})  # refuses what does not go together
            vars(self).clear()
            vars(self).update(vars(fresh))
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return self.is_fitted

    def __sklearn_tags__(self) -> Any:
        """Say what this is to scikit-learn: a regressor of structures, whose targets may be in them."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=False),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(two_d_array=False),
        )

    def shown(self) -> dict[str, object]:
        """Return the parameters, and what was fitted."""
        fit = f"{self.training_['n_structures']} structures" if self.is_fitted else "none"
        return {**self.get_params(), "fit": Words(fit)}

    def _repr_html_(self) -> str:
        """Return the same as a small table, with the learner in words."""
        rows = [(name, value) for name, value in self.shown().items()]
        rows += [("", line) for line in self.learner_.in_words()] if self.is_fitted else []
        return html_table(type(self).__name__, rows)

    def equivariance_error(self, structures: Structures, seed: int = 0) -> float:
        """Return how far predictions are from following rotations, inversion and permutations, at most.

        Every structure is turned by its own random improper rotation R, and like atoms are shuffled by P.

        Args:
            structures: geometries inside the domain.
            seed: of rotations and permutations.

        Returns:
            The largest |H(R P A) - P T H(A) T^T P^T|, Hartree; of properties and forces |y(R P A) - s R y(A)|,
            s = sigma, in units of the spread of the training set (per Å).
        """
        structures, rng = as_structures(structures), np.random.default_rng(seed)
        rotations = [random_rotation(rng, improper=True) for _ in structures]
        orders = [shuffle_like_atoms(atoms.numbers, rng) for atoms in structures]
        moves = zip(structures, orders, rotations, strict=True)
        moved = [rotate(permute(atoms, order), rotation) for atoms, order, rotation in moves]
        both = (self.predict_all(some, error_bars=False) for some in (structures, moved))
        return max(map(self._deviation, *both, orders, rotations))

    @abstractmethod
    def predict_all(self, structures: Structures, job: Job = SILENT, error_bars: bool = True) -> list[Any]:
        """Predict all that was learned, of as many molecules as there are, with error bars and flags if there are."""

    @abstractmethod
    def _deviation(self, before: Any, after: Any, order: IntArray, rotation: FloatArray) -> float:
        """Return how far a prediction, after atoms were reordered [atom] and turned by R [3, 3], is from the moved."""
