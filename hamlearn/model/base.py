"""One model for every target: a task that says what is learned, and a learner that learns it."""

from __future__ import annotations

import copy
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from hamlearn.config import ModelSettings, TargetSettings, installed_versions
from hamlearn.display import Shown, Words, html_table
from hamlearn.errors import ConfigError, check_type
from hamlearn.job import SILENT, Job
from hamlearn.learning.groups import Group
from hamlearn.learning.protocols import Learner
from hamlearn.learning.registry import learner_class
from hamlearn.model.card import model_card
from hamlearn.model.folder import FORMAT_VERSION, write_model_folder
from hamlearn.structures import Structures
from hamlearn.types import FloatArray, IntArray

if TYPE_CHECKING:
    from ase import Atoms
    from torch import Tensor

Move = tuple[IntArray, FloatArray]
"""Order of the atoms [atom], and R in O(3) [3, 3]."""


class Model(Shown, ABC):
    """What :class:`HamiltonianModel` and :class:`PropertyModel` share: parameters, state, manners.

    Constructor parameters are stored as they are and never changed; what a fit finds ends in an underscore.

    Attributes:
        learner_: the fitted learner.
        training_: size, formulas and hash of the training set.
    """

    KIND: ClassVar[str]
    PARAMETERS: ClassVar[tuple[str, ...]]
    """Names of the constructor's parameters, in order."""

    target: TargetSettings
    model: ModelSettings
    learner_: Learner
    training_: dict[str, Any]

    def _check_learner(self) -> None:
        """Raise ConfigError unless the settings of the learner are some, and can learn the target."""
        if not isinstance(self.model, ModelSettings):
            raise ConfigError(
                f"model is a {type(self.model).__name__}, expected settings of a learner: "
                "ModelSettings(kind='ridge', features=...) or ModelSettings(kind='kernel', kernel=...)"
            )
        self.model.check_target(self.target)

    @property
    def is_fitted(self) -> bool:
        """Whether there was a fit."""
        return hasattr(self, "learner_")

    def check_fitted(self) -> None:
        """Raise ConfigError before a fit."""
        if not self.is_fitted:
            raise ConfigError(f"this {type(self).__name__} was not fitted; call fit first, or load a saved model")

    @property
    def elements_(self) -> list[int]:
        """Elements of the training set, ascending."""
        self.check_fitted()
        return self.learner_.domain_.elements

    def save(self, folder: str | Path) -> None:
        """Write the model to a new folder: model.yaml, tensors.safetensors, MODEL_CARD.md.

        Raises:
            ConfigError: before a fit.
            ArtifactError: if the folder exists and is not empty; nothing is overwritten.
        """
        self.check_fitted()
        check_type(folder, (str, os.PathLike), "folder", "the path of a new folder")
        learned, tensors = self.learner_.state()
        sections = {name: getattr(self, name).model_dump(mode="json") for name in self.PARAMETERS}
        spec = {
            "kind": self.KIND,
            "format_version": FORMAT_VERSION,
            **sections,
            "training": dict(self.training_),
            "versions": installed_versions(),
            "in_words": self.learner_.in_words(),
            "elements": self.elements_,
            "task": self._task_state(),
            "learner": learned,
        }
        write_model_folder(Path(folder), spec, tensors, model_card(spec), self.learner_.max_l)

    @classmethod
    def from_state(cls, spec: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> tuple[Self, int]:
        """Return the model that a folder describes, and the largest l of its harmonics."""
        out = cls._of_sections(spec)
        out.training_ = dict(spec["training"])
        groups = out._restore_task(spec["task"])
        restore = learner_class(out.model).from_state
        out.learner_ = restore(out.model, groups, spec["learner"], tensors)
        return out, out.learner_.max_l

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

    def __sklearn_clone__(self) -> Self:
        """Return an unfitted model of the same parameters, for scikit-learn."""
        return type(self)(**copy.copy(self.get_params()))

    def __sklearn_tags__(self) -> Any:
        """Say what this is to scikit-learn: a regressor of structures, whose targets may be in them."""
        from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

        return Tags(
            estimator_type="regressor",
            target_tags=TargetTags(required=False),
            regressor_tags=RegressorTags(),
            input_tags=InputTags(two_d_array=False),
        )

    def __eq__(self, other: object) -> bool:
        """Return whether both are the same model; two fits are compared by what they predict."""
        return self is other

    __hash__ = object.__hash__

    def shown(self) -> dict[str, object]:
        """Return the parameters, and what was fitted."""
        return {**self.get_params(), "fit": Words(self._fit_in_words())}

    def _repr_html_(self) -> str:
        """Return the same as a small table, with the learner in words."""
        rows = [(name, value) for name, value in self.shown().items()]
        rows += [("", line) for line in self.learner_.in_words()] if self.is_fitted else []
        return html_table(type(self).__name__, rows)

    def _fit_in_words(self) -> str:
        return f"{self.training_['n_structures']} structures" if self.is_fitted else "none"

    @abstractmethod
    def predict_all(self, structures: Structures, job: Job = SILENT) -> list[Any]:
        """Predict everything that was learned, of as many molecules as there are, with error bars if there are any."""

    @abstractmethod
    def symmetry_error(self, structures: Sequence[Atoms], moved: Sequence[Atoms], moves: Sequence[Move]) -> float:
        """Return how far predictions of moved structures are from moved predictions, at most.

        Args:
            structures: geometries.
            moved: the same, permuted and then turned.
            moves: which atom of each was put k-th, and how it was turned.
        """

    @abstractmethod
    def _task_state(self) -> dict[str, Any]:
        """Return what the task found, as plain values."""

    @abstractmethod
    def _restore_task(self, state: Mapping[str, Any]) -> dict[Group, int]:
        """Take over what the task found; return the number of targets of every group."""

    @classmethod
    @abstractmethod
    def _of_sections(cls, spec: Mapping[str, Any]) -> Self:
        """Return an unfitted model with the settings of a folder."""
