"""Equivariant features by Clebsch-Gordan iteration: one-centre, pair, and (later) N-centre and message passing."""

from hamlearn.features.cg_iteration import Equivariants as Equivariants
from hamlearn.features.cg_iteration import cg_product as cg_product
from hamlearn.features.cg_iteration import cg_square as cg_square
from hamlearn.features.featurizer import Featurizer as Featurizer
