"""The socket, and uvicorn with what it lacks: it waits for the head of a request, and for a slow reader, for ever."""

import array
import contextlib
import errno
import fcntl
import socket
import termios

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from plankton_keras.errors import SettingError
from plankton_keras.serve.guarding import SLOWEST

# Connections at once; further ones are answered 503.
CONNECTIONS = 512
# Seconds that an idle connection is kept: longer than clients keep theirs, which are surprised by its end.
KEPT = 30
# Seconds that requests have to end once the service is told to.
GRACE = 10
# Errors of a name that nobody knows, and of an address that is not of this machine.
_NO_HOST = (socket.EAI_NONAME, socket.EAI_AGAIN, errno.EADDRNOTAVAIL)
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Patient(H11Protocol):
    """A connection that may be silent or stuck for so many seconds."""

    seconds = None
    timer = reading = None

    def connection_made(self, transport):
        super().connection_made(transport)
        # Its lines have what follows `?`, whoever listens to its logger; `watching` writes ours.
        self.access_log = False
        self.wait()

    def data_received(self, data):
        begins = not self.is_owed()
        super().data_received(data)
        # A request whose head is here is watched by `guarding`, until it is answered.
        if self.is_busy():
            self.stop()
            # More is about to be written; who is stuck stays watched.
            if not self.flow.write_paused:
                self.stop_watching()
        elif begins:
            self.wait()

    def on_response_complete(self):
        super().on_response_complete()
        if not self.is_busy():
            self.wait()

    def pause_writing(self):
        super().pause_writing()
        self.watch()

    def resume_writing(self):
        super().resume_writing()
        self.stop_watching()
        if not self.is_busy():
            self.wait()

    def connection_lost(self, error):
        self.stop()
        self.stop_watching()
        super().connection_lost(error)

    def is_busy(self):
        return self.cycle is not None and not self.cycle.response_complete

    def is_owed(self):
        """Whether a part of a request is here and the rest is not."""
        return bool(self.conn.trailing_data[0]) or self.conn.their_state is h11.SEND_BODY

    def wait(self):
        self.stop()
        self.timer = self.loop.call_later(self.seconds, self.give_up)
        if self.transport.get_write_buffer_size() and not self.reading:
            self.watch()

    def stop(self):
        if self.timer:
            self.timer.cancel()
        self.timer = None

    def give_up(self):
        self.timer = None
        if self.cycle is None and not self.transport.is_closing():
            self.transport.write(_TOO_SLOW)
            self.transport.close()
        # Who is only idle is closed by uvicorn, after KEPT; who has something to read is watched.
        elif self.is_owed():
            self.transport.abort()

    def left(self):
        """Counts the bytes that are still to be taken, with those of the system, which asks for more in large lumps."""
        kept = array.array("i", [0])
        # Not every system tells of sockets.
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, kept)
        return self.transport.get_write_buffer_size() + kept[0]

    def watch(self):
        self.stop_watching()
        self.reading = self.loop.call_later(self.seconds, self.look, self.left())

    def stop_watching(self):
        if self.reading:
            self.reading.cancel()
        self.reading = None

    def look(self, before):
        """Cuts off who takes nothing of an answer, and would hold the connection for ever."""
        self.reading = None
        if before - self.left() < SLOWEST * self.seconds:
            # To close would wait until all is taken.
            self.transport.abort()
        elif self.transport.get_write_buffer_size():
            self.watch()


def patient_for(seconds):
    """Makes the protocol of connections that may be silent or stuck for so long.

    Args:
        seconds: Time for the head of a request to come whole, for what is left of a refused body, and for what is
            written of an answer to be taken; the latter has longer while `guarding.SLOWEST` bytes a second are.

    Returns:
        A class for `uvicorn.Config(http=...)`.
    """
    return type("Patient", (_Patient,), {"seconds": seconds})


def bind(host, port):
    """Opens the socket.

    Args:
        host: A name or address.
        port: A number; 0 takes a free one.

    Returns:
        A `socket.socket`.

    Raises:
        SettingError: If it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=CONNECTIONS)
    except (OSError, OverflowError) as error:
        # Without the address, which Python adds.
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (while")[0]
        is_host = getattr(error, "errno", None) in _NO_HOST
        raise SettingError(
            f"{host}, port {port}, cannot be listened to: {reason}.",
            "an address of this machine and a free port.",
            "choose another --host." if is_host else "choose another --port, or end what listens there.",
        ) from None


class _Server(uvicorn.Server):
    """A server that ends streams, which never end by themselves, before it waits for requests to end."""

    ending = None

    async def shutdown(self, sockets=None):
        self.ending()
        await super().shutdown(sockets)


def server_of(app, seconds, ending=lambda: None):
    """Makes the server of an application; its `run(sockets=[...])` ends at Ctrl+C.

    Args:
        app: An ASGI application.
        seconds: As for `patient_for`.
        ending: Called when it begins to end.

    Returns:
        A `uvicorn.Server`.
    """
    settings = uvicorn.Config(
        app,
        http=patient_for(seconds),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=KEPT,
        timeout_graceful_shutdown=GRACE,
        lifespan="on",
    )
    server = _Server(settings)
    server.ending = ending
    return server
