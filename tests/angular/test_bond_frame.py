"""Frames of bonds, and what equivariants are in them."""

import numpy as np
import pytest
import torch

from hamlearn.angular.bond_frame import bond_frames, rotations_of
from hamlearn.angular.harmonics import spherical_harmonics

SPECIAL = [[0, 0, 1.0], [0, 0, -2.0], [3.0, 0, 0], [0, -1e-3, 0], [1.0, 1, 1], [1.0, 1, 0], [1e-9, 0, 1.0]]


@pytest.fixture(scope="module")
def vectors():
    random = np.random.default_rng(0).normal(size=(40, 3))
    return torch.from_numpy(np.concatenate([SPECIAL, random]))


def test_frames_are_proper_rotations_with_the_bond_as_third_axis(vectors):
    frames = bond_frames(vectors)
    along = torch.einsum("pij,pj->pi", frames, vectors)
    np.testing.assert_allclose(frames @ frames.transpose(1, 2), np.tile(np.eye(3), (len(vectors), 1, 1)), atol=1e-14)
    np.testing.assert_allclose(torch.linalg.det(frames), 1.0, atol=1e-14)
    np.testing.assert_allclose(along[:, :2], 0.0, atol=1e-14)
    np.testing.assert_allclose(along[:, 2], torch.linalg.norm(vectors, dim=1), rtol=1e-14)


def test_no_bond_is_fine():
    assert bond_frames(torch.zeros((0, 3), dtype=torch.float64)).shape == (0, 3, 3)


def test_harmonics_turn_by_the_matrices_of_frames(vectors):
    """Y_l(Q v) = D^l(Q) Y_l(v); the bond itself has M = 0 alone."""
    frames = bond_frames(vectors)
    v = torch.from_numpy(np.random.default_rng(1).normal(size=vectors.shape))
    turned = torch.einsum("pij,pj->pi", frames, v)
    for l, d in enumerate(rotations_of(frames, 5)):
        own = slice(l * l, (l + 1) ** 2)
        y, expected = spherical_harmonics(v, l)[:, own], spherical_harmonics(turned, l)[:, own]
        np.testing.assert_allclose(torch.einsum("pmn,pn->pm", d, y), expected, atol=1e-13)
        np.testing.assert_allclose(d @ d.transpose(1, 2), np.tile(np.eye(2 * l + 1), (len(v), 1, 1)), atol=1e-13)
        of_bond = torch.einsum("pmn,pn->pm", d, spherical_harmonics(vectors, l)[:, own])
        others = [m for m in range(2 * l + 1) if m != l]
        np.testing.assert_allclose(of_bond[:, others], 0.0, atol=1e-13)


def test_a_roll_of_the_frame_turns_plus_and_minus_m_by_m_times_its_angle(vectors):
    """z_M = h_{+M} + i h_{-M} becomes exp(i M phi) z_M for the roll by -phi of the axes, and keeps M = 0."""
    frames, phi = bond_frames(vectors), 0.7
    roll = torch.tensor([[np.cos(phi), -np.sin(phi), 0], [np.sin(phi), np.cos(phi), 0], [0, 0, 1.0]])
    roll = roll.to(torch.float64)
    for l, (before, after) in enumerate(zip(rotations_of(frames, 3), rotations_of(roll @ frames, 3), strict=True)):
        np.testing.assert_allclose(after[:, l], before[:, l], atol=1e-13)
        for m in range(1, l + 1):
            z, rolled = (torch.complex(d[:, l + m], d[:, l - m]) for d in (before, after))
            np.testing.assert_allclose(rolled, np.exp(1j * m * phi) * z, atol=1e-13)


def test_frames_can_be_differentiated(vectors):
    some = vectors[7:10].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda r: tuple(rotations_of(bond_frames(r), 2)[1:]), (some,))
