"""TensorFlow Serving's REST contract: `/v1/models/NAME`, its metadata, and `:predict`."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from plankton_keras.errors import InputError
from plankton_keras.serve.batching import Full
from plankton_keras.serve.calls import read_call, write_answer
from plankton_keras.serve.guarding import identified
from plankton_keras.serve.messages import TYPES
from plankton_keras.threads import cores

BODY = {
    "requestBody": {
        "description": 'An object with "instances" or "inputs", and "signature_name"; or a PredictRequest as JSON.',
        "content": {"application/json": {"schema": {"type": "object"}}},
    }
}


@dataclass(frozen=True)
class Patches:
    """What answers requests for patches.

    Attributes:
        models: The `versions.Models`.
        batcher: The `batching.Batcher`.
        megapixels: How many pixels a request may have, in millions.
        pool: Threads that read and write JSON: few, since nested lists take fifteen times the memory of their text.
    """

    models: object
    batcher: object
    megapixels: float
    pool: ThreadPoolExecutor

    async def predict(self, request, number=None):
        """Answers a request.

        Args:
            request: A `fastapi.Request`.
            number: The version that is asked for, or None.

        Returns:
            A response.
        """
        version = self.models.current()
        if version is None:
            return refused(503, "No version is loaded yet")
        if number not in (None, version.number):
            return refused(404, f"Servable not found for request: Specific({self.models.name}, {number})")
        try:
            with self.batcher.place():
                content = await self._answer(await request.body(), version)
        except Full as full:
            answer = refused(429, f"Too many requests: ask again in {full.seconds} s")
            answer.headers["Retry-After"] = str(full.seconds)
            return answer
        except InputError as error:
            return refused(400, f"{error.what} Expected: {error.expected}")
        headers = identified((self.models.name, version.number, version.digest))
        return Response(content, media_type="application/json", headers=headers)

    async def _answer(self, body, version):
        loop = asyncio.get_running_loop()
        with self.batcher.reading():
            call = await loop.run_in_executor(self.pool, read_call, body, version.signatures, self.megapixels)
            computed = self.batcher.submit(version, call)
        array = await asyncio.wrap_future(computed)
        return await loop.run_in_executor(self.pool, write_answer, call, version, self.models.name, array)


def pool():
    """Makes the threads of `Patches`."""
    return ThreadPoolExecutor(cores(), "json")


def refused(status, text):
    """Answers as TensorFlow Serving does."""
    return JSONResponse({"error": text}, status)


def described(signature):
    """Gives a signature as TensorFlow Serving's metadata has it.

    Args:
        signature: A `predictors.Signature`.

    Returns:
        A dictionary.
    """

    def tensor(name, kind, shape):
        sides = [{"size": str(-1 if side is None else side), "name": ""} for side in shape]
        return {"dtype": TYPES[kind][0], "tensor_shape": {"dim": sides, "unknown_rank": False}, "name": f"{name}:0"}

    name, kind, shape = signature.output
    return {
        "inputs": {key: tensor(key, *told) for key, told in signature.inputs.items()},
        "outputs": {name: tensor(name, kind, shape)},
        "method_name": "tensorflow/serving/predict",
    }


def routes(patches):
    """Makes the routes.

    Args:
        patches: A `Patches`.

    Returns:
        A `fastapi.APIRouter`.
    """
    router, models = APIRouter(prefix="/v1/models", tags=["patches"]), patches.models

    def unknown(name, number=None):
        if name != models.name:
            return refused(404, f"Could not find any versions of model {name}")
        if number is not None and number not in models.states():
            return refused(404, f"Could not find version {number} of model {name}")
        return None

    @router.post("/{name}:predict", openapi_extra=BODY)
    async def predict(name: str, request: Request):
        """Probabilities of patches, by the newest version."""
        if name != models.name:
            return refused(404, f"Servable not found for request: Latest({name})")
        return await patches.predict(request)

    @router.post("/{name}/versions/{number}:predict", openapi_extra=BODY)
    async def predict_by(name: str, number: int, request: Request):
        """The same by one version, which is the one that is loaded."""
        if name != models.name:
            return refused(404, f"Servable not found for request: Specific({name}, {number})")
        return await patches.predict(request, number)

    @router.get("/{name}")
    async def status(name: str):
        """The state of each version."""
        return unknown(name) or _states(models.states())

    @router.get("/{name}/versions/{number}")
    async def status_of(name: str, number: int):
        """The state of one version."""
        return unknown(name, number) or _states({number: models.states()[number]})

    @router.get("/{name}/metadata")
    async def metadata(name: str):
        """The signatures, and under `plankton` what metadata.json says."""
        return unknown(name) or _metadata(models)

    @router.get("/{name}/versions/{number}/metadata")
    async def metadata_of(name: str, number: int):
        """The same of one version, which is the one that is loaded."""
        version = models.current()
        if version is not None and number != version.number:
            return refused(404, f"Could not find version {number} of model {name}")
        return unknown(name) or _metadata(models)

    return router


def _states(states):
    return {
        "model_version_status": [
            {
                "version": str(number),
                "state": state,
                "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error or ""},
            }
            for number, (state, error) in sorted(states.items(), reverse=True)
        ]
    }


def _metadata(models):
    version = models.current()
    if version is None:
        return refused(503, "No version is loaded yet")
    signatures = {name: described(signature) for name, signature in version.signatures.items()}
    return {
        "model_spec": {"name": models.name, "signature_name": "", "version": str(version.number)},
        "metadata": {"signature_def": {"signature_def": signatures}, "plankton": version.metadata},
    }
