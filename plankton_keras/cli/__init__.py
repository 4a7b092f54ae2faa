"""The `plankton` command line: parse, build a config, call the stages, print.

Heavy imports wait inside the commands, so that `--help` is quick.
"""

from plankton_keras.cli.demo import demo
from plankton_keras.cli.evaluate import evaluate
from plankton_keras.cli.export import export
from plankton_keras.cli.info import info
from plankton_keras.cli.make_tfrecords import make_tfrecords
from plankton_keras.cli.measure import measure
from plankton_keras.cli.output import PlanktonGroup
from plankton_keras.cli.predict import predict
from plankton_keras.cli.serve import serve
from plankton_keras.cli.submit import submit
from plankton_keras.cli.train import train
from plankton_keras.cli.validate import validate

main = PlanktonGroup(
    name="plankton",
    help="""From a plankton scan to numbers that ecologists trust.

    \b
    Example:
        plankton demo plankton-demo
    """,
    commands=[demo, validate, make_tfrecords, train, evaluate, predict, measure, submit, export, serve, info],
)
