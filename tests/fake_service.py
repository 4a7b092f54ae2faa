"""A service that answers the page without a model: the real tiles, a drawn scan with known objects, canned answers."""

import asyncio
import base64
import copy
import functools
import io
import itertools
import json
import threading
import time
import uuid
import zipfile
from pathlib import Path

import cv2
import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from plankton_keras.measures.zooprocess import measure
from plankton_keras.serve.tile_routes import routes
from plankton_keras.synthetic import TAXA, draw_scan
from plankton_keras.taxa import PALETTE
from plankton_keras.vignette_pictures import encode_picture, vignette

PAGE = Path(__file__).resolve().parents[1] / "plankton_keras" / "serve" / "page"
POLICY = "default-src 'self'; img-src 'self' data: blob:; style-src 'self'; frame-ancestors 'none'"
PIXEL_MM = 25.4 / 2400
LIVING = {taxon.name: taxon.living for taxon in TAXA}
NAMES = [taxon.name for taxon in TAXA if taxon.id]
COLOURS = {name: PALETTE[1 + index % (len(PALETTE) - 1)] for index, name in enumerate(NAMES)}


@functools.cache
def drawn_once(size):
    return draw_scan(*size, seed=3, coverage=0.06)


def found_objects(drawn, renamed=None):
    """The objects of a drawn scan, as the API gives them, and their masks by label."""
    objects, masks, rng = {}, {}, np.random.default_rng(0)
    for taxon in TAXA[1:]:
        _, labels, boxes, _ = cv2.connectedComponentsWithStats((drawn.mask == taxon.id).astype(np.uint8))
        for index in range(1, len(boxes)):
            left, top, width, height, area = (int(value) for value in boxes[index])
            if area < 60:
                continue
            label = len(objects) + 1
            masks[label] = (left, top, labels[top : top + height, left : left + width] == index)
            name = (renamed or {}).get(taxon.name, taxon.name)
            objects[label] = described(label, name, *masks[label], score=float(rng.beta(6, 2)))
    return objects, masks


def described(label, taxon, left, top, mask, score=0.5):
    rings, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = [(cv2.approxPolyDP(ring, 0.8, True)[:, 0] + (left, top)).tolist() for ring in rings]
    area = int(mask.sum())
    box = [left, top, mask.shape[1], mask.shape[0]]
    esd = 2 * (area / np.pi) ** 0.5 * PIXEL_MM
    about = {"label": label, "taxon": taxon, "score": round(score, 3), "box": box, "area_px": area, "esd_mm": esd}
    return {**about, "multiple": False, "corrected": False, "outline": outline}


