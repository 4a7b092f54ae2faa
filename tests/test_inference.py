"""inference: which threshold is taken, with fakes instead of models."""

import json

import pytest
from untrained import untrained_run

from plankton_keras.config import PredictConfig
from plankton_keras.errors import ArtefactError, SettingError
from plankton_keras.inference import load_predictor
from plankton_keras.predictors import Predictor
from plankton_keras.runs import RETRAIN
from plankton_keras.taxa import living_target

CURVES = {
    "threshold": [0.1, 0.3, 0.5, 0.7],
    "precision": [0.5, 0.8, 0.95, None],
    "recall": [0.99, 0.9, 0.7, 0.4],
    "f1": [0.66, 0.85, 0.79, 0.56],
}


def predictor(**changed):
    fields = {"judge": None, "digest": "", "source": "runs/unet", "target": living_target(), "training_scans": {}}
    return Predictor(None, ("non-living", "living"), 0.3, **{**fields, "curves": CURVES, **changed})


@pytest.mark.parametrize(
    ("settings", "threshold"),
    [
        ({}, 0.3),
        ({"threshold": 0.6}, 0.6),
        ({"threshold": 0.0}, 0.0),
        # What is wanted at the least cost of the other.
        ({"wanted": "precision=0.9"}, 0.5),
        ({"wanted": "precision=0.4"}, 0.1),
        ({"wanted": "recall=0.9"}, 0.3),
        ({"wanted": "recall=0.95"}, 0.1),
        ({"wanted": "recall=0.95", "threshold": 0.2}, 0.2),
    ],
)
def test_the_threshold_is_the_users_or_what_has_what_is_wanted_or_the_runs(settings, threshold):
    assert predictor().threshold_for(PredictConfig(**settings)) == threshold


@pytest.mark.parametrize(
    ("changed", "expected"),
    [({}, "at most precision=0.9500."), ({"curves": {}}, "a run of which validation scans tell it.")],
)
def test_what_no_threshold_has_is_refused(changed, expected):
    with pytest.raises(SettingError) as caught:
        predictor(**changed).threshold_for(PredictConfig(wanted="precision=0.99"))
    assert str(caught.value) == (
        f"runs/unet has no threshold with precision=0.99.\nExpected: {expected}\nFix: give a --threshold."
    )


@pytest.mark.parametrize("text", ["f1=0.9", "precision", "recall=2", "recall=much", "recall=0"])
def test_a_wish_that_is_none_is_refused(text):
    with pytest.raises(SettingError) as caught:
        predictor().threshold_for(PredictConfig(wanted=text))
    assert str(caught.value) == (
        f"wanted is {text!r}.\nExpected: precision=SHARE or recall=SHARE, between 0 and 1.\n"
        "Fix: such as --wanted recall=0.95."
    )


def test_a_model_that_brings_code_of_its_own_is_refused(tmp_path):
    import keras

    values = keras.Input((4,))
    model = keras.Model(values, keras.layers.Lambda(lambda values: values * 2)(values))
    model.save(tmp_path / "model.keras")
    for name, content in {"config": {}, "metrics": {}, "provenance": {}, "thresholds": {"foreground": 0.5}}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(ArtefactError, match=r"model\.keras uses __lambda__, which no model"):
        load_predictor(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("provenance.json", "[]", "holds a list.\nExpected: a JSON object."),
        ("provenance.json", "{}", "is damaged: it has no classes.\nExpected: the file that train wrote."),
        ("thresholds.json", "null", "holds a NoneType.\nExpected: a JSON object."),
        ("thresholds.json", "{}", "is damaged: it has no foreground.\nExpected: the file that train wrote."),
    ],
)
def test_a_file_of_a_run_that_lacks_what_is_read_is_an_error_that_names_it(tmp_path, name, text, problem):
    path = untrained_run(tmp_path).folder / name
    path.write_text(text)
    with pytest.raises(ArtefactError) as caught:
        load_predictor(tmp_path)
    assert str(caught.value) == f"{path} {problem}\nFix: {RETRAIN}"
