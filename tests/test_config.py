"""config: each setting checks itself, and goes to JSON and back."""

import dataclasses
import json

import pytest

from plankton_keras.config import MODELS, PRESETS, PredictConfig, RecordsConfig, TrainConfig, parse_gray_range
from plankton_keras.errors import SettingError

CONFIGS = (RecordsConfig, TrainConfig, PredictConfig)

NAMED = "Fix: give settings by the names that `plankton train --help` lists, with _ for -."


def text_of(call, *args, **kwargs):
    with pytest.raises(SettingError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_defaults_are_legal_and_every_setting_has_a_help_sentence(kind):
    kind()
    for item in dataclasses.fields(kind):
        assert item.metadata["help"].endswith("."), item.name


def limits():
    for kind in CONFIGS:
        for item in dataclasses.fields(kind):
            for side, sign in (("low", -1), ("high", 1)):
                if item.metadata[side] is not None:
                    yield kind, item.name, item.metadata[side], sign * (item.metadata["multiple"] or 1)


@pytest.mark.parametrize(("kind", "name", "limit", "step"), limits())
def test_the_limit_of_a_setting_is_legal_and_what_is_beyond_it_is_not(kind, name, limit, step):
    assert getattr(kind(**{name: limit}), name) == limit
    assert text_of(kind, **{name: limit + step}).startswith(f"--{name.replace('_', '-')} is {limit + step!r}.\n")


def test_a_value_out_of_a_closed_range_names_both_ends():
    assert text_of(RecordsConfig, ground_keep=1.5) == (
        "--ground-keep is 1.5.\nExpected: a number from 0.0 to 1.0.\nFix: choose another --ground-keep."
    )


def test_a_value_below_an_open_range_names_the_low_end():
    assert text_of(TrainConfig, epochs=0) == (
        "--epochs is 0.\nExpected: a number at least 1.\nFix: choose another --epochs."
    )


@pytest.mark.parametrize(
    ("kind", "name", "value", "near"),
    [
        # 500 / 64 = 7.8, so the nearest multiple is 8 * 64.
        (RecordsConfig, "patch_size", 500, 512),
        # 65 / 64 = 1.02, so 64.
        (TrainConfig, "window", 65, 64),
        # 1000 / 64 = 15.6, so 16 * 64.
        (PredictConfig, "tile", 1000, 1024),
        # 4095 / 64 = 63.98, so the largest legal size.
        (RecordsConfig, "patch_size", 4095, 4096),
    ],
)
def test_a_size_that_is_no_multiple_of_64_is_refused_with_a_legal_one(kind, name, value, near):
    flag = "--" + name.replace("_", "-")
    text = text_of(kind, **{name: value})
    assert text == f"{flag} is {value}.\nExpected: a multiple of 64, such as {near}.\nFix: choose another {flag}."
    assert getattr(kind(**{name: near}), name) == near


def test_an_unknown_choice_names_the_closest_and_lists_all():
    assert text_of(TrainConfig, model="unte") == (
        "--model is 'unte'. Did you mean \"unet\"?\n"
        f"Expected: one of {', '.join(MODELS)}.\n"
        "Fix: choose another --model."
    )


def test_an_unknown_choice_that_is_close_to_nothing_only_lists_all():
    assert text_of(TrainConfig, loss="xyz") == (
        "--loss is 'xyz'.\nExpected: one of bce_dice, focal, tversky.\nFix: choose another --loss."
    )


@pytest.mark.parametrize("item", [item for item in dataclasses.fields(TrainConfig) if item.metadata["choices"]])
def test_every_choice_that_is_listed_is_legal(item):
    for word in item.metadata["choices"]:
        assert getattr(TrainConfig(**{item.name: word}), item.name) == word
    assert item.default in item.metadata["choices"]


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_with_no_default_left_survives_json(kind):
    words = {
        "gray_range": "599:50043",
        "target": "classes.csv",
        "weights": "b4.h5",
        "threshold": 0.25,
        "full_resolution": True,
        "probabilities": True,
        "pixels_only": True,
        "turns": True,
        "split_by": "day",
        "wanted": "recall=0.9",
    }

    def other(item):
        rules, default = item.metadata, item.default
        if rules["choices"]:
            return next(word for word in rules["choices"] if word != default)
        if item.name in words:
            return words[item.name]
        step = rules["multiple"] or (0.001 if isinstance(default, float) else 1)
        return default + step if rules["high"] is None or default + step <= rules["high"] else default - step

    values = {item.name: other(item) for item in dataclasses.fields(kind)}
    config = kind(**values)
    assert not [name for name, value in config.to_json().items() if value == kind.__dataclass_fields__[name].default]
    assert kind.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_empty_object_gives_the_defaults(kind):
    assert kind.from_json({}) == kind()


@pytest.mark.parametrize(("kind", "command"), zip(CONFIGS, ("make-tfrecords", "train", "predict"), strict=True))
def test_an_unknown_name_is_refused_with_its_source_and_the_command_that_lists_the_names(kind, command):
    hint = "" if kind is PredictConfig else ' Did you mean "seed"?'
    assert text_of(kind.from_json, {"sede": 1, "zzz": 1}, "run/config.json") == (
        f"run/config.json: there is no setting 'sede'.{hint}\n"
        f"Expected: the names that `plankton {command} --help` lists, with _ for -.\n"
        "Fix: correct or remove it."
    )


def test_a_value_out_of_range_in_a_file_is_refused_as_on_the_command_line():
    assert text_of(TrainConfig.from_json, {"window": 100}) == text_of(TrainConfig, window=100)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_builds_and_sets_what_it_says_and_nothing_else(preset):
    expected = {**TrainConfig().to_json(), **PRESETS[preset]}
    assert TrainConfig(**PRESETS[preset]).to_json() == expected


def test_the_default_preset_is_the_defaults():
    assert PRESETS["default"] == {}


def test_settings_cannot_be_changed_or_given_by_position():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3
    with pytest.raises(TypeError):
        TrainConfig("unet")


def test_a_config_file_gives_its_settings(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"epochs": 3}))
    assert TrainConfig.values_of_file(path) == {"epochs": 3}


