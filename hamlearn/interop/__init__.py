"""Learned models inside other programs."""

from hamlearn.interop.ase_calculator import HamlearnCalculator as HamlearnCalculator
