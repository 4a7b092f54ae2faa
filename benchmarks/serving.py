"""What `plankton serve` costs beside the SavedModel in process: latency of one request, and many clients at once.

    python benchmarks/serving.py EXPORT [--size 384] [--clients 32] [--seconds 60] [--json serving.json]

Needs a machine that does nothing else: both sides use all cores, by turns. Clients run in this process and share them.
"""

import argparse
import base64
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import numpy as np

from plankton_keras.scans import open_scan
from plankton_keras.synthetic import write_scans
from plankton_keras.tiles import Window

PATH = "/v1/models/plankton:predict"
BATCH = 16


def main():
    """Reads the options, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("export", type=Path)
    parser.add_argument("--size", type=int, default=384, help="side of the patches")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60, help="of the many clients")
    parser.add_argument("--rounds", type=int, default=5, help="of the single requests, by turns")
    parser.add_argument("--repeats", type=int, default=20, help="requests a round")
    parser.add_argument(
        "--work", type=Path, default=Path("serving-bench"), help="folder of the scan, and of the service"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    patches = cut(options.work, options.size)
    files = [cv2.imencode(".png", patch)[1].tobytes() for patch in patches]
    direct = Direct(options.export)
    port = free_port()
    words = ["serve", str(options.export), "--data", str(options.work / "data"), "--port", str(port), "--quiet"]
    server = subprocess.Popen([sys.executable, "-m", "plankton_keras", *words])
    try:
        wait_for(port)
        result = {"size": options.size, "bytes_of_a_png": len(files[0])}
        result["latency"] = latency(direct, port, patches, files, options)
        result["throughput"] = throughput(direct, port, files, options, server.pid)
    finally:
        server.terminate()
        server.wait()
    print(json.dumps(result, indent=2))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


def cut(work, size):
    """Cuts patches from a synthetic scan: what is sent compresses as scans do."""
    if not work.exists():
        write_scans(work, train=0, val=0, test=1, size=(2048, 1536), seed=7)
    path = next(path for path in sorted((work / "test").iterdir()) if "_scan" in path.name)
    with open_scan(path) as scan:
        places = [
            (top, left) for top in range(0, scan.height - size, size) for left in range(0, scan.width - size, size)
        ]
        return [np.ascontiguousarray(scan.read(Window(top, left, size, size))) for top, left in places[:BATCH]]


class Direct:
    """The SavedModel as TensorFlow loads it."""

    def __init__(self, export):
        import tensorflow as tf

        version = max(int(path.name) for path in export.iterdir() if path.name.isdigit())
        self._loaded, self._tf = tf.saved_model.load(str(export / str(version))), tf

    def files(self, files):
        return self._loaded.signatures["serving_bytes"](image_bytes=self._tf.constant(files))["probabilities"].numpy()

    def array(self, patches):
        return self._loaded.signatures["serving_default"](image=self._tf.constant(patches))["probabilities"].numpy()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


def wait_for(port):
    for _ in range(600):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
    raise SystemExit("the service does not start")


def of_files(files):
    rows = [{"b64": base64.b64encode(data).decode()} for data in files]
    return json.dumps({"signature_name": "serving_bytes", "instances": rows}).encode()


def ask(connection, body):
    """Sends a request; gives status and body."""
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def timed(function, repeats):
    """Milliseconds of each call."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        function()
        found.append(1000 * (time.perf_counter() - started))
    return found


def latency(direct, port, patches, files, options):
    """Medians of single requests, in rounds of direct and served by turns."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    array = patches[0][None, ..., None]
    body_of_file, body_of_array = of_files(files[:1]), json.dumps({"instances": array.tolist()}).encode()
    expected = direct.files(files[:1])
    for body in (body_of_file, body_of_array):
        status, content = ask(connection, body)
        found = np.array(json.loads(content)["predictions"]) if status == 200 else np.nan
        if not np.abs(found - expected).max() <= 1e-5:
            raise SystemExit(f"the service answers something else: {status} {content[:200]}")
    sides = {
        "file_direct": lambda: direct.files(files[:1]),
        "file_served": lambda: ask(connection, body_of_file),
        "array_direct": lambda: direct.array(array),
        "array_served": lambda: ask(connection, body_of_array),
    }
    found = {name: [] for name in sides}
    for _ in range(options.rounds):
        for name, side in sides.items():
            timed(side, 2)
            found[name] += timed(side, options.repeats)
    result = {f"{name}_ms": round(statistics.median(values), 2) for name, values in found.items()}
    for kind in ("file", "array"):
        base, served = result[f"{kind}_direct_ms"], result[f"{kind}_served_ms"]
        result[f"{kind}_allowed_ms"] = round(1.3 * base + 3, 2)
        result[f"{kind}_within"] = served <= 1.3 * base + 3
    return result


def throughput(direct, port, files, options, pid):
    """Many clients at once, between two measurements of the direct call on batches."""
    before, direct_cpu = rate_of(direct, files)
    bodies, counts, lock = [of_files([data]) for data in files], {}, threading.Lock()
    until = time.monotonic() + options.seconds
    memory = [memory_mb(pid)]

    def client(index):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.monotonic() < until:
            try:
                status, _ = ask(connection, bodies[index % len(bodies)])
            except OSError as error:
                status, connection = type(error).__name__, http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            with lock:
                counts[status] = counts.get(status, 0) + 1
            if status == 429:
                time.sleep(0.1)

    started, own, other = time.monotonic(), time.process_time(), cpu_seconds(pid)
    threads = [threading.Thread(target=client, args=(index,)) for index in range(options.clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        memory.append(memory_mb(pid))
    seconds = time.monotonic() - started
    # What the cores worked says something on a busy machine too.
    each = 1000 / max(counts.get(200, 0), 1)
    cpu = {"served": (cpu_seconds(pid) - other) * each, "clients": (time.process_time() - own) * each}
    after, _ = rate_of(direct, files)
    served = counts.get(200, 0) / seconds
    base = (before + after) / 2
    return {
        "direct_patches_per_second": [round(before, 2), round(after, 2)],
        "served_patches_per_second": round(served, 2),
        "ratio": round(served / base, 3),
        "cpu_ms_a_patch": {name: round(value, 1) for name, value in {"direct": direct_cpu, **cpu}.items()},
        "answers": {str(status): count for status, count in counts.items()},
        "memory_mb": {
            "start": memory[0],
            "after_a_sixth": memory[len(memory) // 6],
            "half": memory[len(memory) // 2],
            "end": memory[-1],
            "most": max(memory),
        },
    }


def rate_of(direct, files):
    """Patches a second of the direct call on batches of 16, and milliseconds of all cores for one."""
    direct.files(files)
    own = time.process_time()
    seconds = sum(timed(lambda: direct.files(files), 5)) / 1000
    return 5 * len(files) / seconds, 1000 * (time.process_time() - own) / (5 * len(files))


def cpu_seconds(pid):
    """Seconds that the cores have worked for a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid):
    """Memory of a process that is no file's."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) // 1024 for line in text.splitlines() if line.startswith("Anonymous:"))


if __name__ == "__main__":
    main()
