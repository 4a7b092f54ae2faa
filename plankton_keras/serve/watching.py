"""What the service tells of itself: metrics for Prometheus, whether it lives and is ready, a line for each request."""

import logging
import re
import time

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

requests = logging.getLogger("plankton_requests")

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")
BATCHES = (1, 2, 4, 8, 16, 32, 64)
# A path may hold anything; in a log it must not look like a line of its own.
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")


class Watch:
    """The counters of one service.

    Attributes:
        registry: Where others may add theirs.
    """

    def __init__(self):
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "plankton_requests", "Requests answered.", ("method", "route", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "plankton_request_seconds", "Time to an answer.", ("route",), registry=self.registry, buckets=SECONDS
        )
        self._patches = Counter("plankton_patches", "Patches computed.", registry=self.registry)
        self._batches = Histogram(
            "plankton_batch_patches", "Patches computed at once.", registry=self.registry, buckets=BATCHES
        )
        self._computing = Counter("plankton_computing_seconds", "Time computing patches.", registry=self.registry)
        self._version = Gauge("plankton_model_version", "The version that is served.", registry=self.registry)
        self._broken = Counter("plankton_model_failures", "Versions that could not be loaded.", registry=self.registry)
        self._held = Gauge("plankton_requests_held", "Patch requests that are being answered.", registry=self.registry)

    def hold(self, count):
        """Reads the number of requests that are held from a function."""
        self._held.set_function(count)

    def batch(self, patches, seconds):
        """Counts a batch."""
        self._patches.inc(patches)
        self._batches.observe(patches)
        self._computing.inc(seconds)

    def version(self, number, error):
        """Counts a version that was taken up, or could not be."""
        if error:
            self._broken.inc()
        else:
            self._version.set(number)

    def request(self, scope, status, started):
        """Counts a request and writes its line: method, path without what follows `?`, status, milliseconds."""
        seconds = time.monotonic() - started
        route = getattr(scope.get("route"), "path", "other")
        method = scope["method"] if scope["method"] in METHODS else "other"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(route).observe(seconds)
        path = _UNPRINTABLE.sub("?", scope["path"])[:200]
        requests.info("%s %s %d %.0f ms", scope["method"], path, status, 1000 * seconds)


def routes(watch, models):
    """Makes the routes of a service that is watched.

    Args:
        watch: A `Watch`.
        models: A `versions.Models`.

    Returns:
        A `fastapi.APIRouter`.
    """
    router = APIRouter(tags=["service"])

    @router.get("/healthz")
    async def healthz():
        """Whether the process answers."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def readyz():
        """Whether a model is loaded; 503 if not."""
        version = models.current()
        if version is None:
            return JSONResponse({"status": "loading"}, 503)
        return {"status": "ok", "version": version.number}

    @router.get("/metrics")
    async def metrics():
        """Counters in the text format of Prometheus."""
        return Response(generate_latest(watch.registry), media_type=CONTENT_TYPE_LATEST)

    return router
