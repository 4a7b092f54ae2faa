"""The door of the service: who may enter, how much may be brought in, how slowly, and what every answer carries.

Plain ASGI around everything else, so that nothing is read or decoded before it was looked at here.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse

from plankton_keras.errors import SettingError
from plankton_keras.serve.refusing import Refused, three_lines

COOKIE = "plankton_token"
LOGIN = "/session"
# What answers without a token: the page and its files, which hold no data, and whether the service lives.
OPEN = ("/", "/healthz", "/readyz", LOGIN)
OPEN_FOLDERS = ("/page/",)
PATCHES = "/v1/models/"
UPLOADS = "/v1/uploads/"
# Bytes of every other body: corrections are small.
SMALL = 2**20
SHORTEST_TOKEN = 16
# A sender of an upload is refused below this many bytes a second, on average, once the time of a small body is over; a
# reader of a long answer is cut off.
SLOWEST = 2**10
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass(frozen=True)
class RequestLimits:
    """What a request may bring.

    Attributes:
        patch_bytes: Bytes of a request for patches.
        upload_bytes: Bytes of a part of an upload.
        seconds: Time in which a body is to arrive; that of an upload has longer if it keeps coming, but is never silent
            for so long.
    """

    patch_bytes: int
    upload_bytes: int
    seconds: float

    def of(self, path):
        """Gives the bytes that the body of a request may have.

        Example:

        >>> RequestLimits(10, 20, 1).of("/v1/models/plankton:predict"), RequestLimits(10, 20, 1).of("/v1/uploads/1")
        (10, 20)
        """
        if path.startswith(PATCHES):
            return self.patch_bytes
        return self.upload_bytes if path.startswith(UPLOADS) else SMALL


def check_open(host, token):
    """Refuses to be open to other machines without a token.

    Args:
        host: Where the service listens.
        token: The token, or None.

    Raises:
        SettingError: If the host is not of this machine only and there is no token, or the token is short.

    Example:

    >>> check_open("127.0.0.1", None)
    >>> check_open("0.0.0.0", None)
    Traceback (most recent call last):
    plankton_keras.errors.SettingError: --host 0.0.0.0 is open to other machines, and there is no --token.
    Expected: a token of at least 16 characters, or --host 127.0.0.1.
    Fix: set PLANKTON_TOKEN, for example to what `openssl rand -hex 16` prints.
    """
    fix = "set PLANKTON_TOKEN, for example to what `openssl rand -hex 16` prints."
    expected = f"a token of at least {SHORTEST_TOKEN} characters"
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise SettingError("--token is too short, or no plain text.", f"{expected}, ASCII without spaces.", fix)
    if not token and not is_loopback(host):
        raise SettingError(
            f"--host {host} is open to other machines, and there is no --token.",
            f"{expected}, or --host 127.0.0.1.",
            fix,
        )


def is_loopback(host):
    """Tells whether a host name or address is of this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Lets requests through to an application, or answers them itself.

    Args:
        app: An ASGI application.
        limits: `RequestLimits`.
        token: The token that is asked for, or None.
        watch: A `watching.Watch`, which counts requests, or None.
        identity: Function that gives `(name, version, digest)` of the model that is served; None before it is loaded.
    """

    def __init__(self, app, limits, token=None, watch=None, identity=lambda: None):
        self._app, self._limits, self._token, self._watch, self._identity = app, limits, token, watch, identity

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._limits, self._identity)
        refused = self._refusal(scope)
        try:
            if refused:
                await exchange.refuse(refused)
            elif scope["path"] == LOGIN and scope["method"] == "POST":
                await self._login(scope, exchange)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            # Who stopped reading because it was refused here has nothing to say.
            if not exchange.refused:
                raise
        finally:
            if exchange.refused and not exchange.status:
                await exchange.answer()
            if self._watch:
                self._watch.request(scope, exchange.status or 499, exchange.started)

    def _refusal(self, scope):
        """Decides by the headers alone."""
        headers, path = Headers(scope=scope), scope["path"]
        if self._token is None:
            if not _is_here(headers):
                return Refused(403, "The request comes from another site.", "a page of this service.", "open it here.")
        elif path not in OPEN and not path.startswith(OPEN_FOLDERS) and not self._knows(_token_of(headers)):
            named = {"WWW-Authenticate": "Bearer"}
            return Refused(
                401, "The token is missing or wrong.", "Authorization: Bearer TOKEN.", "ask who runs it.", named
            )
        length, most = headers.get("content-length", "0"), self._limits.of(path)
        # Longer numbers are not worth reading.
        if not length.isdigit() or len(length) > 18:
            return Refused(400, "Content-Length is no number.", "bytes.", "send it again.")
        return too_large(most) if int(length) > most else None

    def _knows(self, token):
        # Digests, since the comparison takes as long as the texts are.
        return hmac.compare_digest(_digest(token), _digest(self._token))

    async def _login(self, scope, exchange):
        """Gives the cookie to who sends the token, so that a page can load pictures."""
        body = b""
        while True:
            message = await exchange.receive()
            body += message.get("body", b"")
            if message["type"] == "http.disconnect":
                return
            if not message.get("more_body"):
                break
        try:
            token = json.loads(body)["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str) or (self._token is not None and not self._knows(token)):
            await exchange.refuse(
                Refused(401, "The token is wrong.", 'an object {"token": TOKEN}.', "ask who runs it.")
            )
            return
        answer = JSONResponse({"status": "ok"})
        if self._token is not None:
            secure = scope.get("scheme") == "https"
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure, path="/")
        await answer(scope, exchange.receive, exchange.send)


def _digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def _token_of(headers):
    """Finds the token of a request; "" if it has none."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return token.strip()
    # Not SimpleCookie, which reads none where one is odd: those of other services under the same name come along.
    return cookie_parser(headers.get("cookie", "")).get(COOKIE, "")


