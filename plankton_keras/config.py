"""Every setting, its default and its range. The command line reads its options here; a run saves them as config.json.

Each setting says what it is in `help`; ranges and choices are checked when a config is made.
"""

import dataclasses
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from plankton_keras.errors import SettingError, did_you_mean

# Models halve their input up to six times, so every window is a multiple of this many pixels.
STRIDE = 64
# Probabilities computed at once, at most: 0.27 GB, of which a network holds a few copies.
PROBABILITIES = 16 * 2048**2
NAMES_OF_TYPES = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
# Words for where an encoder's weights come from, beside runs and files.
STARTS = ("auto", "plankton", "imagenet", "none")
ENCODERS = (
    *("mobilenet", "mobilenet_075", "mobilenetv2", "mobilenetv2_035", "resnet50"),
    *(f"efficientnet_b{index}" for index in range(5)),
    *(f"efficientnetv2_b{index}" for index in range(4)),
)
# Of patches; what classifies vignettes is named after its encoder alone.
SEGMENTATION_MODELS = ("unet", *(f"{name}_unet" for name in ENCODERS))
MODELS = (*SEGMENTATION_MODELS, *ENCODERS)


def setting(default, help, low=None, high=None, choices=None, multiple=None, parse=None):
    """Declares a setting of a config.

    Args:
        default: Value where the user says nothing; its type is the setting's type.
        help: One sentence for `--help`.
        low: Smallest legal value, or None.
        high: Largest legal value, or None.
        choices: The legal words, or None.
        multiple: What the value must be a multiple of, or None.
        parse: Function that refuses what it cannot read, or None.

    Returns:
        A dataclass field.
    """
    # A setting that defaults to None is a number that may be left open.
    types = {int: (int,), float: (float, int), str: (str,), bool: (bool,), type(None): (float, int)}[type(default)]
    rules = {"help": help, "low": low, "high": high, "choices": choices, "multiple": multiple, "types": types}
    return field(default=default, metadata={**rules, "parse": parse})


def _broken_rule(value, rules):
    """Words the rule of a setting that a value breaks; None if it keeps them."""
    kinds = rules["types"]
    is_number = float in kinds and isinstance(value, float | int)
    if (
        isinstance(value, bool) != (bool in kinds)
        or not isinstance(value, kinds)
        or (is_number and not abs(value) <= sys.float_info.max)
    ):
        return f"{NAMES_OF_TYPES[kinds[0]]}."
    if rules["choices"]:
        return None if value in rules["choices"] else f"one of {', '.join(rules['choices'])}."
    low, high, multiple = rules["low"], rules["high"], rules["multiple"]
    if (low is not None and value < low) or (high is not None and value > high):
        return f"a number at least {low}." if high is None else f"a number from {low} to {high}."
    if multiple and value % multiple:
        return f"a multiple of {multiple}, such as {max(low, round(value / multiple) * multiple)}."
    return None


def parse_gray_range(text):
    """Reads LOW:HIGH.

    Args:
        text: Two whole numbers with a colon, or "".

    Returns:
        `(low, high)` with `low < high`, or None for "".

    Raises:
        SettingError: If it is anything else.

    Example:

    >>> parse_gray_range("599:50043")
    (599, 50043)
    """
    if not text:
        return None
    numbers = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text, re.ASCII)
    low, high = map(int, numbers.groups()) if numbers else (0, 0)
    if not low < high <= 65536:
        raise SettingError(
            f"--gray-range is {text!r}.",
            "LOW:HIGH, whole numbers with LOW below HIGH, 65536 at most.",
            "use for example 599:50043.",
        )
    return low, high


