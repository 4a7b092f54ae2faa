"""Fine-tuning in two phases: a pretrained encoder stays as it is, then thaws from its last layers to its first.

The head that is new would otherwise, while it knows nothing, spoil what the encoder knows (Kumar et al. 2022, arXiv
2202.10054). Pure Keras.
"""

import keras
from keras import ops

# Share of the learning rate that a thawed encoder gets.
LOWER = 0.3


@keras.saving.register_keras_serializable("plankton_keras")
class ThawingAdamW(keras.optimizers.AdamW):
    """AdamW under which some variables do not move before their step, and more slowly than the others after it.

    Everything is decided by the step counter, which is part of the optimiser's state: a resumed run thaws as one that
    was left alone.

    Args:
        thaw: The step from which a variable moves, by its path; others always move.
    """

    def __init__(self, *args, thaw=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.thaw = dict(thaw or {})

    def update_step(self, gradient, variable, learning_rate):
        """Moves a variable, if it has thawed."""
        # Under TensorFlow its own variable comes here, which is named after the path of Keras', and after its replica.
        path = variable.path if hasattr(variable, "path") else variable.name.removesuffix(":0").split("/replica_")[0]
        step = self.thaw.get(path)
        if step is not None:
            learning_rate = learning_rate * LOWER * ops.cast(self.iterations >= step, learning_rate.dtype)
        super().update_step(gradient, variable, learning_rate)

    def get_config(self):
        """Gives what rebuilds the optimiser."""
        return {**super().get_config(), "thaw": self.thaw}


def freeze_statistics(encoder):
    """Keeps the batch normalisation of an encoder as it was pretrained.

    Args:
        encoder: What `models.encoders.build_encoder` gives.
    """
    for layer in encoder.get_layer("body").layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def plan(encoder, first, last):
    """Says when each layer of an encoder thaws.

    Args:
        encoder: As for `freeze_statistics`.
        first: Step at which its last layer thaws.
        last: Step at which its first layer thaws; those between follow in turn.

    Returns:
        A dictionary from the path of a variable to its step.
    """
    layers = [layer for layer in encoder.get_layer("body").layers if layer.trainable_variables]
    found = {}
    for index, layer in enumerate(reversed(layers)):
        step = first + (last - first) * index // max(1, len(layers) - 1)
        found.update({variable.path: step for variable in layer.trainable_variables})
    return found
