"""Settings of what is learned in the frames of bonds: densities of their ends, and the kernel of a Gaussian process."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from hamlearn.config.density import (
    Cutoff,
    DensitySettings,
    KernelKind,
    MaxChannels,
    MaxL,
    MaxN,
    Optimal,
    PairCutoff,
    Radial,
    Smearing,
    SmearingGrowth,
)


class BondDensity(DensitySettings):
    """The densities of the ends of bonds, and which bonds there are."""

    max_l: MaxL = 4
    cutoff_angstrom: Cutoff = 4.5
    smearing_angstrom: Smearing = 0.3
    smearing_growth_angstrom: SmearingGrowth = None
    radial: Radial = "gto"
    max_n: MaxN = 8
    optimal: Optimal = None
    max_channels: MaxChannels = 24
    pair_cutoff_angstrom: PairCutoff = 10.0
    bond_cutoff_angstrom: float = Field(
        default=2.4, gt=0, description="largest length of the bonds along which an atom's own blocks are seen, Å"
    )
    bond_width_angstrom: float = Field(default=0.8, gt=0, description="width of the switch at bond_cutoff_angstrom, Å")
    length: float = Field(
        default=1.2, gt=0, description="length of the variables at which high orders count, in units of their spread"
    )
    relevance: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="power of the mean squared slopes of blocks by which variables are stretched, found on up to 100 "
        "molecules with at most 2000 pairs of one kind; 0, or where those are fewer than 30: they count as they vary",
    )

    @model_validator(mode="after")
    def _bonds_fit(self) -> Self:
        if not self.bond_width_angstrom < self.bond_cutoff_angstrom <= self.cutoff_angstrom:
            raise ValueError(
                f"bond_cutoff_angstrom {self.bond_cutoff_angstrom} must exceed bond_width_angstrom "
                f"{self.bond_width_angstrom}, and must not exceed cutoff_angstrom {self.cutoff_angstrom}"
            )
        return self

    def reach(self, kind: str) -> tuple[float, float]:
        """Return cut-off and width of its switch, Å, of pairs ("pair") or of the bonds of sites ("site")."""
        if kind == "pair":
            return self.pair_cutoff_angstrom, self.cutoff_width_angstrom
        return self.bond_cutoff_angstrom, self.bond_width_angstrom


class BondFrameKernel(BondDensity, KernelKind):
    """The kernel of a Gaussian process in the frames of bonds: of the distance of densities, averaged over rolls."""

    kind: Literal["bond_frame"] = Field(
        default="bond_frame", description="a function of the distance of the densities of both ends, frames of bonds"
    )
    smearing_angstrom: Smearing = 0.35
    smearing_growth_angstrom: SmearingGrowth = 10.0
    form: Literal["matern", "gaussian"] = Field(
        default="matern", description="the function: Matern 5/2, or the smoother Gaussian"
    )
    length: float = Field(
        default=3.0, gt=0, description="length of the function, in units of the spread of the densities"
    )
    rolls: int = Field(
        default=24, ge=4, le=240, multiple_of=4, description="rolls about the bond and its mirror that are averaged"
    )
    precision: Literal["float32", "float64"] = Field(
        default="float64",
        description="of kernels in predictions; float32 takes two thirds of the time, but answers turn with a molecule "
        "to 1 meV only; fits and error bars are in float64",
    )
