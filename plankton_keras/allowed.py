"""What a model may run: looked up in its file before anything of it is loaded.

Runs and exports are built of few parts. Whatever else a file names, such as a layer that runs code, reads a file or
loads another model, did not come from `plankton train` and is refused.
"""

import json
import re
import zipfile
from pathlib import Path

from plankton_keras.errors import ArtefactError

# Parts of Keras by module; a module without names allows all of it.
PARTS = {
    "keras": {"DTypePolicy"},
    "keras.initializers": set(),
    "keras.src.models.functional": {"Functional"},
    "keras.layers": {
        *("Activation", "Add", "BatchNormalization", "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D", "Dropout"),
        *("GlobalAveragePooling2D", "Identity", "InputLayer", "MaxPooling2D", "Multiply", "Normalization", "ReLU"),
        *("Rescaling", "Reshape", "UpSampling2D", "ZeroPadding2D"),
    },
    "plankton_keras.models.blocks": {"PixelShuffle", "Whiten"},
    "plankton_keras.models.classifier": {"LogSize"},
}
# Keras' forms of plain values.
VALUES = {"__keras_tensor__", "__numpy__", "__tensor__", "__tuple__"}

# Operations of TensorFlow with an effect that a network needs, and those that only its checkpoint does.
EFFECTS = {
    *("AssignVariableOp", "DisableCopyOnRead", "ReadVariableOp", "VarHandleOp", "VarIsInitializedOp"),
    *("Assert", "If", "StatefulPartitionedCall", "While"),
}
CHECKPOINT = {"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"}
# Some that reach files or Python are said to have no effect.
REACHING = re.compile(r"PyFunc|File|Dataset|Reader")


def check_model(path):
    """Refuses a Keras model with other parts than those of a run.

    Args:
        path: A `.keras` file.

    Raises:
        ArtefactError: If it has one, or is none or damaged.
    """
    try:
        with zipfile.ZipFile(path) as file:
            config = json.loads(file.read("config.json"))
        names = sorted(parts_of({name: value for name, value in config.items() if name != "compile_config"}))
    except (OSError, zipfile.BadZipFile, KeyError, ValueError, AttributeError, RecursionError) as error:
        raise damaged(path, error) from error
    for module, name in names:
        known = PARTS.get(module, VALUES if not module else {None})
        if known and name not in known:
            raise _refused(path, f"{module}.{name}".strip("."))


def damaged(path, error):
    """Makes the error of a Keras model that cannot be read."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return ArtefactError(f"{path} cannot be read: {reason}", "a whole Keras model.", "train again.")


def parts_of(config):
    """Finds what a configuration of Keras names, as `(module, name)`.

    Args:
        config: Nested dictionaries and lists.

    Returns:
        A set.

    Example:

    >>> parts_of({"layers": [{"module": "keras.layers", "class_name": "Lambda", "config": {}}]})
    {('keras.layers', 'Lambda')}
    """
    found, left = set(), [config]
    while left:
        each = left.pop()
        if isinstance(each, dict) and "class_name" in each:
            # Keras goes by the registered name first, where there is one.
            names = each["class_name"], str(each.get("registered_name") or each["class_name"])
            module = str(each.get("module") or "")
            found |= {(module, str(names[0])), (module, names[1].removeprefix("plankton_keras>"))}
        left += each.values() if isinstance(each, dict) else each if isinstance(each, list) else []
    return found


def check_saved_model(folder):
    """Refuses a SavedModel with operations that reach beyond its own variables.

    Args:
        folder: The folder of `saved_model.pb`.

    Raises:
        ArtefactError: If it has one, or is none or damaged.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    model, path = SavedModel(), Path(folder) / "saved_model.pb"
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        words = "a whole SavedModel.", "export again: plankton export RUN --out DIR."
        raise ArtefactError(f"{folder} cannot be read: {str(error).splitlines()[0]}", *words) from error
    for graph in model.meta_graphs:
        check_graph(graph.graph_def, folder, EFFECTS | CHECKPOINT)


def check_graph(graph, path, effects=frozenset(EFFECTS)):
    """Refuses a graph with operations that have other effects.

    Args:
        graph: A `tf.compat.v1.GraphDef`.
        path: Where it comes from, for the message.
        effects: Names of the operations with an effect that it may have.

    Raises:
        ArtefactError: If it has another one.
    """
    from tensorflow.python.framework import op_def_registry

    own = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    for name in sorted({node.op for node in nodes} - own - effects):
        known = op_def_registry.get(name)
        if known is None or known.is_stateful or REACHING.search(name):
            raise _refused(path, name)


def _refused(path, name):
    return ArtefactError(
        f"{path} uses {name}, which no model of plankton_keras does.",
        "a run or an export of plankton_keras.",
        "use a model whose origin you know; docs/train.md says how one is made.",
    )
