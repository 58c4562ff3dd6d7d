"""Rules from what is known of a set of molecules to settings: each returns a choice and why.

Figures behind them, with the commands that made them: workflows/README.md, "Automatic settings".
"""

from __future__ import annotations

from dataclasses import dataclass

from hamlearn.config import BondFrameFeatures, CoupledFeatures, FeatureSettings
from hamlearn.workflow.automatic.facts import Facts

MOST_ATOMS_OF_COUPLED = 3
"""Of molecules for which coupled features, of two neighbours, are complete: they need fewest structures there."""

MOST_CROSSING = 0.1
"""Share of sampled molecules whose virtual levels may cross while a SAPH is learned well, none of five: of 20 ethanols
none is flagged, 18 of 20 acetamides and thiophenes, 14 of 20 molecules of QM7."""

USEFUL_MEV = 25.0
"""Error of levels learned directly above which the difference to a guess is learned: kT at room temperature."""

SHARE, POWER = 0.22, 0.45
"""Error of levels learned directly over their scatter, SHARE x^-POWER for x structures per vibration: ethanol."""

FEWEST_PER_VIBRATION = 1.0
"""Below this a direct model is of no use, whatever the scatter: nothing needs to be measured."""


@dataclass(frozen=True)
class Choice:
    """A setting, what was chosen for it, and why, in words.

    Attributes:
        setting: its name in a workflow file.
        value: chosen, as a file would have it.
        why: reason in words.
    """

    setting: str
    value: str
    why: str


def is_small(facts: Facts) -> bool:
    """Return whether molecules are so small that every target is learned well from few structures."""
    return facts.most_atoms <= MOST_ATOMS_OF_COUPLED


def features(facts: Facts) -> tuple[FeatureSettings, Choice]:
    """Return the features: coupled ones where these are complete."""
    if is_small(facts):
        chosen: FeatureSettings = CoupledFeatures()
        why = f"complete for molecules of up to {MOST_ATOMS_OF_COUPLED} atoms"
    else:
        chosen = BondFrameFeatures()
        why = f"many neighbours at once, for molecules of up to {facts.most_atoms} atoms"
    return chosen, Choice("model.features.kind", chosen.kind, why)


def matrix(facts: Facts, crossing: float | None) -> Choice:
    """Return the matrix: the few levels of a SAPH, or all those of a Löwdin matrix where the lowest virtual ones cross.

    Args:
        facts: of the training set.
        crossing: share of sampled molecules whose virtual levels a minimal basis holds with a flag; None for small
            ones, where none is sampled.
    """
    if crossing is None:
        return Choice("target.kind", "saph", f"few levels, learned best for molecules of {facts.most_atoms} atoms")
    share = f"a minimal basis holds the lowest virtual levels in {1 - crossing:.0%} of the molecules sampled"
    if crossing <= MOST_CROSSING:
        return Choice("target.kind", "saph", share)
    return Choice("target.kind", "lowdin", f"{share}; in others these cross")


def settled_delta(facts: Facts) -> tuple[str, str] | None:
    """Return the guess whose difference is learned and why, as far as counts decide; None if levels must tell."""
    if is_small(facts):
        return "none", f"molecules of up to {facts.most_atoms} atoms need no guess"
    if facts.has_spins:
        return "none", "open shells: an SCF in a small basis may find another state from one geometry to the next"
    if facts.guess is None:
        return "none", "a guess would cost as much as the calculations"
    if facts.guess != "sto-3g":
        return facts.guess, "STO-3G lacks some elements, or has electrons that this basis replaces"
    if facts.per_vibration < FEWEST_PER_VIBRATION:
        return "sto-3g", f"{facts.per_formula:.0f} structures of a formula are few for {facts.vibrations} vibrations"
    return None


def delta(facts: Facts, scatter_ev: float | None) -> Choice:
    """Return the guess whose difference is learned: none where levels learned directly would be of use.

    Args:
        facts: of the training set.
        scatter_ev: how levels scatter within a formula, eV, where counts do not decide.
    """
    settled = settled_delta(facts)
    if settled is not None:
        return Choice("target.delta", *settled)
    if scatter_ev is None:
        return Choice("target.delta", "sto-3g", "how levels scatter is not known: SCFs in STO-3G failed")
    error = direct_error_mev(facts, scatter_ev)
    why = f"levels scatter by {1e3 * scatter_ev:.0f} meV; without a guess they would be off by about {error:.0f} meV"
    return Choice("target.delta", "none" if error <= USEFUL_MEV else "sto-3g", why)


def direct_error_mev(facts: Facts, scatter_ev: float) -> float:
    """Return the expected error of levels learned without a guess, meV."""
    return 1e3 * scatter_ev * SHARE * facts.per_vibration**-POWER
