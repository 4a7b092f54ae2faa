"""`plankton serve`: an export as a service, with its page."""

import click

from plankton_keras.cli import options, output
from plankton_keras.config import ServeConfig
from plankton_keras.errors import SettingError


@click.command()
@click.argument("export", type=options.FOLDER)
@click.option(
    "--data",
    type=options.FOLDER,
    default="plankton-data",
    show_default=True,
    help="Folder where uploads and results are kept, of one service at a time.",
)
@click.option("--predictions", type=options.FOLDER, help="Folder of prediction folders that can be opened on the page.")
@click.option("--classifier", type=options.FOLDER, help="Run of vignettes, or its export, that names the objects.")
@options.token_option
@options.config_options(ServeConfig)
@options.flags("quiet")
def serve(export, token, config_file, flags, **settings):
    """Serve an export: a page to drop scans on, and the same for programs.

    EXPORT is what plankton export wrote; a new version in it is taken up by itself. Patches are asked for as from
    TensorFlow Serving. Ends at Ctrl+C; jobs go on at the next start.

    \b
    Example:
        plankton serve export
    """
    config = options.build_config(ServeConfig, settings, config_file)
    places = {name: settings[name] for name in ("data", "predictions", "classifier")}
    output.need("fastapi", "serve")
    from plankton_keras.serve.guarding import check_open
    from plankton_keras.serve.listening import bind, server_of

    # What can be wrong is found before the model is loaded, which takes seconds.
    check_open(config.host, token)
    predictions = places["predictions"]
    if predictions and not predictions.is_dir():
        raise SettingError(f"--predictions {predictions} is no folder.", "a folder of prediction folders.", "make it.")
    socket = bind(config.host, config.port)
    output.prepare(flags.quiet)
    output.log_requests(flags.quiet)
    from plankton_keras.serve.opening import Places, opened

    with socket, opened(Places(export=export, **places), config, token) as (app, ending):
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{socket.getsockname()[1]}"
        output.say(
            f"Open {address} in a browser; programs find the API at {address}/docs. Ctrl+C ends it.", flags.quiet
        )
        server_of(app, config.request_seconds, ending).run(sockets=[socket])