class FakeService:
    """The state of the service.

    Attributes:
        token: What it asks for, or None.
        fail_parts: So many parts of uploads are cut in the middle.
        hold: Set it to an Event, and the second half of a part waits for it.
        step_seconds: How long a job stays in a state.
        posts: Uploads that were begun.
        refusals: So many streams of events are refused.
        early: So many times a scan is asked for too early for its tiles.
        broken: So many answers with the objects break in their middle.
        streams: Streams of events that are open.
    """

    def __init__(self, folder, size=(1400, 1800), renamed=None):
        self.folder, self.token, self.fail_parts, self.hold, self.step_seconds = Path(folder), None, 0, None, 0.3
        self.drawn = drawn_once(size)
        self.first, self.masks = found_objects(self.drawn, renamed)
        self.classes = [
            {"name": (renamed or {}).get(name, name), "living": LIVING[name], "colour": COLOURS[name]} for name in NAMES
        ]
        self.jobs, self.states, self.posts, self.changes = {}, {}, 0, 0
        self.refusals = self.early = self.broken = self.streams = 0

    def add(self, scan, state="done", content=None, id=None):
        """Adds a job as if it had come before."""
        id = id or uuid.uuid4().hex
        path = self.folder / f"{id}.pgm"
        if content is None:
            cv2.imwrite(str(path), self.drawn.scan)
        height, width = self.drawn.scan.shape
        known = {"id": id, "scan": scan, "state": state, "progress": float(state == "done"), "error": None}
        known |= {"created": "2026-11-25T09:00:00Z", "expires": None, "seconds": 12.5, "model": "plankton"}
        known |= {"version": 3, "model_sha256": "ab" * 32, "height": height, "width": width, "dpi": 2400.0}
        known |= {"megapixels": height * width / 1e6, "objects": len(self.first), "revision": 0}
        self.jobs[id] = known | {"bytes": 0, "received": 0}
        self.states[id] = {"now": copy.deepcopy(self.first), "masks": dict(self.masks), "past": [], "future": []}
        self.changes += 1
        return id

    def find(self, id):
        if self.early:
            self.early -= 1
            raise HTTPException(409, "The job is predicting")
        return self.folder / f"{id}.pgm", None, self.folder / f"{id}_tiles"

    def change(self, id, **values):
        self.jobs[id] |= values
        self.changes += 1

    def compute(self, id):
        for state, progress in (("waiting", 0), ("predicting", 0.2), ("predicting", 0.6), ("measuring", 0.9)):
            self.change(id, state=state, progress=progress)
            time.sleep(self.step_seconds)
            if self.jobs.get(id, {}).get("state") == "cancelled":
                return
        self.change(id, state="done", progress=1.0)

    # Corrections

    def correct(self, id, given):
        state = self.states[id]
        before = copy.deepcopy(state["now"])
        now, masks = state["now"], state["masks"]
        if given["op"] == "rename":
            for label in given["labels"]:
                now[label] |= {"taxon": given["taxon"], "corrected": True}
        elif given["op"] == "delete":
            for label in given["labels"]:
                del now[label]
        elif given["op"] == "merge":
            self._replace(now, masks, given["labels"], [joined([masks[label] for label in given["labels"]])])
        else:
            self._replace(now, masks, [given["label"]], parted(masks[given["label"]], given["line"]))
        state["past"].append(before)
        state["future"].clear()
        return self._answer(id, before)

    def _replace(self, now, masks, labels, found):
        taxon = now[labels[0]]["taxon"]
        for label in labels:
            del now[label]
        for each in found:
            label = max(masks) + 1
            masks[label] = each
            now[label] = described(label, taxon, *each) | {"corrected": True}

    def move(self, id, there, back):
        state = self.states[id]
        if not state[there]:
            return None
        before = state["now"]
        state[back].append(before)
        state["now"] = state[there].pop()
        return self._answer(id, before)

    def _answer(self, id, before):
        now = self.states[id]["now"]
        self.change(id, revision=self.jobs[id]["revision"] + 1, objects=len(now))
        changed = [each for label, each in now.items() if before.get(label) != each]
        return {
            "revision": self.jobs[id]["revision"],
            "objects": changed,
            "removed": [label for label in before if label not in now],
        }

    def summary(self, id):
        now = self.states[id]["now"].values()
        taxa = {each["taxon"] for each in now}
        counts = [
            {"taxon": taxon, "living": LIVING.get(taxon, True), "count": sum(each["taxon"] == taxon for each in now)}
            | {"area_mm2": 1.0, "biovolume_mm3": sum(each["esd_mm"] ** 3 / 2 for each in now if each["taxon"] == taxon)}
            for taxon in sorted(taxa)
        ]
        edges, bins = 2.0 ** np.arange(-10, 6), []
        for low, high in itertools.pairwise(edges):
            mine = [volume for each in now if low <= (volume := np.pi / 6 * each["esd_mm"] ** 3) < high]
            bins.append({"low": low, "high": high, "count": len(mine), "biovolume": sum(mine)})
        spectrum = {"unit": "mm3", "bins": bins}
        return {"revision": self.jobs[id]["revision"], "counts": counts, "spectrum": spectrum, "flags": []}


def joined(parts):
    left, top = min(part[0] for part in parts), min(part[1] for part in parts)
    right = max(part[0] + part[2].shape[1] for part in parts)
    bottom = max(part[1] + part[2].shape[0] for part in parts)
    mask = np.zeros((bottom - top, right - left), bool)
    for x, y, each in parts:
        mask[y - top : y - top + each.shape[0], x - left : x - left + each.shape[1]] |= each
    return left, top, mask


def parted(part, line):
    left, top, mask = part
    cut = mask.astype(np.uint8)
    points = (np.array(line) - (left, top)).round().astype(np.int32)
    cv2.polylines(cut, [points], False, 0, 2)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(cut, connectivity=4)
    largest = sorted(range(1, len(boxes)), key=lambda index: -boxes[index][4])[:2]
    found = []
    for index in largest:
        x, y, width, height, _ = (int(value) for value in boxes[index])
        found.append((left + x, top + y, labels[y : y + height, x : x + width] == index))
    return found


def three(status, error, expected="something else.", fix="try again."):
    return JSONResponse({"error": error, "expected": expected, "fix": fix}, status)


