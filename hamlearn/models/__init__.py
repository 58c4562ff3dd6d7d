"""Regressors of irreducible blocks."""

from hamlearn.models.block_model import BlockModel as BlockModel
from hamlearn.models.block_model import Group as Group
from hamlearn.models.block_ridge import BlockRidge as BlockRidge
