"""`plankton serve`: an export as an HTTP service."""

import click

from plankton_keras.cli import options, output
from plankton_keras.config import ServeConfig


@click.command()
@click.argument("export", type=options.FOLDER)
@options.token_option
@options.config_options(ServeConfig)
@options.flags("quiet")
def serve(export, token, config_file, flags, **settings):
    """Serve an export over HTTP.

    EXPORT is what plankton export wrote; a new version in it is taken up by itself. Patches are asked for as from
    TensorFlow Serving. Ends at Ctrl+C.

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
    from plankton_keras.serve.app import Service, build_app
    from plankton_keras.serve.versions import Models
    from plankton_keras.serve.watching import Watch

    watch = Watch()
    models = Models(export, config.name, told=watch.version)
    models.start()
    app = build_app(Service(config, models, token, watch=watch))
    host = f"[{config.host}]" if ":" in config.host else config.host
    output.say(
        f"Listening on http://{host}:{socket.getsockname()[1]}, the API is at /docs. Ctrl+C ends it.", flags.quiet
    )
    try:
        server_of(app, config.request_seconds).run(sockets=[socket])
    finally:
        models.close()
