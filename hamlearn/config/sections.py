"""The sections of a workflow file: every setting with its type, bounds, default and meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from hamlearn.config.learners import ModelSettings, RidgeSettings
from hamlearn.config.pyscf import SOLVERS, PySCFSettings
from hamlearn.config.section import Section
from hamlearn.config.targets import Guess, MatrixTarget, SaphTarget, TargetSettings
from hamlearn.errors import ConfigError

FORMAT_VERSION = 2


class StructureSettings(Section):
    """Where the geometries come from."""

    file: str = Field(min_length=1, description="any file ASE reads, relative to this file; $VARIABLES are expanded")


class QMSettings(Section):
    """How PySCF computes the Fock and overlap matrices."""

    method: Literal["RHF", "RKS", "UHF", "UKS", "ROHF", "ROKS"] = Field(
        default="RHF", description="Hartree-Fock or Kohn-Sham: restricted, unrestricted or restricted open-shell"
    )
    xc: str | None = Field(default=None, description="functional of RKS, UKS or ROKS, spelled out, e.g. b3lypg")
    basis: str = Field(default="def2-SVP", min_length=1, description="any basis set PySCF knows")
    guess: Guess = Field(default="minao", description="density the SCF starts from")
    conv_tol: float = Field(default=1e-10, gt=0, le=1e-3, description="SCF energy threshold, Hartree")
    charge: int | None = Field(default=None, description="of every molecule, e; null: as the structures say, else 0")
    multiplicity: int | None = Field(
        default=None, ge=1, description="2S + 1 of every molecule; null: as the structures say, else the lowest"
    )
    pyscf: PySCFSettings | None = Field(default=None, description="further options of PySCF: solvent, field, fitting")

    @property
    def options(self) -> dict[str, Any]:
        """Options of PySCF that change the Fock matrix; empty without any."""
        given = {} if self.pyscf is None else self.pyscf.given()
        return {name: value for name, value in given.items() if name not in SOLVERS}

    def check_turns_with_molecule(self) -> None:
        """Refuse an electric field, which stays where it is when a molecule turns, as no model of matrices does.

        Raises:
            ConfigError: if there is one.
        """
        if self.pyscf is not None and self.pyscf.has_field:
            raise ConfigError(
                "qm.pyscf.field_v_per_angstrom: matrices in a field that is fixed in space do not turn with the "
                "molecule, as those of a model do; leave the field out, or stop after the calculations: hamlearn qm"
            )

    store: str | None = Field(
        default="beside",
        min_length=1,
        exclude=True,  # from everything that names or compares calculations
        description="folder of calculations that runs share: beside (.hamlearn-qm beside the run folder), a path "
        "relative to this file, or null",
    )

    @field_validator("store")
    @classmethod
    def _none_is_null(cls, store: str | None) -> str | None:
        return None if store == "none" else store

    @property
    def has_spins(self) -> bool:
        """Whether electrons of the two spins have Fock matrices of their own, as open shells need."""
        return self.method not in ("RHF", "RKS")

    @model_validator(mode="after")
    def _functional_fits_method(self) -> QMSettings:
        if self.method.endswith("HF"):
            if self.xc is not None:
                better = self.method.replace("HF", "KS")
                raise ValueError(f"xc '{self.xc}' was given with method {self.method}; use method {better}, or drop xc")
        else:
            if self.xc is None or not self.xc.strip():
                raise ValueError(f"method {self.method} needs xc, a functional spelled out such as pbe, pbe0 or b3lypg")
            if self.xc.lower().replace("-", "").replace("_", "") == "b3lyp":
                raise ValueError(
                    f"xc '{self.xc}' means different functionals in different programs; name the variant: "
                    "b3lypg (VWN3, as Gaussian) or b3lyp5 (VWN5, as ORCA and Turbomole)"
                )
        if self.multiplicity not in (None, 1) and not self.has_spins:
            better = self.method.replace("R", "U")
            raise ValueError(
                f"multiplicity {self.multiplicity} is an open shell, and method {self.method} takes only closed ones; "
                f"use method {better}"
            )
        return self


class SplitSettings(Section):
    """Which structures train and which test: the first and the last of a seeded permutation."""

    train: int = Field(ge=1, description="number of training structures")
    test: int = Field(ge=0, description="number of test structures")
    seed: int = Field(default=0, ge=0, description="seed of the permutation")
    curve: tuple[int, ...] = Field(default=(), description="training sizes of the learning curve")
    repeats: int = Field(default=1, ge=1, description="orders of the training set in the learning curve")

    @field_validator("curve")
    @classmethod
    def _sorted(cls, curve: tuple[int, ...]) -> tuple[int, ...]:
        if any(n < 1 for n in curve):
            raise ValueError(f"curve sizes must be at least 1, got {list(curve)}")
        return tuple(sorted(set(curve)))

    @model_validator(mode="after")
    def _curve_fits(self) -> SplitSettings:
        if self.curve and self.curve[-1] > self.train:
            raise ValueError(f"curve asks for {self.curve[-1]} structures, more than train = {self.train}")
        if self.curve and not self.test:
            raise ValueError("a learning curve needs test structures; set test to at least 1")
        return self


class Config(Section):
    """A whole workflow."""

    structures: StructureSettings
    qm: QMSettings | None = QMSettings()
    target: TargetSettings = Field(
        default=SaphTarget(),
        description="What is learned; a workflow without this section learns what suits its molecules (hamlearn plan).",
    )
    model: ModelSettings = RidgeSettings()
    split: SplitSettings

    @property
    def is_property(self) -> bool:
        """Whether a property is learned, without any calculation."""
        return self.target.is_property

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_properties(cls, settings: Any) -> Any:
        """Learn properties by kernels of environments, without calculations, where nothing else is said."""
        if not isinstance(settings, Mapping):
            return settings
        target, model = settings.get("target", {}), settings.get("model", {})
        kind = target.get("kind") if isinstance(target, Mapping) else getattr(target, "kind", None)
        if kind != "property":
            return settings
        if isinstance(model, Mapping):
            model = {"kind": "kernel", **model}
            kernel = model.get("kernel", {})
            if model["kind"] == "kernel" and isinstance(kernel, Mapping):
                model["kernel"] = {"kind": "wigner", **kernel}
        return {"qm": None, **settings, "model": model}

    @model_validator(mode="after")
    def _guess_leaves_something(self) -> Config:
        if self.qm is None or not isinstance(self.target, MatrixTarget):
            return self
        small = self.qm.method == "RHF" and re.sub("[-_ ]", "", self.qm.basis.lower()) == "sto3g"
        if small and self.target.delta == "sto-3g":
            raise ValueError(
                "target.delta sto-3g subtracts a converged calculation in STO-3G, which is what qm asks for: nothing "
                "would be left to learn; use delta minao, or a larger qm.basis"
            )
        return self

    @model_validator(mode="after")
    def _sections_fit(self) -> Config:
        if self.is_property and self.qm is not None:
            raise ValueError("qm was given, but a property (target.kind) is learned from the file; remove it")
        if self.is_property and self.model.time_minutes is not None:
            raise ValueError(
                f"model.time_minutes {self.model.time_minutes:g} bounds calculations and fits of matrices, got a "
                "property (target.kind); remove it"
            )
        if not self.is_property and self.qm is None:
            raise ValueError("qm: expected a section of settings (name: value), got nothing")
        try:
            self.model.check_target(self.target)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return self
