"""kill -9 in the middle of a job: after a restart it is done, and nothing half-written was ever served."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("fastapi")
from serving import draw, encoded, service

pytestmark = pytest.mark.slow

# A service whose model takes its time, in a process of its own.
PROCESS = """
import sys, time
sys.path.insert(0, {tests!r})
from serving import Service, by_gray
from plankton_keras.config import PredictConfig

def slowly(images):
    time.sleep(0.05)
    return by_gray(images)

served = Service({data!r}, probabilities=slowly, config=PredictConfig(tile=128, context=16, batch_size=1))
served.worker.start()
print("ready", flush=True)
time.sleep(600)
"""


def start(data):
    code = PROCESS.format(tests=str(Path(__file__).parent), data=str(data))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout.readline() == b"ready\n"
    return process


def kill_when(process, is_time, seconds=300):
    deadline = time.monotonic() + seconds
    while not is_time() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the service ended before it could be killed"
    process.stdout.close()


def state_of(data, id):
    """Reads the store from outside, as another process may."""
    import sqlite3

    with sqlite3.connect(f"file:{data}/jobs.sqlite?mode=ro", uri=True) as connection:
        return connection.execute("select state from jobs where id = ?", (id,)).fetchone()[0]


@pytest.mark.parametrize(
    "moment", ["predicting", "prediction/*_mask.png", "measures.partial", "measures.partial/*.zip"]
)
def test_a_job_survives(tmp_path, moment):
    data, content = tmp_path / "data", encoded(np.tile(draw(), (3, 3)))
    with service(data) as served:
        whole = served.done(content, dpi=2400)
        id = served.upload(content, dpi=2400)
    folder = data / "jobs" / id
    process = start(data)
    kill_when(process, lambda: state_of(data, id) == moment or any(folder.glob(moment)))
    assert state_of(data, id) in ("predicting", "measuring")
    with service(data) as served:
        assert served.job(id)["state"] == "waiting"
        for path in ("files", "objects", "summary"):
            assert served.client.get(f"/v1/jobs/{id}/{path}").status_code == 409
    process = start(data)
    kill_when(process, lambda: state_of(data, id) == "done")
    with service(data) as served:
        assert served.job(id)["objects"] == 36
        assert served.objects(id) == served.objects(whole)
        for name in ("rg_mask.png", "rg_overlay.jpg", "rg_objects.csv", "objects.csv", "objects.parquet"):
            one, other = (served.client.get(f"/v1/jobs/{each}/files/{name}").content for each in (id, whole))
            assert one == other, name
        assert not list((data / "jobs" / id).rglob("*partial*"))