def parse_wanted(text):
    """Reads what a threshold is wanted for.

    Args:
        text: `precision=SHARE` or `recall=SHARE`, or "".

    Returns:
        `(name, share)`, or None for "".

    Raises:
        SettingError: If it is neither, or the share is not between 0 and 1.

    Example:

    >>> parse_wanted("recall=0.95")
    ('recall', 0.95)
    """
    if not text:
        return None
    name, _, share = text.partition("=")
    try:
        if name in ("precision", "recall") and 0 < float(share) < 1:
            return name, float(share)
    except ValueError:
        pass
    raise SettingError(
        f"wanted is {text!r}.", "precision=SHARE or recall=SHARE, between 0 and 1.", "such as --wanted recall=0.95."
    )


def _check_name(text):
    """Refuses a name that cannot stand in a URL."""
    if not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise SettingError(f"--name is {text!r}.", "letters, digits, - and _.", "choose another --name.")


class Config:
    """What all configs do: check themselves, and go to JSON and back."""

    def __post_init__(self):
        """Checks each setting against its rules.

        Raises:
            SettingError: If a setting breaks one, with the name of its flag.
        """
        for item in dataclasses.fields(self):
            value, rules = getattr(self, item.name), item.metadata
            wanted = None if value is None and item.default is None else _broken_rule(value, rules)
            if wanted:
                flag = "--" + item.name.replace("_", "-")
                hint = did_you_mean(value, rules["choices"]) if rules["choices"] else ""
                raise SettingError(f"{flag} is {value!r}.{hint}", wanted, f"choose another {flag}.")
            if rules["parse"]:
                rules["parse"](value)

    def to_json(self):
        """Gives the settings as a dictionary of plain values.

        Example:

        >>> RecordsConfig(patch_size=256).to_json()["patch_size"]
        256
        """
        return dataclasses.asdict(self)

    @classmethod
    def names(cls):
        """Gives the names of the settings, in order."""
        return [item.name for item in dataclasses.fields(cls)]

    @classmethod
    def from_json(cls, values, source="the settings"):
        """Makes a config of a dictionary, such as an earlier run saved.

        Args:
            values: Settings by name; the others keep their defaults.
            source: Where the values come from, for the error.

        Raises:
            SettingError: If a name is unknown or a value is out of range.

        Example:

        >>> TrainConfig.from_json({"epoch": 3})
        Traceback (most recent call last):
        plankton_keras.errors.SettingError: the settings: there is no setting 'epoch'. Did you mean "epochs"?
        Expected: the names that `plankton train --help` lists, with _ for -.
        Fix: correct or remove it.
        """
        if not isinstance(values, dict):
            raise SettingError(f"{source} holds a {type(values).__name__}.", "a JSON object.", "write it anew.")
        for name in values:
            if name not in cls.names():
                raise SettingError(
                    f"{source}: there is no setting {name!r}.{did_you_mean(name, cls.names())}",
                    f"the names that `plankton {cls.command} --help` lists, with _ for -.",
                    "correct or remove it.",
                )
        return cls(**values)

    @classmethod
    def of_file(cls, values, path):
        """Makes a config of what a file holds, as `from_json`; every error names the file.

        Args:
            values: What the file holds.
            path: The file.

        Raises:
            SettingError: As `from_json`.

        Example:

        >>> TrainConfig.of_file({"epochs": 0}, "run/config.json")
        Traceback (most recent call last):
        plankton_keras.errors.SettingError: run/config.json: --epochs is 0.
        Expected: a number at least 1.
        Fix: choose another --epochs.
        """
        try:
            return cls.from_json(values, str(path))
        except SettingError as error:
            said = error.what if error.what.startswith(str(path)) else f"{path}: {error.what}"
            raise SettingError(said, error.expected, error.fix) from None

    @classmethod
    def values_of_file(cls, path):
        """Reads the settings that a JSON file gives; a run's config.json is such a file.

        Args:
            path: A JSON file with one object.

        Returns:
            A dictionary.

        Raises:
            SettingError: If the file is missing or no JSON object, or as `of_file`.
        """
        fix = f"give settings by the names that `plankton {cls.command} --help` lists, with _ for -."
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
            # Half a letter can be read, but neither printed nor written.
            json.dumps(values, ensure_ascii=False).encode()
        except (OSError, ValueError, RecursionError) as error:
            raise SettingError(f"--config {path} cannot be read: {error}.", "a JSON file.", fix) from None
        if not isinstance(values, dict):
            raise SettingError(f"--config {path} holds a {type(values).__name__}.", "a JSON object.", fix)
        cls.of_file(values, path)
        return values


