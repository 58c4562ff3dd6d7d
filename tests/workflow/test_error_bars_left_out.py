"""Whether a run fits error bars where its file says nothing."""

import pytest
import yaml
from ase.build import molecule

from hamlearn.config import FockTarget, LowdinTarget, SplitSettings, build_config, dump_config, installed_versions
from hamlearn.workflow.automatic.choosing import begun, n_targets_of
from hamlearn.workflow.automatic.error_bars import with_error_bars

WATERS = [molecule("H2O")] * 30


def config_of(tmp_path, **model):
    return build_config(
        {"structures": {"file": str(tmp_path / "w.xyz")}, "split": {"train": 30, "test": 5}, "model": model}
    )


def chosen(config, n=30):
    structures = WATERS[:n] if n <= 30 else WATERS[:1] * n
    config, choices = with_error_bars(config, structures, n_targets_of(config, [1, 8]))
    return config, [choice.why for choice in choices]


@pytest.mark.parametrize(
    "model", [{}, {"features": {"kind": "bond_frame"}}, {"kind": "kernel", "kernel": {"kind": "bond_frame"}}]
)
def test_features_and_processes_have_them(tmp_path, model):
    config, words = chosen(config_of(tmp_path, **model))
    assert config.model.error_bars is True and "model.error_bars: false" in words[0]


@pytest.mark.parametrize("target", [LowdinTarget(), FockTarget()])
def test_full_bases_have_them_if_asked(tmp_path, target):
    given = config_of(tmp_path).model_copy(update={"target": target})
    config, words = chosen(given)
    assert config.model.error_bars is False and "in a full basis" in words[0]
    asked = given.model_copy(update={"model": given.model.model_copy(update={"error_bars": True})})
    assert chosen(asked) == (asked, [])


def test_what_is_said_stays(tmp_path):
    config, words = chosen(config_of(tmp_path, error_bars=False))
    assert config.model.error_bars is False and words == []


def test_kernels_of_pairs_have_them_if_asked(tmp_path):
    config, words = chosen(config_of(tmp_path, kind="kernel"))
    assert config.model.error_bars is None and words == []


@pytest.mark.parametrize("n", [10, 3000])
def test_few_structures_do_not_tell_their_scale_and_many_take_long(tmp_path, n):
    config, words = chosen(config_of(tmp_path), n)
    assert config.model.error_bars is False and f"{n} training structures" in words[0]


def test_without_memory_there_are_none_and_it_is_said(tmp_path):
    config, words = chosen(config_of(tmp_path, memory_gb=1e-6))
    assert config.model.error_bars is False and "memory_gb" in words[0]


def test_a_run_that_was_begun_goes_on_as_it_was(tmp_path):
    config = config_of(tmp_path)
    (tmp_path / "config.yaml").write_text(dump_config(config, installed_versions()))
    assert begun(config, tmp_path / "config.yaml", WATERS).model.error_bars is None
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["model"]["error_bars"] is None


def test_a_run_that_goes_on_with_another_model_or_more_structures_chooses_them_anew(tmp_path):
    path, few = (
        tmp_path / "config.yaml",
        config_of(tmp_path).model_copy(update={"split": SplitSettings(train=10, test=5)}),
    )
    path.write_text(dump_config(chosen(few, 10)[0], installed_versions()))
    assert begun(few, path, WATERS).model.error_bars is False
    assert begun(config_of(tmp_path), path, WATERS).model.error_bars is True
    path.write_text(dump_config(chosen(config_of(tmp_path))[0], installed_versions()))
    process = config_of(tmp_path, kind="kernel", kernel={"kind": "bond_frame"})
    assert begun(process, path, WATERS).model.error_bars is True
    many = process.model_copy(update={"split": SplitSettings(train=600, test=5)})
    assert begun(many, path, WATERS * 21).model.error_bars is False
    assert begun(config_of(tmp_path, kind="kernel"), path, WATERS).model.error_bars is None
