"""Settings given in Python are refused in the words of the command line."""

from __future__ import annotations

import copy
import pickle
from typing import ClassVar, Literal

import pytest
from pydantic import Field

from hamlearn.config import (
    Config,
    FeatureSettings,
    KernelSettings,
    ModelSettings,
    QMSettings,
    Section,
    SplitSettings,
    TargetSettings,
    WignerSettings,
    build_config,
    changed_section,
)
from hamlearn.config.union import KindOf
from hamlearn.errors import ConfigError

WHOLE = {"structures": {"file": "water.xyz"}, "split": {"train": 8, "test": 2}}


def refusal(make, *given, **settings) -> str:
    with pytest.raises(ConfigError) as caught:
        make(*given, **settings)
    text = str(caught.value)
    assert "pydantic" not in text and "http" not in text
    return text


@pytest.mark.parametrize(
    ("section", "settings", "words"),
    [
        (FeatureSettings, {"max_ll": 3}, "max_ll: unknown setting; did you mean 'max_l'?"),
        (FeatureSettings, {"max_l": 9}, "max_l: must be at most 8, got 9"),
        (FeatureSettings, {"max_l": True}, "max_l: true and false are not accepted here"),
        (FeatureSettings, {"scaling": {"rat": 1}}, "scaling.rat: unknown setting; did you mean 'rate'?"),
        (FeatureSettings, {"scaling": 3}, "scaling: expected a section of settings (name: value), got 3"),
        (FeatureSettings, {"rate": 3}, "rate: unknown setting; did you mean 'scaling.rate'?"),
        (FeatureSettings, {"cutoff_angstrom": 0.4}, "cutoff_angstrom 0.4 must exceed cutoff_width_angstrom"),
        (
            QMSettings,
            {"method": "GHF"},
            "method: expected one of 'RHF', 'RKS', 'UHF', 'UKS', 'ROHF' or 'ROKS', got 'GHF'",
        ),
        (QMSettings, {"method": "RKS"}, "method RKS needs xc, a functional spelled out such as pbe, pbe0 or b3lypg"),
        (QMSettings, {"conv_tol": float("nan")}, "conv_tol: expected a finite number, got nan"),
        (SplitSettings, {"train": 8}, "test is required: number of test structures"),
        (SplitSettings, {"train": 8, "test": 2, "curve": (4, "x")}, "curve[1]: expected a whole number, got 'x'"),
        (KernelSettings, {"grid": {"max_k": (1,)}}, "grid: grid names max_k, expected settings among smearing"),
        (
            WignerSettings,
            {"grid": {"zeta": (1,)}},
            "grid: grid names zeta, expected settings among max_l, max_nu_centre",
        ),
        (WignerSettings, {"grid": {"rate": ()}}, "grid: rate is empty; give values to choose among"),
        (WignerSettings, {"grid": {"max_l": [1, 99]}}, "grid: max_l[1]: must be at most 6, got 99"),
        (WignerSettings, {"grid": {"max_l": [1.5]}}, "grid: max_l[0]: expected a whole number, got 1.5"),
        (WignerSettings, {"grid": {"max_l": [1, None]}}, "grid: max_l[1]: expected a whole number, got nothing"),
        (WignerSettings, {"grid": {"max_l": [1, True]}}, "grid: max_l[1]: true and false are not accepted here"),
        (WignerSettings, {"grid": {"rate": [1, "x"]}}, "grid: rate[1]: expected a number, got 'x'"),
        (KernelSettings, {"grid": {"cutoff_angstrom": [float("inf")]}}, "grid: cutoff_angstrom[0]: expected a finite"),
        (KernelSettings, {"grid": {"smearing_angstrom": [0.1, 0]}}, "grid: smearing_angstrom[1]: must be larger than"),
        (KernelSettings, {"grid": {"zeta": [1, 2]}}, "grid: zeta 2: zeta belongs to the kinds order and soap"),
        (
            WignerSettings,
            {"grid": {"max_l": [1], "cutoff_angstrom": [3, 0.4]}},
            "grid: max_l 1, cutoff_angstrom 0.4: cutoff_angstrom 0.4 must exceed cutoff_width_angstrom",
        ),
        (WignerSettings, {"grid": {"rate": 1}}, "grid: expected lists of values by setting, such as"),
        (KernelSettings, {"rate": 1}, "rate: unknown setting of this kind; remove it, or set kind: pairs"),
        (ModelSettings, {"active": 3}, "active: unknown setting of this kind; remove it, or set kind: kernel"),
        (
            ModelSettings,
            {"kind": "kernel", "max_features": 3},
            "max_features: unknown setting of this kind; remove it, or",
        ),
        (ModelSettings, {"kind": "kernel", "kernel": {"rate": -1}}, "kernel.rate: must be at least 0, got -1"),
        (ModelSettings, {"features": None}, "features: expected a section of settings (name: value), got nothing"),
        (TargetSettings, {"kind": "property"}, "key is required: its name in the structures file"),
        (
            TargetSettings,
            {"kind": "fock", "form": "orthogonal"},
            "form: unknown setting of this kind; remove it, or set",
        ),
    ],
)
def test_one_section(section, settings, words):
    for make in (lambda: section(**settings), lambda: section.model_validate(settings)):
        assert refusal(make).startswith(words)


