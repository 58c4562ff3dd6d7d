"""Features keep the contract of representations, with either kind of radial functions and contraction."""

from hamlearn.config import FeatureSettings
from hamlearn.features import Featurizer
from hamlearn.testing.representation_contract import RepresentationContract

LOW = tuple((L, sigma) for L in range(3) for sigma in (1, -1))
OVERLAP = {"radial": "overlap", "smearing_growth_angstrom": 2.0, "decay_angstrom": 3.0}


class TestGto(RepresentationContract):
    representation = Featurizer
    settings = FeatureSettings(max_l=3, max_n=3, cutoff_angstrom=4.0)


class TestOverlap(RepresentationContract):
    representation = Featurizer
    settings = FeatureSettings(max_l=2, max_n=2, cutoff_angstrom=4.0, **OVERLAP)
    irreps = LOW


class TestJointGto(RepresentationContract):
    """Channels of all elements are mixed."""

    representation = Featurizer
    settings = FeatureSettings(max_l=2, max_n=2, cutoff_angstrom=4.0, max_channels=4)
    irreps = LOW


class TestJointOverlap(RepresentationContract):
    """And elements are alike."""

    representation = Featurizer
    settings = FeatureSettings(max_l=3, max_channels=5, cutoff_angstrom=4.0, element_likeness=1.0, **OVERLAP)