@dataclass(frozen=True, kw_only=True)
class RecordsConfig(Config):
    """How scans and masks become records."""

    command = "make-tfrecords"

    patch_size: int = setting(512, "Side of the patches in pixels.", low=64, high=4096, multiple=STRIDE)
    target: str = setting("living", "The classes: 'living', 'taxa', or a CSV file with the columns id,class[,living].")
    living_from: int = setting(8, "Lowest living id of a mask where no taxa.csv says it.", low=1, high=65535)
    min_objects: int = setting(20, "Objects that a taxon needs to be a class of --target taxa.", low=1)
    ground_keep: float = setting(0.1, "Share of the training patches without any object to keep.", low=0.0, high=1.0)
    val_fraction: float = setting(
        0.2, "Share of the scans for validation where there are no train/ and val/ folders.", low=0.0, high=0.9
    )
    split_by: str = setting("", "Column of samples.csv, such as date: scans of one value stay in one split or fold.")
    folds: int = setting(
        0, "Parts for cross-validation, as many as scans to leave out one at a time; one part becomes val.", low=0
    )
    fold: int = setting(0, "Which of the --folds becomes val, from 0.", low=0)
    gray_range: str = setting(
        "", "LOW:HIGH of 16-bit scans; without it the ZooProcess rule finds them.", parse=parse_gray_range
    )
    vignette_size: int = setting(96, "Side that vignettes are scaled to in pixels.", low=32, high=512, multiple=32)
    patches_per_shard: int = setting(256, "Patches in a shard, about.", low=1)
    seed: int = setting(0, "Decides the split and the empty patches kept.", low=0, high=2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """How a model is built and trained."""

    command = "train"

    model: str = setting("unet", "The network.", choices=MODELS)
    width: int = setting(16, "Channels of the first level of a unet.", low=4, high=128)
    depth: int = setting(6, "Levels of a unet.", low=2, high=6)
    full_resolution: bool = setting(False, "Build the unet without its half-resolution stem: 4 times slower.")
    weights: str = setting("auto", "Start of an encoder: auto, plankton, imagenet, none, a run, or a file of weights.")
    frozen_epochs: int = setting(
        0, "Epochs in which an encoder stays as it is; it thaws over as many more, then learns at a third.", low=0
    )
    pixels_only: bool = setting(False, "Leave out the classifier of whole objects that a network of pixels gets.")
    epochs: int = setting(5, "Number of epochs.", low=1)
    steps_per_epoch: int = setting(200, "Batches an epoch; 0 is one pass over the records.", low=0)
    batch_size: int = setting(4, "Patches a batch.", low=1)
    window: int = setting(384, "Side of the training window cut from each patch.", low=64, high=4096, multiple=STRIDE)
    learning_rate: float = setting(2e-3, "Peak of the learning rate (AdamW, warm-up, cosine decay).", low=0.0)
    weight_decay: float = setting(4e-3, "Decay of the weights (AdamW).", low=0.0)
    loss: str = setting("bce_dice", "The loss.", choices=("bce_dice", "focal", "tversky"))
    class_weights: str = setting(
        "none", "Weights of the classes in the loss: none, or balanced by their share.", choices=("none", "balanced")
    )
    augmentation: str = setting("strong", "Strength of the augmentation.", choices=("none", "light", "strong"))
    patience: int = setting(0, "Epochs without a better validation F1 before training stops; 0 never stops.", low=0)
    precision: str = setting(
        "auto",
        "Arithmetic; auto is float32 on CPU and mixed on GPU.",
        choices=("auto", "float32", "mixed_float16", "mixed_bfloat16"),
    )
    seed: int = setting(0, "Seed of weights, order and augmentation.", low=0, high=2**31 - 1)


# What `--preset` changes of the defaults above; time and score of each stand in docs/experiments.md.
PRESETS = {
    "quick": {"epochs": 4, "steps_per_epoch": 90},
    "default": {},
    "best": {"epochs": 60, "steps_per_epoch": 0, "augmentation": "strong", "width": 32},
}
# The same for records of vignettes.
VIGNETTE_PRESETS = {
    name: {
        "model": "mobilenet_075",
        "batch_size": 64,
        "steps_per_epoch": 0,
        "augmentation": "strong",
        "learning_rate": 1e-3,
        "weight_decay": 0.05,
        "epochs": epochs,
    }
    for name, epochs in (("quick", 3), ("default", 12), ("best", 40))
}


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Config):
    """How a whole scan is predicted."""

    command = "predict"

    tile: int = setting(
        1536, "Largest side of the windows computed at once in pixels.", low=128, high=8192, multiple=STRIDE
    )
    context: int = setting(64, "Pixels that a window sees beyond what it owns.", low=0, high=2048)
    batch_size: int = setting(0, "Windows a call; 0 is as many as have half the pixels of one of --tile.", low=0)
    threshold: float | None = setting(
        None, "Probability from which a pixel counts as found; without it the run's own.", low=0.0, high=1.0
    )
    wanted: str = setting(
        "", "precision=0.95 or recall=0.95: the threshold that has it on the validation scans.", parse=parse_wanted
    )
    min_area: int = setting(60, "Objects of fewer pixels are dropped.", low=0)
    turns: bool = setting(False, "Test-time augmentation: average over the eight flips and turns, 8 times slower.")
    probabilities: bool = setting(False, "Also write STEM_probability.tif (uint8, 255 = 1).")
    gray_range: str = setting(
        "", "LOW:HIGH of 16-bit scans; without it the ZooProcess rule finds them.", parse=parse_gray_range
    )

    def for_classes(self, num_classes):
        """Lowers the largest side of a window where classes are many, since each pixel has a probability for each.

        Args:
            num_classes: Number of classes, class 0 included.

        Returns:
            A `PredictConfig`; a window still owns three quarters of what it reads along a side, if it did before.

        Example:

        >>> [PredictConfig().for_classes(count).tile for count in (2, 16, 62)]
        [1536, 1536, 1024]
        """
        largest = STRIDE * int((PROBABILITIES / num_classes) ** 0.5 / STRIDE)
        return dataclasses.replace(self, tile=min(self.tile, max(largest, STRIDE * -(-8 * self.context // STRIDE))))


@dataclass(frozen=True, kw_only=True)
class ServeConfig(Config):
    """How the service listens, and what it takes."""

    command = "serve"

    host: str = setting("127.0.0.1", "Where to listen; another host than this machine needs a --token.")
    port: int = setting(8501, "Port; 0 is any that is free.", low=0, high=65535)
    name: str = setting("plankton", "Name of the model in the URL.", parse=_check_name)
    batch_size: int = setting(16, "Patches computed at once, at most.", low=1, high=1024)
    wait_ms: float = setting(5.0, "Milliseconds that a patch waits for others that are on their way.", low=0, high=1000)
    max_requests: int = setting(128, "Requests for patches at once; further ones are answered 429.", low=1, high=10000)
    max_request_mb: int = setting(16, "MB of a request for patches.", low=1, high=1024)
    max_request_megapixels: float = setting(4.0, "Megapixels of a request for patches.", low=0.01, high=1000)
    max_upload_gb: int = setting(8, "GB of a scan.", low=1, high=1000)
    max_megapixels: float = setting(1000.0, "Megapixels of a scan.", low=1, high=8000)
    max_jobs: int = setting(20, "Scans that wait or are worked on; further ones are answered 429.", low=1)
    keep_hours: float = setting(72.0, "Hours that results are kept.", low=0.01)
    request_seconds: float = setting(30.0, "Seconds in which a request is to arrive.", low=1, high=3600)
