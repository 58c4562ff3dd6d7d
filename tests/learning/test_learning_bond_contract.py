"""Ridge regression in the frames of bonds does what every learner must do."""

from hamlearn.config import BondFrameFeatures, RidgeSettings
from hamlearn.testing.learner_contract import LearnerContract

TINY = BondFrameFeatures(max_l=2, max_n=3, max_channels=6, threshold=1e-5, max_features=150)


class TestBondFrameRidge(LearnerContract):
    settings = RidgeSettings(features=TINY)


class TestBondFrameRidgeByColumns(LearnerContract):
    settings = RidgeSettings(features=TINY.model_copy(update={"max_features": 8, "max_nu_pair": 2}))
    largest_error = 0.6
