"""The one place for conventions: real harmonics, Clebsch-Gordan coefficients, Wigner D, order of orbitals.

Real harmonics Y_lm are ordered m = -l..l, so l = 1 is (y, z, x); rotations act as x' = R x and
Y_l(R x) = D^l(R) Y_l(x) for every R in O(3). Nothing here is imported eagerly: ``harmonics`` needs torch, the rest
only numpy.
"""