def _is_here(headers):
    """Tells whether a request without a token is one of this machine's own.

    A page of another site can make a browser send it, under a name that leads here; neither looks like this service.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if not is_loopback(name) or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return False
    return origin is None or origin.partition("://")[2] == host


def too_large(most):
    """Words that a body is larger than it may be."""
    return Refused(413, "The request is too large.", f"at most {most} bytes.", "send less at once.")


class _Exchange:
    """One request and its answer, with what is counted on the way."""

    def __init__(self, scope, receive, send, limits, identity):
        self.scope, self._receive, self._send, self._limits, self._identity = scope, receive, send, limits, identity
        self.started, self.status, self.refused = time.monotonic(), None, None
        self._bytes, self._whole = 0, False
        self._most = limits.of(scope["path"])

    async def receive(self):
        """Gives the next part of the body; to the application, who is too slow or sends too much has hung up."""
        if self.refused:
            return {"type": "http.disconnect"}
        if self._whole:
            return await self._receive()
        left = self.started + self._limits.seconds - time.monotonic()
        if self.scope["path"].startswith(UPLOADS):
            # Who was cut off unseen would else hold the upload for hours.
            left = min(left + self._bytes / SLOWEST, self._limits.seconds)
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0))
        except TimeoutError:
            return self._hang_up(
                Refused(
                    408, "The request came too slowly.", f"all of it in {self._limits.seconds:g} s.", "send it again."
                )
            )
        self._bytes += len(message.get("body", b""))
        self._whole = message["type"] == "http.disconnect" or not message.get("more_body")
        return self._hang_up(too_large(self._most)) if self._bytes > self._most else message

    def _hang_up(self, refused):
        self.refused = refused
        return {"type": "http.disconnect"}

    async def refuse(self, refused):
        """Answers in the application's place."""
        self.refused = refused
        await self.answer()

    async def answer(self):
        """Sends the refusal."""
        error = self.refused
        lines = three_lines(error)
        if self.scope["path"].startswith(PATCHES):
            lines = {"error": " ".join([error.what, f"Expected: {error.expected}"])}
        # Who sends too much may go on, unread, until `listening` loses patience: to close at once loses the answer.
        headers = {**(error.headers or {}), **({"Connection": "close"} if error.status == 408 else {})}
        self.refused = None
        await JSONResponse(lines, error.status, headers)(self.scope, self._receive, self.send)
        self.refused = error

    async def send(self, message):
        """Sends a part of the answer, with the headers that each has."""
        if self.refused:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            # The files of the page are asked for anew each time, and sent if they changed; answers are not kept.
            keeping = {"Cache-Control": "no-cache" if self.scope["path"].startswith(OPEN_FOLDERS) else "no-store"}
            for name, value in {**_HEADERS, **keeping, **identified(self._identity())}.items():
                headers.setdefault(name, value)
        await self._send(message)


def identified(identity):
    """Gives the headers that say which model is served.

    Example:

    >>> identified(("plankton", 2, "ab12"))
    {'X-Plankton-Model': 'plankton', 'X-Plankton-Version': '2', 'X-Plankton-Digest': 'ab12'}
    """
    names = ("X-Plankton-Model", "X-Plankton-Version", "X-Plankton-Digest")
    return dict(zip(names, map(str, identity), strict=True)) if identity else {}
