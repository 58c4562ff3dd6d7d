"""Weights of the orders of a kernel, and which kernels may be mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import factorial

import numpy as np

from hamlearn.errors import ConfigError
from hamlearn.types import FloatArray


def mixture_weights(a: float, b: float, c0: float, max_nu: int) -> FloatArray:
    """Return the weights c0, a b, a b^2 / 2!, ..., a b^nu / nu! of the orders 0 ... max_nu [max_nu + 1].

    k = sum_nu weight_nu k^nu is positive semi-definite, because every k^nu is and no weight is negative, and
    transforms like the k^nu.

    Args:
        a: weight of all orders but 0.
        b: weight of an order relative to the one below it.
        c0: weight of order 0, a constant; for L > 0 it has no effect.
        max_nu: largest order.

    Raises:
        ConfigError: for a negative, infinite or undefined value.

    Source: Bigi, Pozdnyakov, Ceriotti, J. Chem. Phys. 161, 044116 (2024), eq. E4.
    """
    for name, value in (("a", a), ("b", b), ("c0", c0), ("max_nu", max_nu)):
        _check_weight(name, value)
    return np.array([c0, *(a * b**nu / factorial(nu) for nu in range(1, max_nu + 1))], dtype=np.float64)


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights of orders whose sum of kernels need not be positive semi-definite.

    Raises:
        ConfigError: naming the first order whose weight is negative or not finite, or if there are no weights.
    """
    if len(weights) == 0:
        raise ConfigError("a mixture has no weights; give one number for every order nu = 0, 1, ...")
    for nu, value in enumerate(weights):
        _check_weight(f"order nu = {nu}", value)


def check_same_settings(first: Mapping[str, object], second: Mapping[str, object]) -> None:
    """Refuse to mix kernels of densities made with different settings (weights of l, cut-off, widths, ...).

    The sum of such kernels would be valid, but not the kernel of any of the settings, and a product of orders with
    different weights is no power of one kernel.

    Args:
        first: settings of one kernel by name, e.g. {"l_weight": "haar", "max_l": 3}.
        second: settings of the other one.

    Raises:
        ConfigError: naming every setting that differs.
    """
    names = sorted(k for k in {*first, *second} if first.get(k) != second.get(k))
    if names:
        listed = ", ".join(f"{k}: {first.get(k)} and {second.get(k)}" for k in names)
        raise ConfigError(f"kernels made with different settings cannot be mixed ({listed}); make both with the same")


def _check_weight(name: str, value: float) -> None:
    if not (np.isfinite(value) and value >= 0):
        raise ConfigError(
            f"the weight of {name} is {value}; expected a finite number that is not negative, for otherwise the "
            "kernel need not be positive semi-definite"
        )