def test_values_of_a_grid_are_those_of_their_settings():
    grid = WignerSettings(grid={"max_l": [1, 2.0], "rate": (1, 0.5, None)}).grid
    assert grid == {"max_l": (1, 2), "rate": (1.0, 0.5, None)}
    assert [type(x) for values in grid.values() for x in values] == [int, int, float, float, type(None)]
    assert WignerSettings(**WignerSettings(grid=grid).model_dump(mode="json")).grid == grid


def test_the_words_are_those_of_the_whole_workflow():
    wrong = {"max_ll": 3, "max_n": 0, "scaling": {"exponent": -1}}
    alone = refusal(FeatureSettings, **wrong).splitlines()
    whole = refusal(build_config, {**WHOLE, "model": {"features": wrong}}, "run.yaml").splitlines()
    assert alone[0] == "CoupledFeatures has 3 problems:" and whole[0] == "run.yaml has 3 problems:"
    assert [line.replace("model.features.", "") for line in whole[1:]] == alone[1:]


def test_all_problems_of_all_sections_are_listed_at_once():
    text = refusal(Config, model={"features": {"max_ll": 3}}, qm={"conv_tol": -1}, split={"train": "x"})
    assert text.splitlines()[0] == "Config has 5 problems:"
    for words in (
        "structures is required",
        "qm.conv_tol: must be larger than 0, got -1",
        "model.features.max_ll: unknown setting; did you mean 'max_l'?",
        "split.train: expected a whole number, got 'x'",
        "split.test is required: number of test structures",
    ):
        assert f"\n  {words}" in text


def test_sections_inside_a_configuration_may_be_objects():
    features = FeatureSettings(max_l=2)
    config = Config(**WHOLE, model=ModelSettings(features=features), target=TargetSettings(kind="fock"))
    assert config.model.features is features
    assert config == build_config(
        {**WHOLE, "model": {"features": {"max_l": 2}}, "target": {"kind": "fock"}, "qm": QMSettings()}
    )
    assert config == Config(**WHOLE, model={"features": features}, target=config.target)
    for wrong in (QMSettings(), features, WignerSettings()):
        words = f"model: expected RidgeSettings or KernelRidgeSettings, got {type(wrong).__name__}"
        assert words in refusal(Config, **WHOLE, model=wrong)


def test_the_error_is_a_value_error_too():
    with pytest.raises(ValueError, match="did you mean"):
        FeatureSettings(max_ll=3)
    assert "folds: must be at least 2, got 1" in refusal(changed_section, ModelSettings(), {"folds": 1}, "the grid")


