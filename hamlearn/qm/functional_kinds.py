"""What libxc says of its functionals: which of them an SCF of a molecule can use."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

EXCHANGE, CORRELATION, BOTH, KINETIC = range(4)
HAS_ENERGY, HAS_POTENTIAL, ONE_DIMENSION, TWO_DIMENSIONS, NEEDS_LAPLACIAN = 1 << 0, 1 << 1, 1 << 5, 1 << 6, 1 << 15
LARGEST_WEIGHT = 1.5
"""Of all exchange or all correlation: Slater's X-alpha with alpha = 1 has 1.5, twice the same functional 2."""


def complaints(components: Sequence[tuple[int, float]], exact_exchange: float) -> Iterator[str]:
    """Yield why no SCF of a molecule can be run with a functional, or none that means anything.

    Args:
        components: numbers of libxc and their factors.
        exact_exchange: weight of Hartree-Fock exchange, beside what hybrids among the components bring.
    """
    exchange, correlation = exact_exchange, 0.0
    for number, factor in components:
        name, kind, flags = _described(number)
        if not flags & HAS_ENERGY:
            yield f"{name} has a potential, but no energy"
        elif not flags & HAS_POTENTIAL:
            yield f"{name} has an energy, but no potential"
        if flags & (ONE_DIMENSION | TWO_DIMENSIONS):
            yield f"{name} is of electrons in {1 if flags & ONE_DIMENSION else 2} dimensions, not three"
        if kind == KINETIC:
            yield f"{name} is of kinetic energy, not of exchange and correlation"
        if flags & NEEDS_LAPLACIAN:
            yield f"{name} needs the Laplacian of the density, which PySCF does not give it"
        if not math.isfinite(factor):
            yield f"the factor of {name} is {factor}"
        exchange += factor * (kind in (EXCHANGE, BOTH))
        correlation += factor * (kind in (CORRELATION, BOTH))
    if exact_exchange < 0:
        yield f"the factor of exact exchange is {exact_exchange:.6g}"
    for what, weight in (("exchange", exchange), ("correlation", correlation)):
        if weight < 0 or weight > LARGEST_WEIGHT:
            yield f"its factors of {what} add up to {weight:.6g}, expected 0 to {LARGEST_WEIGHT}"
    if exchange == 0 and not any(_described(number)[1] == KINETIC for number, _ in components):
        yield "it has no exchange"


@lru_cache(maxsize=256)
def _described(number: int) -> tuple[str, int, int]:
    """Return name, kind and flags of a functional."""
    libxc = _library()
    functional = libxc.xc_func_alloc()
    try:
        if libxc.xc_func_init(functional, number, 1):
            return f"functional {number}", EXCHANGE, 0
        info = libxc.xc_func_get_info(functional)
        name = libxc.xc_functional_get_name(number).decode()
        kind, flags = libxc.xc_func_info_get_kind(info), libxc.xc_func_info_get_flags(info)
        libxc.xc_func_end(functional)
        return name, kind, flags
    finally:
        libxc.xc_func_free(functional)


@lru_cache(maxsize=1)
def _library() -> Any:
    """Return libxc as PySCF brings it, with the types of the functions used here."""
    from pyscf import lib

    libxc, pointer, whole = lib.load_library("libxc_itrf"), ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("xc_func_alloc", pointer, ()),
        ("xc_func_init", whole, (pointer, whole, whole)),
        ("xc_func_get_info", pointer, (pointer,)),
        ("xc_func_info_get_kind", whole, (pointer,)),
        ("xc_func_info_get_flags", whole, (pointer,)),
        ("xc_functional_get_name", ctypes.c_char_p, (whole,)),
        ("xc_func_end", None, (pointer,)),
        ("xc_func_free", None, (pointer,)),
    ):
        function = getattr(libxc, name)
        function.restype, function.argtypes = result, arguments
    return libxc