def build_app(fake):
    """Makes the application of a `FakeService`."""
    app = FastAPI()

    @app.middleware("http")
    async def guard(request: Request, go_on):
        given = request.cookies.get("plankton_token")
        if fake.token and given != fake.token and request.url.path.startswith("/v1"):
            response = three(401, "The token is missing.", "the token of this service.", "give it.")
        else:
            response = await go_on(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    @app.post("/session")
    async def session(request: Request):
        given = (await request.json())["token"]
        if given != fake.token:
            return three(401, "This is not the token.")
        response = Response(status_code=204)
        response.set_cookie("plankton_token", given, httponly=True, samesite="strict")
        return response

    @app.get("/")
    def page():
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/v1/service")
    def service():
        limits = {"upload_bytes": 4 * 10**9, "megapixels": 1000}
        about = {"name": "plankton", "model": "plankton", "version": 3, "model_sha256": "ab" * 32, "classifier": True}
        return about | {"classes": fake.classes, "limits": limits}

    app.include_router(routes(fake.find))
    add_uploads(app, fake)
    add_jobs(app, fake)
    add_objects(app, fake)
    return app


def add_uploads(app, fake):
    @app.post("/v1/uploads")
    def begin(request: Request):
        about = dict(part.split(" ") for part in request.headers["upload-metadata"].split(","))
        name = base64.b64decode(about["filename"]).decode()
        id = fake.add(name.rsplit(".", 1)[0], "uploading", b"")
        (fake.folder / f"{id}.pgm").write_bytes(b"")
        dpi = float(base64.b64decode(about["dpi"])) if "dpi" in about else None
        fake.change(id, bytes=int(request.headers["upload-length"]), received=0, seconds=None, objects=None, dpi=dpi)
        fake.posts += 1
        return Response(status_code=201, headers={"Location": f"/v1/uploads/{id}"})

    @app.head("/v1/uploads/{id}")
    def where(id: str):
        if id not in fake.jobs:
            return Response(status_code=404)
        job = fake.jobs[id]
        return Response(headers={"Upload-Offset": str(job["received"]), "Upload-Length": str(job["bytes"])})

    @app.patch("/v1/uploads/{id}")
    async def part(id: str, request: Request):
        job, body = fake.jobs[id], await request.body()
        if int(request.headers["upload-offset"]) != job["received"]:
            return three(409, "The offset is not where the upload stands.")
        cut = fake.fail_parts > 0
        first = body[: len(body) // 2] if cut or fake.hold else body
        with open(fake.folder / f"{id}.pgm", "ab") as file:
            file.write(first)
        fake.change(id, received=job["received"] + len(first))
        if cut:
            fake.fail_parts -= 1
            return three(503, "The disk is busy.")
        if fake.hold:
            await asyncio.get_running_loop().run_in_executor(None, fake.hold.wait, 60)
            return three(503, "The disk is busy.")
        if fake.jobs[id]["received"] == job["bytes"]:
            threading.Thread(target=fake.compute, args=(id,), daemon=True).start()
        return Response(status_code=204, headers={"Upload-Offset": str(fake.jobs[id]["received"])})

    @app.delete("/v1/uploads/{id}")
    def end(id: str):
        fake.jobs.pop(id, None)
        fake.changes += 1
        return Response(status_code=204)


def add_jobs(app, fake):
    @app.get("/v1/jobs")
    def jobs():
        return {"jobs": list(reversed(fake.jobs.values()))}

    @app.get("/v1/folders")
    def folders():
        known = any(job["scan"] == "from_folder" for job in fake.jobs.values())
        return {"folders": [{"id": "f1", "name": "cruise_2009", "scans": 1}] if not known else []}

    @app.post("/v1/folders/{id}")
    def open_folder(id: str):
        return {"jobs": [fake.jobs[fake.add("from_folder")]]}

    @app.get("/v1/events")
    def events(request: Request):
        if fake.refusals:
            fake.refusals -= 1
            return three(503, "The service starts.")
        return StreamingResponse(told(request, None), media_type="text/event-stream")

    @app.get("/v1/jobs/{id}/events")
    def job_events(id: str, request: Request):
        return StreamingResponse(told(request, id), media_type="text/event-stream")

    async def told(request, id):
        fake.streams += 1
        try:
            async for text in changes(request, id):
                yield text
        finally:
            fake.streams -= 1

    async def changes(request, id):
        seen, said = -1, {}
        yield ": hello\n\n"
        while not await request.is_disconnected() and not fake.closing:
            if fake.changes != seen:
                seen = fake.changes
                for job in list(fake.jobs.values()):
                    if id in (None, job["id"]) and said.get(job["id"]) != job:
                        said[job["id"]] = dict(job)
                        yield f"event: job\ndata: {json.dumps(job)}\n\n"
                for gone in [each for each in said if each not in fake.jobs]:
                    del said[gone]
                    yield f"event: deleted\ndata: {json.dumps({'id': gone})}\n\n"
            if id and fake.jobs.get(id, {"state": "done"})["state"] in ("done", "failed", "cancelled"):
                return
            await asyncio.sleep(0.05)

    @app.get("/v1/jobs/{id}")
    def job(id: str):
        return fake.jobs.get(id) or three(404, f"There is no job {id}.", "a job of /v1/jobs.", "look at the list.")

    @app.delete("/v1/jobs/{id}")
    def end(id: str):
        if fake.jobs[id]["state"] in ("done", "failed", "cancelled"):
            del fake.jobs[id]
            fake.changes += 1
            return Response(status_code=204)
        fake.change(id, state="cancelled")
        return fake.jobs[id]

    @app.get("/v1/jobs/{id}/files")
    def files(id: str):
        names = ["objects.csv", *(["ecotaxa_package.zip"] if fake.states[id].get("exported") else [])]
        return {"files": [{"name": name, "bytes": 1234, "what": "table of the objects"} for name in names]}

    @app.get("/v1/jobs/{id}/files/{name}")
    def file(id: str, name: str):
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as package:
            package.writestr("ecotaxa_a.tsv", json.dumps(list(fake.states[id]["now"].values())))
        return Response(content.getvalue(), media_type="application/zip")

    @app.post("/v1/jobs/{id}/export")
    def export(id: str):
        fake.states[id]["exported"] = True
        return {**files(id), "too_large": ["salp_7"]}


def add_objects(app, fake):
    @app.get("/v1/jobs/{id}/objects")
    def objects(id: str):
        now = list(fake.states[id]["now"].values())
        classes = [{**each, "count": sum(o["taxon"] == each["name"] for o in now)} for each in fake.classes]
        answer = {"revision": fake.jobs[id]["revision"], "classes": classes, "objects": now}
        if fake.broken:
            fake.broken -= 1
            text = json.dumps(answer)
            return StreamingResponse([text[: len(text) // 2]], headers={"Content-Length": str(len(text))})
        return answer

    @app.get("/v1/jobs/{id}/objects/{name}.png")
    def picture(id: str, name: int):
        left, top, mask = fake.states[id]["masks"][name]
        gray = fake.drawn.scan[top : top + mask.shape[0], left : left + mask.shape[1]]
        return Response(encode_picture(vignette(gray, mask, PIXEL_MM)), media_type="image/png")

    @app.get("/v1/jobs/{id}/objects/{label}")
    def one(id: str, label: int):
        known = fake.states[id]["now"].get(label)
        if not known:
            return three(404, f"There is no object {label}.")
        left, top, mask = fake.states[id]["masks"][label]
        gray = fake.drawn.scan[top : top + mask.shape[0], left : left + mask.shape[1]]
        others = [each["name"] for each in fake.classes if each["name"] != known["taxon"]]
        shares = (known["score"], *(round((1 - known["score"]) * part, 3) for part in (0.6, 0.3, 0.1)))
        likeliest = [
            {"name": name, "probability": share} for name, share in zip([known["taxon"], *others], shares, strict=False)
        ]
        measures = measure(gray, mask, (left, top), PIXEL_MM)
        return {"label": label, "taxon": known["taxon"], "score": known["score"]} | {
            "measures": measures,
            "likeliest": likeliest,
        }

    @app.get("/v1/jobs/{id}/summary")
    def summary(id: str):
        return fake.summary(id)

    def stale(id, revision):
        """Whether a client saw another revision; None is any, as for the service."""
        return revision is not None and revision != fake.jobs[id]["revision"]

    def changed():
        return three(409, "The objects were changed by someone else.", "the current revision.", "look again.")

    @app.post("/v1/jobs/{id}/corrections")
    async def correct(id: str, request: Request):
        given = await request.json()
        return changed() if stale(id, given.pop("revision", None)) else fake.correct(id, given)

    @app.post("/v1/jobs/{id}/corrections/undo")
    def undo(id: str, given: dict | None = None):
        if stale(id, (given or {}).get("revision")):
            return changed()
        return fake.move(id, "past", "future") or three(400, "There is nothing to undo.")

    @app.post("/v1/jobs/{id}/corrections/redo")
    def redo(id: str, given: dict | None = None):
        if stale(id, (given or {}).get("revision")):
            return changed()
        return fake.move(id, "future", "past") or three(400, "There is nothing to redo.")


class Running:
    """The fake service on a port of its own, in a thread."""

    def __init__(self, fake):
        fake.closing, self.fake = False, fake
        self.server = uvicorn.Server(uvicorn.Config(build_app(fake), port=0, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}/"
        return self

    def __exit__(self, *_):
        self.fake.closing = self.server.should_exit = True
        self.thread.join(20)