def test_a_missing_config_file_is_named(tmp_path):
    path = tmp_path / "config.json"
    assert text_of(TrainConfig.values_of_file, path) == (
        f"--config {path} cannot be read: [Errno 2] No such file or directory: '{path}'.\n"
        f"Expected: a JSON file.\n{NAMED}"
    )


def test_a_cut_config_file_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"epochs": ')
    assert text_of(TrainConfig.values_of_file, path) == (
        f"--config {path} cannot be read: Expecting value: line 1 column 12 (char 11).\nExpected: a JSON file.\n{NAMED}"
    )


def test_a_config_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xff\xfe")
    assert text_of(TrainConfig.values_of_file, path).startswith(f"--config {path} cannot be read: 'utf-8' codec")


@pytest.mark.parametrize(("content", "kind"), [("[1]", "list"), ('"epochs"', "str"), ("null", "NoneType")])
def test_a_config_file_without_an_object_is_refused(tmp_path, content, kind):
    path = tmp_path / "config.json"
    path.write_text(content)
    assert text_of(TrainConfig.values_of_file, path) == (
        f"--config {path} holds a {kind}.\nExpected: a JSON object.\n{NAMED}"
    )


def test_gray_ranges_are_two_numbers_or_nothing():
    assert parse_gray_range("599:50043") == (599, 50043)
    assert parse_gray_range("0:65536") == (0, 65536)
    assert parse_gray_range("") is None


@pytest.mark.parametrize(
    "text", ["5", "5:", ":5", "5:5", "9:5", "-1:5", "1:65537", "1.5:3", "1:2:3", "a:b", "1:" + "2" * 5000]
)
def test_anything_else_is_no_gray_range(text):
    assert text_of(parse_gray_range, text) == (
        f"--gray-range is {text!r}.\nExpected: LOW:HIGH, whole numbers with LOW below HIGH, 65536 at most.\n"
        "Fix: use for example 599:50043."
    )


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"epochs": "3"}, "a whole number."),
        ({"epochs": 2.5}, "a whole number."),
        ({"epochs": True}, "a whole number."),
        ({"window": None}, "a whole number."),
        ({"learning_rate": float("nan")}, "a number."),
        ({"full_resolution": "no"}, "true or false."),
        ({"model": 3}, "a text."),
    ],
)
def test_a_setting_of_another_type_is_refused(settings, wanted):
    (name,) = settings
    with pytest.raises(SettingError) as caught:
        TrainConfig.from_json(settings)
    assert str(caught.value).startswith(f"--{name.replace('_', '-')} is {settings[name]!r}.")
    assert caught.value.expected == wanted


def test_a_whole_number_will_do_for_a_number():
    assert TrainConfig(learning_rate=1).learning_rate == 1
    assert PredictConfig(threshold=None).threshold is None


def test_many_classes_are_computed_in_smaller_windows():
    # 16 * 2048**2 / 62 is the square of 1040, of which 1024 is the multiple of 64.
    assert PredictConfig().for_classes(62) == PredictConfig(tile=1024)
    assert PredictConfig(tile=512).for_classes(62) == PredictConfig(tile=512)
    # Never less than eight times the context, or most of a window would not count.
    assert PredictConfig(tile=2048, context=200).for_classes(62).tile == 1600
    assert PredictConfig(tile=2048, context=512).for_classes(62).tile == 2048
