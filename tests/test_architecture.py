"""The rules of docs/architecture.md, each a test."""

import ast
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "plankton_keras"
MODULES = sorted(PACKAGE.rglob("*.py"))

# The flow: a module imports only what stands before it.
ORDER = (
    "plankton_keras",
    "errors",
    "allowed",
    "files",
    "tidy",
    "threads",
    "noise",
    "cluster",
    "config",
    "schema",
    "runs",
    "tiles",
    "taxa",
    "image_claims",
    "tiff",
    "images",
    "pairs",
    "samples",
    "sample_columns",
    "sample_tables",
    "zooprocess_metadata",
    "scans",
    "drawings",
    "synthetic",
    "patches",
    "vignette_pictures",
    "vignettes",
    "ecotaxa",
    "ecotaxa.rules",
    "ecotaxa.tables",
    "ecotaxa.values",
    "ecotaxa.header",
    "ecotaxa.parents",
    "ecotaxa.lint",
    "ecotaxa.cells",
    "ecotaxa.package",
    "ecotaxa.labels",
    "lookalikes",
    "leaks",
    "findings",
    "scan_checks",
    "objects",
    "joining",
    "separating",
    "candidates",
    "shift",
    "data",
    "data.codec",
    "data.spools",
    "data.records",
    "data.augment",
    "data.dataset",
    "data.vignette_records",
    "data.vignette_dataset",
    "models.blocks",
    "models.unet",
    "models.stored",
    "models.encoders",
    "models.encoder_unet",
    "models.classifier",
    "models",
    "losses",
    "metrics",
    "devices",
    "tensorboard",
    "thawing",
    "training",
    "fusion",
    "matching",
    "curves",
    "temperature",
    "weighing",
    "prediction",
    "judging",
    "export",
    "predictors",
    "inference",
    "averaging",
    "journal",
    "predicting",
    "measures",
    "measures.outlines",
    "measures.grays",
    "measures.shapes",
    "measures.symmetry",
    "measures.sizes",
    "measures.zooprocess",
    "measuring",
    "challenge",
    "truths",
    "intervals",
    "ecology",
    "ecology.resampling",
    "ecology.adjusting",
    "ecology.abundance",
    "ecology.slopes",
    "ecology.spectra",
    "naming",
    "packing",
    "pages",
    "sample_flags",
    "sample_vignettes",
    "spectrum_drawing",
    "sample_report",
    "plots",
    "reporting",
    "tabulating",
    "counting",
    "spreads",
    "baselines",
    "gallery",
    "evaluation",
    "comparison",
    "given_masks",
    "masked_scans",
    "vignette_scores",
    "report",
    "artefact_checks",
    "describe",
    "serve",
    "serve.refusing",
    "serve.limits",
    "serve.claims",
    "serve.store",
    "serve.notifying",
    "serve.uploads",
    "serve.shapes",
    "serve.working",
    "serve.cutting",
    "serve.corrections",
    "serve.folders",
    "serve.jobs",
    "serve.worker",
    "serve.keeping",
    "serve.results",
    "serve.exporting",
    "serve.upload_routes",
    "serve.job_routes",
    "serve.arrays",
    "serve.messages",
    "serve.calls",
    "serve.batching",
    "serve.versions",
    "serve.watching",
    "serve.guarding",
    "serve.listening",
    "serve.rest",
    "serve.client",
    "serve.fetching",
    "serve.pyramid",
    "serve.tile_routes",
    "serve.app",
    "serve.opening",
    "cli.output",
    "cli.options",
    "cli.demo",
    "cli.evaluate",
    "cli.export",
    "cli.info",
    "cli.make_tfrecords",
    "cli.measure",
    "cli.predict",
    "cli.serve",
    "cli.submit",
    "cli.train",
    "cli.validate",
    "cli",
    "__main__",
)
TENSORFLOW_ROOMS = ("allowed", "data.", "tensorboard", "devices", "inference", "export", "cli.output")
HEAVY = ("tensorflow", "keras", "keras_cv", "jax", "cv2", "sklearn", "skimage", "matplotlib", "numpy")


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "plankton_keras"


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module, alias.name) for alias in node.names)


def functions_of(path):
    tree = ast.parse(path.read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def length(function):
    documentation = ast.get_docstring(function, clean=False)
    return function.end_lineno - function.lineno + 1 - (documentation.count("\n") + 1 if documentation else 0)


def test_every_module_stands_in_the_order():
    assert {name_of(path) for path in MODULES} == set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_import_only_what_stands_before_them(path):
    later = []
    for module, name in imports_of(path):
        if module and module.split(".")[0] == "plankton_keras":
            full = f"{module}.{name}".removeprefix("plankton_keras").strip(".")
            target = full if full in ORDER else module.removeprefix("plankton_keras").strip(".") or "plankton_keras"
            if ORDER.index(target) >= ORDER.index(name_of(path)):
                later.append(target)
    assert later == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_tensorflow_stays_in_its_rooms(path):
    roots = {module.split(".")[0] for module, _ in imports_of(path) if module}
    if not name_of(path).startswith(TENSORFLOW_ROOMS):
        assert not roots & {"tensorflow", "keras_cv"}
    if name_of(path) != "data.augment":
        assert "keras_cv" not in roots


def test_the_command_line_starts_without_anything_heavy():
    code = f"import sys, plankton_keras.cli; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_help_takes_less_than_three_tenths_of_a_second():
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "plankton_keras", "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.3


def test_modules_keep_their_budget():
    lines = {name_of(path): path.read_text().count("\n") for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 150


def test_functions_keep_their_budget():
    lengths = {f"{name_of(p)}.{f.name}": length(f) for p in MODULES for f in functions_of(p)}
    assert {name: count for name, count in lengths.items() if count > 60} == {}
    assert statistics.quantiles(lengths.values(), n=10)[-1] <= 35


def test_functions_have_at_most_seven_parameters():
    many = {
        f"{name_of(path)}.{function.name}": len(function.args.args) + len(function.args.kwonlyargs)
        for path in MODULES
        for function in functions_of(path)
        if function.name != "__init__" and len(function.args.args) + len(function.args.kwonlyargs) > 7
    }
    assert many == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_public_names_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    public = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_"]
    assert [node.name for node in public if not ast.get_docstring(node)] == []


def test_no_module_is_a_grab_bag():
    assert not {path.stem for path in MODULES} & {"utils", "helpers", "base", "common", "misc"}
