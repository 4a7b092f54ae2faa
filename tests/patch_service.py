"""What the tests of the service share: a version that goes by gray levels, and a service that listens."""

import base64
import contextlib
import json
import threading
import time

import cv2
import httpx
import numpy as np

from plankton_keras.config import ServeConfig
from plankton_keras.errors import InputError
from plankton_keras.predictors import Predictor, Signature
from plankton_keras.serve.app import Service, build_app
from plankton_keras.serve.listening import bind, server_of
from plankton_keras.serve.versions import Models, Version
from plankton_keras.serve.watching import Watch
from plankton_keras.taxa import living_target

PREDICT = "/v1/models/plankton:predict"


def by_gray(image):
    """Dark is living: the probability is 1 - gray / 255."""
    dark = 1 - image.astype(np.float32) / 255
    return np.concatenate([1 - dark, dark], axis=-1)


def of_files(files):
    """The same of encoded images."""
    decoded = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) for data in files]
    if any(image is None for image in decoded):
        raise InputError("The patches cannot be computed: broken.", "whole images.", "send others.")
    return by_gray(np.stack(decoded)[..., None])


def version(number=1, compute=by_gray):
    """A `Version` without TensorFlow."""
    output = ("probabilities", "float32", (None, None, None, 2))
    signatures = {
        "serving_default": Signature({"image": ("uint8", (None, None, None, 1))}, output, compute),
        "serving_bytes": Signature({"image_bytes": ("bytes", (None,))}, output, of_files),
        "serving_vignettes": Signature(
            {"image": ("uint8", (None, None, None, 1)), "side": ("float32", (None, 1))},
            ("probabilities", "float32", (None, 2)),
            lambda image, side: np.concatenate([side / 1000, 1 - side / 1000], axis=1),
        ),
    }
    digest = f"{number:064x}"
    names = living_target().names
    predictor = Predictor(
        lambda images: compute(images[..., None]), names, 0.5, None, digest, "export", living_target(), {}
    )
    return Version(number, digest, signatures, predictor, {"model": "gray", "classes": list(names)})


def write_version(folder, number, text="model"):
    """Makes the folder of a version that `version` stands for."""
    place = folder / str(number)
    place.mkdir(parents=True)
    (place / "saved_model.pb").write_text(text)
    (place / "metadata.json").write_text("{}")
    return place


def service(folder, token=None, compute=by_gray, **settings):
    """A `Service` of the fake version; its models are not started."""
    write_version(folder, 1)
    watch = Watch()
    models = Models(folder, load=lambda path: version(int(path.name), compute), told=watch.version)
    return Service(ServeConfig(**settings), models, token, watch=watch)


@contextlib.contextmanager
def listening(made, seconds=5, look=0.05, **parts):
    """Listens on a free port; gives the address."""
    made.models.start(look)
    server, socket = server_of(build_app(made, **parts), seconds), bind("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        until = time.monotonic() + 20
        while not server.started and time.monotonic() < until:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        made.models.close()


def client(address, token=None):
    return httpx.Client(base_url=address, timeout=30, headers={"Authorization": f"Bearer {token}"} if token else {})


def patch(seed=0, size=64, count=1):
    """Random patches, uint8 `(count, size, size, 1)`."""
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 1), dtype=np.uint8)


def b64(data):
    return {"b64": base64.b64encode(data).decode()}


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def predictions(answer):
    """The probabilities of an answer, whatever its form."""
    content = json.loads(answer.content)
    found = content["predictions"] if "predictions" in content else content["outputs"]
    if isinstance(found, dict):
        tensor = found["probabilities"]
        shape = [int(side["size"]) for side in tensor["tensorShape"]["dim"]]
        return np.frombuffer(base64.b64decode(tensor["tensorContent"]), np.float32).reshape(shape)
    return np.array(found, np.float32)
