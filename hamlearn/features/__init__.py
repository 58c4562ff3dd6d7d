"""Equivariant features of atoms and pairs, made by Clebsch-Gordan iteration from neighbour densities."""

from hamlearn.features.featurizer import Features as Features
from hamlearn.features.featurizer import Featurizer as Featurizer
from hamlearn.features.featurizer import Representation as Representation
from hamlearn.features.featurizer import TileFeatures as TileFeatures
