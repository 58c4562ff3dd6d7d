"""What the runs of all kinds of targets share: structures, split, files, times, learning curve, results."""

from __future__ import annotations

import time
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

import numpy as np

from hamlearn.artifacts import read_json, write_json
from hamlearn.config import Config, ModelSettings
from hamlearn.errors import ConfigError, HamlearnWarning
from hamlearn.job import Job
from hamlearn.structures import check_structures, read_structures, split, training_orders
from hamlearn.structures.duplicates import repeated_in_words
from hamlearn.types import IntArray

if TYPE_CHECKING:
    from ase import Atoms

    from hamlearn.learning.groups import Group
    from hamlearn.model.base import Model as AnyModel

RESULTS_VERSION = PART_VERSION = 1
DAMAGED = "delete it and run again"


Model = TypeVar("Model", bound="AnyModel")


class RunFolder(ABC, Generic[Model]):
    """A run folder and what the stages have made of it so far.

    Args:
        config: the workflow.
        out: run folder.
        job: where and how loudly the work is done.
    """

    TIMED: ClassVar[tuple[str, ...]]
    """Stages whose times are part of the results."""

    OF_PAIRS: ClassVar[bool]
    """Whether pairs of atoms are learned, or atoms alone."""

    def __init__(self, config: Config, out: Path, job: Job) -> None:
        self.config, self.out, self.job = config, out, job
        self._model: Model | None = None

    @property
    @abstractmethod
    def stages(self) -> dict[str, Callable[[], None]]:
        """What is done, by name, in the order it is done."""

    @property
    def model(self) -> Model:
        """The final model, once the stage fit is done."""
        assert self._model is not None
        return self._model

    @property
    def failures(self) -> dict[int, str]:
        """Reason of every failed calculation, by position in the input file."""
        return {}

    @property
    def doubtful_states(self) -> dict[str, str]:
        """What is doubtful of the state of a calculation, by position in the input file."""
        return {}

    @abstractmethod
    def check_input(self) -> None:
        """Read and check everything that can be refused before anything is written."""

    def _check_learner(self, n_targets: Mapping[Group, int], held_out: bool) -> None:
        """Refuse an executor there is not, settings that training set or learning curve do not bear, and a test set
        outside the domain.

        Args:
            n_targets: number of targets of every group.
            held_out: whether structures will be left out to calibrate error bars.
        """
        from hamlearn.learning.registry import new_learner, smaller

        self.job.open_executor()  # opened only where it is entered
        settings, train = self.config.model, [self.structures[k] for k in self.train]
        learner = new_learner(settings)
        learner.check(train, n_targets, held_out)
        for n in self.config.split.curve[:1]:
            try:
                new_learner(smaller(settings, train[:n])).check(train[:n], {})
            except ConfigError as error:
                raise ConfigError(f"split.curve starts at {n}: {error}") from None
        for domain in learner.domains(train, pairs=self.OF_PAIRS):
            domain.check([self.structures[k] for k in self.test], self.split[1])
        if self.repeated:
            warnings.warn(self.repeated, HamlearnWarning, stacklevel=2)

    @cached_property
    def all_structures(self) -> list[Atoms]:
        """All structures of the input file."""
        structures = read_structures(self.config.structures.file)
        source, qm = self.config.structures.file, self.config.qm
        if qm is None:
            check_structures(structures, source, closed_shell=False)
        else:
            check_structures(structures, source, qm=qm)
        return structures

    @cached_property
    def split(self) -> tuple[IntArray, IntArray]:
        """Positions in the input file of the training set and of the test set."""
        s = self.config.split
        return split(len(self.all_structures), s.train, s.test, s.seed)

    @cached_property
    def used(self) -> IntArray:
        """Positions in the input file of the structures of this run: training set, then test set."""
        return np.concatenate(self.split)

    @cached_property
    def structures(self) -> list[Atoms]:
        """The structures of this run."""
        return [self.all_structures[index] for index in self.used]

    @cached_property
    def repeated(self) -> str:
        """What there is to say of test structures that are training structures, too."""
        return repeated_in_words(self.structures, len(self.split[0]))

    @cached_property
    def train(self) -> IntArray:
        """Positions among the structures of this run of those to learn from."""
        return np.arange(len(self.split[0]))

    @cached_property
    def test(self) -> IntArray:
        """Positions among the structures of this run of those to test on."""
        return np.arange(len(self.split[0]), len(self.used))

    @cached_property
    def tested(self) -> list[Atoms]:
        """The test structures."""
        return [self.structures[k] for k in self.test]

    def fit(self) -> None:
        """Fit the final model on the whole training set."""
        folder = self.out / "model"
        if folder.exists():
            self._model = self._load_model(folder)
            return
        start = time.perf_counter()
        self._model = self._fit(self.train, self.config.model, "fit")
        self._record_fit(time.perf_counter() - start)
        self.model.save(folder)

    def curve(self) -> None:
        """Fit and test on nested subsets of each order of the training set.

        What the final model chose of a grid stays as it is.
        """
        from hamlearn.learning.registry import smaller

        s, chosen = self.config.split, self.model.learner_.chosen()
        for order, members in enumerate(training_orders(self.train, s.repeats, s.seed)):
            for n in [n for n in s.curve if n <= len(self.train)]:
                name = f"curve/order-{order}-train-{n}"
                if (self.out / f"{name}.json").exists():
                    continue
                structures = [self.structures[k] for k in members[:n]]
                if missing := self._missing(structures):
                    self.job.say(f"learning curve: {n} structures are left out ({missing} of this size)")
                    continue
                start = time.perf_counter()
                whole = n == len(self.train)
                label = f"learning curve, order {order + 1} of {s.repeats}"
                model = self.model if whole else self._fit(members[:n], smaller(chosen, structures), label)
                errors = self._errors(model)
                self._write(name, {"n_train": n, "order": order, **errors, "seconds": time.perf_counter() - start})

    def results(self, peak_memory_gb: float) -> dict[str, Any]:
        """Gather results.json; one that is complete already is left as it is."""
        path = self.out / "results.json"
        curve = self._curve_rows()
        if path.exists():
            known = read_json(path, "results", RESULTS_VERSION, DAMAGED)
            if len(known["learning_curve"]) == len(curve):
                return known
            peak_memory_gb = max(peak_memory_gb, known["peak_memory_gb"])
        evaluation = self._read("evaluation") if len(self.test) else {}
        seconds = {stage: self._times.get(stage, 0.0) for stage in self.TIMED}
        results = {
            "n_train": len(self.train),
            "n_test": len(self.test),
            **evaluation,
            **({"repeated": self.repeated} if self.repeated else {}),
            "n_structures": len(self.train) + len(self.test),
            "formulas": dict(Counter(atoms.get_chemical_formula() for atoms in self.structures)),
            "target": self.config.target.model_dump(mode="json"),
            "failures": {str(index): reason for index, reason in self.failures.items()},
            **({"doubtful_states": self.doubtful_states} if self.doubtful_states else {}),
            "seconds": seconds | {"curve": sum(row.pop("seconds") for row in curve)},
            "peak_memory_gb": peak_memory_gb,
            "learning_curve": curve,
        }
        results |= self._verdict(results)
        self._write_card(results)
        write_json(path, "results", RESULTS_VERSION, results)  # last: its presence says that the run is done
        return read_json(path, "results", RESULTS_VERSION, DAMAGED)

    def report(self) -> Path:
        """Write report.html."""
        from hamlearn.report import write_report

        return write_report(self.out)

    @abstractmethod
    def _fit(self, members: IntArray, settings: ModelSettings, label: str) -> Model:
        """Return a model of some of the structures of this run."""

    @abstractmethod
    def _errors(self, model: Model) -> dict[str, Any]:
        """Return the errors of a model on the test set."""

    def _verdict(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return under ``verdict`` what there is to say of the model; taken out of the results if it was there."""
        return {}

    def _load_model(self, folder: Path) -> Model:
        from hamlearn.model.loading import load_model

        return cast(Model, load_model(folder))

    def _missing(self, members: Sequence[Atoms]) -> str:
        """Return in words what the test set has and these structures lack; empty if nothing."""
        (domain,) = self.model.learner_.domains(members, pairs=self.OF_PAIRS)
        return next((words for atoms in self.tested if (words := domain.lacks(atoms))), "")

    def _write_card(self, results: Mapping[str, Any]) -> None:
        from hamlearn.model.folder import write_card

        write_card(self.out / "model", results)

    def _record_fit(self, seconds: float) -> None:
        self._record("fit", seconds)

    def _curve_rows(self) -> list[dict[str, Any]]:
        s, names = self.config.split, [f"curve/{path.stem}" for path in (self.out / "curve").glob("order-*.json")]
        rows = [row for row in map(self._read, names) if row["n_train"] in s.curve and row["order"] < s.repeats]
        return sorted(rows, key=lambda row: (row["order"], row["n_train"]))

    @cached_property
    def _times(self) -> dict[str, float]:
        return self._read("seconds") if (self.out / "seconds.json").exists() else {}

    def _record(self, stage: str, seconds: float) -> None:
        self._times[stage] = seconds
        self._write("seconds", self._times)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._record(stage, time.perf_counter() - start)

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        write_json(self.out / f"{name}.json", name.partition("/")[0], PART_VERSION, content)

    def _read(self, name: str) -> dict[str, Any]:
        return read_json(self.out / f"{name}.json", name.partition("/")[0], PART_VERSION, DAMAGED)
