"""One door for saved models of any kind."""

import shutil

import pytest
from properties import labelled, model, molecules
from water_models import change_spec

import hamlearn
from hamlearn.errors import ArtifactError, ConfigError
from hamlearn.model.hamiltonian import HamiltonianModel
from hamlearn.model.loading import load_model, model_classes
from hamlearn.model.property import PropertyModel


@pytest.fixture(scope="module")
def folders(saph, tmp_path_factory):
    parent = tmp_path_factory.mktemp("folders")
    saph["ridge"].save(parent / "matrix")
    model().fit(labelled(molecules(6))).save(parent / "property")
    return parent


def test_models_of_either_kind_load_through_one_door(folders):
    assert hamlearn.load_model is load_model
    for name, expected in (("matrix", HamiltonianModel), ("property", PropertyModel)):
        for path in (folders / name, str(folders / name)):
            loaded = load_model(path)
            assert type(loaded) is expected and loaded.is_fitted
    assert {HamiltonianModel.KIND: HamiltonianModel, PropertyModel.KIND: PropertyModel} == model_classes()


def test_a_folder_of_the_other_kind_is_no_whole_model(folders, tmp_path):
    """What only one kind has is missing."""
    for name, kind in (("matrix", "property_model"), ("property", "hamiltonian_model")):
        folder = shutil.copytree(folders / name, tmp_path / name)
        change_spec(folder, kind=kind)
        with pytest.raises(ArtifactError, match="not a whole model"):
            load_model(folder)


@pytest.mark.usefixtures("own_learners")
def test_a_learner_that_nobody_registered_is_named(folders, tmp_path):
    folder = shutil.copytree(folders / "matrix", tmp_path / "matrix")
    change_spec(folder, model={"kind": "nearest"})
    with pytest.raises(ConfigError, match=r"kind.*'nearest'"):
        load_model(folder)


def test_what_is_no_folder_of_a_model_is_refused(tmp_path):
    (tmp_path / "file").write_text("model")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(ArtifactError, match=r"holds no model\.yaml; give a model folder, such as OUT/model"):
            load_model(path)
