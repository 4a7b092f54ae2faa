"""`plankton serve`: an export as an HTTP service."""

import click

from plankton_keras.cli import options, output
from plankton_keras.config import ServeConfig


@click.command()
@click.argument("export", type=options.FOLDER)
@options.token_option
@click.option(
    "--data",
    type=options.FOLDER,
    default="plankton-data",
    show_default=True,
    help="Where uploads and their results are kept; one service at a time.",
)
@click.option("--predictions", type=options.FOLDER, help="Folder of prediction folders that the page can open.")
@click.option("--classifier", type=options.FOLDER, help="Run of vignettes, or its export, that names the objects.")
@options.config_options(ServeConfig)
@options.flags("quiet")
def serve(export, token, data, predictions, classifier, config_file, flags, **settings):
    """Serve an export over HTTP.

    EXPORT is what plankton export wrote; a new version in it is taken up by itself. People drop scans on a page and
    look at what was found; programs ask for patches as from TensorFlow Serving, or send scans. Ends at Ctrl+C.

    \b
    Example:
        plankton serve export
    """
    config = options.build_config(ServeConfig, settings, config_file)
    output.need("fastapi", "serve")
    from plankton_keras.serve.guarding import check_open
    from plankton_keras.serve.listening import bind, server_of

    # What can be wrong is found before the model is loaded, which takes seconds.
    check_open(config.host, token)
    socket = bind(config.host, config.port)
    output.prepare(flags.quiet)
    output.log_requests(flags.quiet)
    from plankton_keras.serve.app import Service
    from plankton_keras.serve.versions import Models
    from plankton_keras.serve.watching import Watch
    from plankton_keras.serve.whole import whole_app

    watch, naming = Watch(), _naming(classifier)
    models = Models(export, config.name, told=watch.version)
    models.start()
    service = Service(config, models, token, classifier=naming is not None, watch=watch)
    app, ending = whole_app(service, data, predictions, naming)
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"http://{host}:{socket.getsockname()[1]}"
    output.say(f"The page is {address}, the API {address}/docs. Ctrl+C ends both.", flags.quiet)
    try:
        server_of(app, config.request_seconds, ending).run(sockets=[socket])
    finally:
        models.close()


def _naming(path):
    """Loads the classifier that names objects, if there is one."""
    if path is None:
        return None
    import functools

    from plankton_keras.inference import load_classifier
    from plankton_keras.naming import name_objects

    return functools.partial(name_objects, load_classifier(path))
