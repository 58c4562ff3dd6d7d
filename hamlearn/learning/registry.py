"""Learners by the kind their settings name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hamlearn.config import ModelSettings, register_settings
from hamlearn.errors import ConfigError
from hamlearn.learning.bond_process import BondProcessLearner
from hamlearn.learning.bond_ridge import BondFrameLearner
from hamlearn.learning.pair_kernels import PairKernelLearner
from hamlearn.learning.protocols import Learner
from hamlearn.learning.ridge import RidgeLearner
from hamlearn.learning.sum_kernels import SumKernelLearner

if TYPE_CHECKING:
    from ase import Atoms

ClassOf = Callable[[Any], type[Learner]]

_KERNELS: dict[str, type[Learner]] = {"pairs": PairKernelLearner, "bond_frame": BondProcessLearner}

_LEARNERS: dict[str, type[Learner] | ClassOf] = {
    "ridge": lambda settings: BondFrameLearner if settings.features.kind == "bond_frame" else RidgeLearner,
    "kernel": lambda settings: _KERNELS.get(settings.kernel.kind, SumKernelLearner),
}


def register_learner(name: str, settings_class: type[ModelSettings], learner_class: type[Learner]) -> None:
    """Let models, workflow files and saved folders use a learner of your own under a name.

    Packages register theirs for every program by an entry point of the group ``hamlearn.learners`` that names a
    function which calls this one.

    Args:
        name: the kind that files name, ``model: {kind: name}``.
        settings_class: derives from :class:`hamlearn.ModelSettings`, with ``kind: Literal[name] = name``.
        learner_class: derives from :class:`hamlearn.Learner`; its constructor takes the settings.

    Raises:
        ConfigError: for classes of another kind, a learner without all its methods, or a name that is taken.
    """
    if not (isinstance(learner_class, type) and issubclass(learner_class, Learner)):
        raise ConfigError(f"learner '{name}' got {learner_class!r}; derive a class from hamlearn.Learner")
    if inspect.isabstract(learner_class):
        missing = ", ".join(sorted(learner_class.__abstractmethods__))
        raise ConfigError(f"learner '{name}': {learner_class.__name__} lacks {missing}; define what is abstract")
    known = _LEARNERS.get(name, learner_class)
    places = {(learner.__module__, learner.__qualname__) for learner in (known, learner_class)}
    if len(places) > 1:  # the same, defined again, replaces itself
        raise ConfigError(f"learner '{name}' exists already; choose another name for {learner_class.__name__}")
    register_settings(name, settings_class)
    _LEARNERS[name] = learner_class


def new_learner(settings: ModelSettings) -> Learner:
    """Return the learner of some settings, not fitted.

    Raises:
        ConfigError: if none is registered for their kind, or it has no error bars where they are asked for.
    """
    found = learner_class(settings)
    if settings.error_bars and not found.HAS_ERROR_BARS:
        raise ConfigError(
            f"model.kind {settings.kind} has no error bars ({found.__name__}.HAS_ERROR_BARS is false), got "
            "model.error_bars true; drop it"
        )
    return found(settings)


def learner_class(settings: ModelSettings) -> type[Learner]:
    """Return the class of the learners of some settings.

    Raises:
        ConfigError: if none is registered for their kind.
    """
    if settings.kind not in _LEARNERS:
        raise ConfigError(
            f"no learner is registered for model.kind {settings.kind} (there are {', '.join(_LEARNERS)}); import the "
            "code that calls hamlearn.register_learner first"
        )
    found = _LEARNERS[settings.kind]
    return found if isinstance(found, type) else found(settings)


def smaller(settings: ModelSettings, structures: Sequence[Atoms]) -> ModelSettings:
    """Return the settings of a point of a learning curve, which needs no error bars and chooses nothing."""
    fewer: ModelSettings = learner_class(settings).smaller(settings, structures)
    return fewer.model_copy(update={"error_bars": False})
