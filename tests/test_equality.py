"""Equality of objects that hold arrays: by value, or by identity, never by accident."""

from __future__ import annotations

import copy
import importlib
import pkgutil
from dataclasses import dataclass, fields, is_dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hamlearn
from hamlearn.display import Shown
from hamlearn.equality import ByValue, same
from hamlearn.observables.properties import PropertyPrediction
from hamlearn.structures import molecule
from hamlearn.symmetry import point_group

ROOMS = ("angular", "blocks", "o3", "observables", "parallel", "qm", "structures", "symmetry", "targets", "workflow")


def dataclasses_of(room):
    package = importlib.import_module(f"hamlearn.{room}")
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if info.name.rpartition(".")[2].startswith("_"):
            continue
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            own = isinstance(value, type) and value.__module__ == info.name
            if own and is_dataclass(value) and not name.startswith("_"):
                yield value


CLASSES = [cls for room in ROOMS for cls in dataclasses_of(room)]
BY_VALUE = [cls for cls in CLASSES if issubclass(cls, ByValue)]


def with_arrays(cls):
    """An instance whose fields are all arrays."""
    made = object.__new__(cls)
    for number, field in enumerate(fields(cls)):
        object.__setattr__(made, field.name, np.arange(4.0) + number)
    return made


def test_the_classes_are_found():
    assert len(CLASSES) > 35 and len(BY_VALUE) > 25
    assert {"Prediction", "PointGroup", "QMRecord", "Orbitals"} <= {cls.__name__ for cls in BY_VALUE}


@pytest.mark.parametrize("cls", BY_VALUE, ids=lambda cls: cls.__name__)
def test_equal_where_every_field_is(cls):
    one, other = with_arrays(cls), with_arrays(cls)
    assert one == other and (one != other) is False
    for field in fields(cls):
        changed = copy.copy(one)
        object.__setattr__(changed, field.name, getattr(one, field.name) + np.array([0, 0, 1e-9, 0]))
        assert (one == changed) is not field.compare and (changed != one) is field.compare
    assert one != 3 and one != SimpleNamespace(**vars(one))
    with pytest.raises(TypeError, match="unhashable"):
        hash(one)


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls not in BY_VALUE], ids=lambda cls: cls.__name__)
def test_others_hold_no_arrays_or_are_equal_to_themselves_alone(cls):
    if cls.__eq__ is not object.__eq__:
        annotations = " ".join(str(field.type) for field in fields(cls))
        assert not any(word in annotations for word in ("Array", "Tensor", "Atoms"))


@pytest.mark.parametrize("cls", BY_VALUE, ids=lambda cls: cls.__name__)
def test_what_holds_arrays_shows_itself_in_short(cls):
    assert issubclass(cls, Shown) and cls.__repr__ is Shown.__repr__


def test_values():
    nan = float("nan")
    assert same(np.array([1.0, nan]), np.array([1.0, nan])) and same(nan, float("nan"))
    assert not same(np.zeros(3), np.zeros((1, 3))) and not same(np.array([0.0]), None)
    assert same(np.array(["a"]), np.array(["a"])) and not same(np.array(["a"]), np.array(["b"]))
    assert same({"a": [np.ones(2)], "b": (1,)}, {"b": (1,), "a": [np.ones(2)]})
    assert not same({"a": 1}, {"a": 1, "b": 2}) and not same((1, 2), [1, 2]) and not same([1], [1, 2])
    assert same(torch.ones(2), torch.ones(2)) and not same(torch.ones(2), torch.zeros(2))
    assert same(molecule("water"), molecule("water")) and not same(molecule("water"), molecule("ammonia"))
    assert same(1, 1.0) and not same(1, "1")


def test_dataclasses_inside_are_compared_field_by_field():
    @dataclass(frozen=True)
    class Plain:
        numbers: np.ndarray

    assert same(Plain(np.ones(3)), Plain(np.ones(3))) and not same(Plain(np.ones(3)), Plain(np.zeros(3)))


def test_objects_of_users():
    water = molecule("water")
    assert point_group(water) == point_group(water) != point_group(molecule("ammonia"))
    vector = PropertyPrediction(np.arange(3.0), 0.1)
    assert vector == replace(vector) != replace(vector, std=0.2)
    assert hash(PropertyPrediction(1.5, 0.1)) == hash(PropertyPrediction(1.5, 0.1))


def test_settings_are_equal_by_value():
    settings = hamlearn.FeatureSettings(max_l=3)
    assert settings == hamlearn.FeatureSettings(max_l=3) != hamlearn.FeatureSettings()
