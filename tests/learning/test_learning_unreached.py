"""Groups that no feature reaches: blocks of L = 2 and features of l up to 1."""

import numpy as np
import pytest

from hamlearn.config import FeatureSettings, RidgeSettings
from hamlearn.testing.learner_contract import LearnerContract


@pytest.mark.filterwarnings("ignore:no feature reaches blocks of L = 2")
class TestRidgeOfUnreachedBlocks(LearnerContract):
    """They are predicted as zero, and a saved learner keeps their error bars as well."""

    settings = RidgeSettings(features=FeatureSettings(max_l=1, max_n=2, max_nu_centre=1))
    largest_error = 0.6

    def test_error_bars_are_the_size_of_what_is_not_predicted(self, learner, answers, data):
        """V = <h^2> 1 of every target."""
        unreached = [group for group, fit in learner.fits_.items() if not len(fit.weights)]
        assert {group.L for group in unreached} == {2}
        for group in unreached:
            assert not answers.values()[group].any()
            expected = (data.values[group] ** 2).mean(axis=0)
            for known in answers.covariances:
                n = known[group].shape[-1]
                np.testing.assert_allclose(known[group], expected[:, None, None] * np.eye(n), atol=1e-12)
