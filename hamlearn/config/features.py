"""Settings of neighbour densities and of the equivariant features made of them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from hamlearn.config.bond_settings import BondDensity
from hamlearn.config.density import (
    Cutoff,
    DensitySettings,
    MaxChannels,
    MaxL,
    MaxN,
    Optimal,
    PairCutoff,
    Radial,
    Smearing,
    SmearingGrowth,
)
from hamlearn.config.union import KindOf


class FeatureSettings(KindOf, DensitySettings):
    """The neighbour density and the equivariant features made of it.

    ``FeatureSettings(kind="bond_frame")`` makes the settings of a kind; coupled is the default.
    """

    DEFAULT_KIND: ClassVar[str] = "coupled"

    kind: str = Field(description="coupled or bond_frame")
    max_l: MaxL = 6
    cutoff_angstrom: Cutoff = 3.5
    smearing_angstrom: Smearing = 0.3
    smearing_growth_angstrom: SmearingGrowth = None
    radial: Radial = "gto"
    max_n: MaxN = 6
    optimal: Optimal = True
    max_channels: MaxChannels = None
    pair_cutoff_angstrom: PairCutoff = 6.0


class CoupledFeatures(FeatureSettings):
    """Clebsch-Gordan products of densities: two neighbours on site, one for a pair."""

    kind: Literal["coupled"] = Field(default="coupled", description="Clebsch-Gordan products of densities")
    max_nu_centre: Literal[0, 1, 2] = Field(default=2, description="body order of the one-centre features")
    max_nu_pair: Literal[0, 1] = Field(default=1, description="body order of the pair features")


class BondFrameFeatures(BondDensity, FeatureSettings):
    """Products of any order of densities seen in the frame of a bond, contracted and chosen by importance."""

    kind: Literal["bond_frame"] = Field(
        default="bond_frame", description="products of the densities of both ends in the frame of the bond"
    )
    max_nu_centre: int = Field(default=4, ge=2, le=6, description="order of the one-centre features, the bond included")
    max_nu_pair: int = Field(default=4, ge=1, le=6, description="total order of the pair features, both ends together")
    threshold: float = Field(
        default=1e-9,
        gt=0,
        lt=1,
        description="least prior variance of a product that is kept, its importance; ten times as much for atoms",
    )
    max_features: int | None = Field(
        default=None,
        ge=1,
        le=50_000,
        description="most features of one symmetry, the most important; all bonds and |M| of an atom share them; null: "
        "6000, twice as many where samples are fewer than that, or fewer as memory holds",
    )
