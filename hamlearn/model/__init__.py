"""Learned Hamiltonians and properties: fit, predict, save, load, select."""
