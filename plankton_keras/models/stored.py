"""A Keras model from its file: only of the parts that runs have, and in Keras' safe mode."""

import keras

from plankton_keras.allowed import check_model, damaged


def load_model(path):
    """Loads a Keras model.

    Args:
        path: A `.keras` file.

    Returns:
        A `keras.Model`, not compiled.

    Raises:
        ArtefactError: If it is damaged, or has parts that `allowed.PARTS` does not list.
    """
    check_model(path)
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # What Keras raises depends on where a file is damaged.
        raise damaged(path, error) from error