def test_settings_are_frozen_but_copied_and_pickled():
    settings = FeatureSettings(max_l=3)
    assert "CoupledFeatures.max_l cannot be set: settings are frozen" in refusal(setattr, settings, "max_l", 4)
    assert pickle.loads(pickle.dumps(settings)) == copy.deepcopy(settings) == settings
    assert settings.model_copy(update={"max_l": 4}).max_l == 4


class Fit(KindOf, Section):
    """How it is fitted."""

    DEFAULT_KIND: ClassVar[str] = "ridge"

    kind: str = Field(description="which")


class Ridge(Fit):
    """Ridge."""

    kind: Literal["ridge"] = "ridge"
    alpha: float = Field(default=1.0, gt=0, description="regularisation")


class Forest(Fit):
    """Forest."""

    kind: Literal["forest", "wood"] = "forest"
    trees: int = Field(default=10, ge=1, description="how many")


class Choice(Section):
    """A choice."""

    model: Fit = Ridge()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ({"kind": "ridge", "alpha": 0}, "model.alpha: must be larger than 0, got 0"),
        ({"kind": "forest", "treess": 3}, "model.treess: unknown setting; did you mean 'trees'?"),
        ({"kind": "rigde"}, "model.kind: expected one of 'ridge', 'forest' or 'wood', got 'rigde'; did you mean "
         "'ridge'?"),
        ({"kind": None}, "model.kind: expected one of 'ridge', 'forest' or 'wood', got nothing"),
        ({"kind": "ridge", "trees": 3}, "model.trees: unknown setting of this kind of model; remove it, or set "
         "model.kind: forest or wood"),
        (3, "model: expected a section of settings (name: value), got 3"),
    ],
)  # fmt: skip
def test_one_of_several_sections_chosen_by_its_kind(model, words):
    assert refusal(Choice, model=model) == words


def test_sections_of_several_kinds():
    assert "model: How it is fitted. (Ridge | Forest)" in Choice.__doc__
    assert repr(Choice(model={"kind": "forest", "trees": 3})) == "Choice(model=Forest(trees=3))"
    assert Choice() == Choice(model={"alpha": 1.0}) == Choice(model=Ridge())
    for made in (Fit(kind="wood", trees=2), Fit.model_validate({"kind": "wood", "trees": 2})):
        assert type(made) is Forest and made == Choice(model=made).model and made.kind == "wood"
    assert type(Fit()) is type(Fit.model_validate({})) is Ridge
    assert copy.deepcopy(Fit(kind="wood")) == pickle.loads(pickle.dumps(Fit(kind="wood"))) == Forest(kind="wood")
    assert refusal(Fit, kind="tree") == "kind: expected one of 'ridge', 'forest' or 'wood', got 'tree'"
    schema = Choice.model_json_schema()["properties"]["model"]["anyOf"]
    assert [sorted(one["properties"]) for one in schema] == [["alpha", "kind"], ["kind", "trees"]]


def test_a_kind_defined_later_is_known_at_once():
    class Dish(KindOf, Section):
        """A dish."""

        DEFAULT_KIND: ClassVar[str] = "soup"

        kind: str = Field(description="which")

    class Soup(Dish):
        """Soup."""

        kind: Literal["soup"] = "soup"

    class Menu(Section):
        """A menu."""

        dish: Dish = Soup()

    assert "dish.kind: expected one of 'soup', got 'cake'" in refusal(Menu, dish={"kind": "cake"})

    class Cake(Dish):
        """Cake."""

        kind: Literal["cake"] = "cake"
        layers: int = Field(default=1, description="how high")

    assert Menu(dish={"kind": "cake", "layers": 2}).dish == Dish(kind="cake", layers=2) == Cake(layers=2)
    assert refusal(Menu, dish={"layers": 2}).endswith("remove it, or set dish.kind: cake")
