"""What the tests of the service share: a scan of known objects, a model that goes by gray levels, and a client."""

import base64
import contextlib

import cv2
import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient

from plankton_keras.predictors import Predictor
from plankton_keras.serve import refusing
from plankton_keras.serve.job_routes import routes
from plankton_keras.serve.jobs import Jobs
from plankton_keras.serve.limits import Limits
from plankton_keras.serve.worker import Worker
from plankton_keras.taxa import living_target

CLASSES = ("non-living", "copepod", "egg")
# Ground of 220; copepods are 90, eggs 150: (top, left, height, width, gray).
DRAWN = ((50, 50, 40, 40, 90), (50, 200, 40, 40, 90), (200, 60, 20, 100, 150), (0, 300, 30, 50, 150))
TUS = {"Tus-Resumable": "1.0.0"}


def draw(height=300, width=400):
    """A scan of four objects in the order of their first pixel: an egg at the edge, two copepods, an egg."""
    pixels = np.full((height, width), 220, np.uint8)
    for top, left, tall, wide, gray in DRAWN:
        pixels[top : top + tall, left : left + wide] = gray
    return pixels


def encoded(pixels, suffix=".png"):
    return cv2.imencode(suffix, pixels)[1].tobytes()


def by_gray(images):
    """A fake model: below 120 a copepod, below 180 an egg."""
    classes = np.where(images < 120, 1, np.where(images < 180, 2, 0))
    return np.eye(3, dtype=np.float32)[classes] * 0.9 + np.float32(0.1 / 3)


def predictor(probabilities=by_gray, digest="d" * 64):
    return Predictor(probabilities, CLASSES, 0.5, None, digest, "exports/plankton/1", living_target(), {})


class Service:
    """An application with jobs, whose worker the test turns by hand."""

    def __init__(self, data, probabilities=by_gray, naming=None, **settings):
        self.jobs = Jobs(data, **settings)
        self.worker = Worker(self.jobs, lambda: (predictor(probabilities), 1), naming)
        self.app = FastAPI()
        refusing.install(self.app)
        self.app.include_router(routes(self.jobs))
        self.client = TestClient(self.app)

    def create(self, length, name="rg_scan.png", dpi=None, **headers):
        said = {"filename": name, **({"dpi": dpi} if dpi else {})}
        metadata = ",".join(f"{key} {base64.b64encode(str(value).encode()).decode()}" for key, value in said.items())
        given = {**TUS, "Upload-Length": str(length), "Upload-Metadata": metadata, **headers}
        return self.client.post("/v1/uploads", headers=given)

    def patch(self, id, offset, content, **headers):
        given = {**TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream", **headers}
        return self.client.patch(f"/v1/uploads/{id}", headers=given, content=content)

    def upload(self, content, **more):
        id = self.create(len(content), **more).json()["id"]
        assert self.patch(id, 0, content).status_code == 204
        return id

    def done(self, content=None, **more):
        """Uploads a scan and does its job; gives the id."""
        id = self.upload(encoded(draw()) if content is None else content, **more)
        assert self.worker.work()
        return id

    def job(self, id):
        return self.client.get(f"/v1/jobs/{id}").json()

    def objects(self, id):
        return self.client.get(f"/v1/jobs/{id}/objects").json()

    def close(self):
        self.jobs.close()


@contextlib.contextmanager
def service(data, **settings):
    made = Service(data, **settings)
    try:
        yield made
    finally:
        made.close()


LIMITS = Limits(upload_bytes=10**6, megapixels=1, queue=3)
