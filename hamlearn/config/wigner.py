"""Settings of the kernels of atoms and atom pairs that learn a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from hamlearn.config.density import Cutoff, DensitySettings, KernelKind, PairCutoff, Smearing, SmearingGrowth


class WignerSettings(DensitySettings, KernelKind):
    """Kernels of atoms and atom pairs for the blocks of a matrix: t(R) P(k_i(R) + k_j(R)), functions on O(3)."""

    CHOSEN_BY_GRID: ClassVar[tuple[str, ...]] = (
        "max_l",
        "max_nu_centre",
        "max_nu_pair",
        "rate",
        "cutoff_angstrom",
        "smearing_angstrom",
        "smearing_growth_angstrom",
        "decay_angstrom",
        "element_likeness",
        "pair_cutoff_angstrom",
        "pair_smearing_angstrom",
        "pair_decay_angstrom",
    )

    kind: Literal["pairs"] = Field(default="pairs", description="kernels of atoms and pairs of atoms")
    max_l: int = Field(default=3, ge=0, le=6, description="largest angular momentum of densities and of bonds")
    cutoff_angstrom: Cutoff = 4.5
    smearing_angstrom: Smearing = 0.2
    smearing_growth_angstrom: SmearingGrowth = 3.0
    max_nu_centre: int = Field(default=4, ge=1, le=6, description="largest order of the kernels of single atoms")
    max_nu_pair: int = Field(
        default=3,
        ge=0,
        le=6,
        description="largest order of the environments of a pair: of both together (form sum), of either (one_sided, "
        "product); 0: bonds alone",
    )
    rate: float | None = Field(
        default=1.0,
        ge=0,
        description="b of the mixture b^nu / nu! of orders, kernels of order 1 ~ 1; null: the one of 0.25, 0.5, 1, 2 "
        "and 4 with the smallest cross-validated error",
    )
    form: Literal["sum", "one_sided", "product"] = Field(
        default="sum",
        description="environments of a pair: P(k_i + k_j), one at a time P(k_i) / 2 + P(k_j) / 2, or P(k_i) P(k_j)",
    )
    mixture_i: tuple[float, ...] | None = Field(
        default=None,
        description="weights of the orders 0, 1, ... of pairs in place of b^nu / nu!; form product: of the first atom",
    )
    mixture_j: tuple[float, ...] | None = Field(
        default=None, description="form product: weights of the second atom; the same for atoms of one element"
    )
    message_passing: bool = Field(
        default=False, description="kernels of single atoms also see bonds with the environments of neighbours; slower"
    )
    pair_cutoff_angstrom: PairCutoff = 8.0
    pair_smearing_angstrom: float = Field(default=0.5, gt=0, description="width of the Gaussian on a bond vector, Å")
    pair_decay_angstrom: float | None = Field(
        default=None, gt=0, description="weight exp(-r / decay) of a bond of length r, Å; null: none"
    )
    grid: dict[str, tuple[int | float | None, ...]] | None = Field(
        default=None,
        description="values of other settings to choose among by cross-validation on at most 100 structures, such as "
        "{smearing_angstrom: [0.2, 0.4], rate: [0.5, 1, 2]}; null: none",
    )

    @property
    def leaves_choice(self) -> bool:
        """Whether the rate or a setting of the grid is chosen by cross-validation."""
        return self.rate is None or super().leaves_choice

    @field_validator("mixture_i", "mixture_j")
    @classmethod
    def _positive(cls, mixture: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if mixture is not None and (not mixture or min(mixture) < 0 or max(mixture) == 0):
            raise ValueError(
                f"a kernel of positive parts needs weights of orders that are not negative, and not all zero; got "
                f"{list(mixture)}"
            )
        return mixture

    @model_validator(mode="after")
    def _mixtures_fit(self) -> WignerSettings:
        if self.mixture_j is not None and self.form != "product":
            raise ValueError(f"mixture_j belongs to form product, got form {self.form}; drop it")
        for name in ("mixture_i", "mixture_j"):
            mixture = getattr(self, name)
            if mixture is not None and len(mixture) > self.max_nu_pair + 1:
                raise ValueError(f"{name} has orders up to {len(mixture) - 1}, max_nu_pair is {self.max_nu_pair}")
        return self

    def bond(self) -> DensitySettings:
        """Return the settings of the density of a single neighbour, the other atom of a pair."""
        return DensitySettings(
            max_l=self.max_l,
            cutoff_angstrom=self.pair_cutoff_angstrom,
            cutoff_width_angstrom=self.cutoff_width_angstrom,
            smearing_angstrom=self.pair_smearing_angstrom,
            smearing_growth_angstrom=None,
            decay_angstrom=self.pair_decay_angstrom,
        )


def kernels_in_words(wigner: Mapping[str, Any]) -> str:
    """Return what a section ``model.kernel`` of kind pairs describes: form, orders with a weight, cut-offs."""
    atoms, pairs = (wigner[name] if wigner["rate"] else 0 for name in ("max_nu_centre", "max_nu_pair"))
    of_i, of_j = (
        max(n for n, weight in enumerate(mixture) if weight) if mixture else pairs
        for mixture in (wigner["mixture_i"], wigner["mixture_j"])
    )
    form = {"sum": "P(k_i + k_j)", "one_sided": "P(k_i) / 2 + P(k_j) / 2", "product": "P(k_i) P(k_j)"}[wigner["form"]]
    orders = f"up to order {of_i}" + (f" and {of_j}" if wigner["form"] == "product" else "")
    alone = not of_i and (wigner["form"] != "product" or not of_j)
    words = [
        f"Wigner kernels of atoms (P(k_i), up to order {atoms})" if atoms else "the same kernel for all like atoms",
        "and of bonds alone (t(R))" if alone else f"and of pairs (t(R) {form}, {orders})",
    ]
    messages = ", atoms with messages" if wigner["message_passing"] else ""
    cutoffs = f"environments of {wigner['cutoff_angstrom']:g} Å, pairs up to {wigner['pair_cutoff_angstrom']:g} Å"
    return f"{' '.join(words)}{messages}, {cutoffs}"
