"""The examples of docs/serve.md are run as they stand, and the command is what it says."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from patch_service import listening, patch, png, service, version

from plankton_keras.cli import main
from plankton_keras.errors import SettingError
from plankton_keras.serve.client import Client
from plankton_keras.serve.job_routes import routes
from plankton_keras.serve.jobs import Jobs
from plankton_keras.serve.listening import bind
from plankton_keras.serve.worker import Worker

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "serve.md").read_text()
ADDRESS = "http://127.0.0.1:8501"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    made = service(tmp_path_factory.mktemp("export"))
    with Jobs(tmp_path_factory.mktemp("data")) as jobs:
        worker = Worker(jobs, lambda: (version().predictor, 1))
        with listening(made, routers=[routes(jobs)], background=[worker]) as found:
            yield found


def test_the_curl_examples(address, tmp_path):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    (tmp_path / "patch.png").write_bytes(png(patch()[0]))
    pixels = np.full((300, 400), 220, np.uint8)
    pixels[100:140, 100:140] = 60
    (tmp_path / "scan.png").write_bytes(png(pixels))
    blocks = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    # Fails on an answer that is an error, unlike curl by itself.
    script = 'set -e\ncurl() { command curl -sS --fail-with-body "$@"; echo; }\n' + "".join(blocks)
    assert ADDRESS in script
    done = subprocess.run(
        ["bash", "-c", script.replace(ADDRESS, address)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-500:]
    answers = done.stdout.splitlines()
    assert '"state":"AVAILABLE"' in answers[0]
    assert answers[2].startswith('{"predictions":[[[[0.')
    assert '{"status":"ok"}' in answers
    assert any('"state":"done"' in answer.replace(" ", "") for answer in answers)
    assert any('"name":"scan_mask.png"' in answer.replace(" ", "") for answer in answers)


def test_the_python_example(address):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    known = {"patches": patch(count=2)[..., 0], "Client": Client}
    exec(example.replace(ADDRESS, address), known)
    assert known["probabilities"].shape == (2, 64, 64, 2)


def run(*words, **environment):
    return CliRunner(env={"PLANKTON_TOKEN": "", **environment}).invoke(main, ["serve", *map(str, words)])


def test_another_host_is_refused_without_a_token(tmp_path):
    done = run(tmp_path, "--host", "0.0.0.0")
    assert done.exit_code == 2
    assert done.stderr == (
        "--host 0.0.0.0 is open to other machines, and there is no --token.\n"
        "Expected: a token of at least 16 characters, or --host 127.0.0.1.\n"
        "Fix: set PLANKTON_TOKEN, for example to what `openssl rand -hex 16` prints.\n"
    )


def test_a_short_token_is_refused_and_not_repeated(tmp_path):
    done = run(tmp_path, "--host", "0.0.0.0", PLANKTON_TOKEN="secret")
    assert done.exit_code == 2
    assert "secret" not in done.output


def test_a_port_that_is_taken_is_refused(tmp_path):
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        done = run(tmp_path, "--port", port)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"127.0.0.1, port {port}, cannot be listened to: Address already in use.\n")


# The one is longer than a name may be, the other an address for documents: nobody is asked.
@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("x" * 70, "Name or service not known"),
        ("192.0.2.1", "Cannot assign requested address"),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(host, reason):
    with pytest.raises(SettingError) as caught:
        bind(host, 0)
    assert str(caught.value) == (
        f"{host}, port 0, cannot be listened to: {reason}.\nExpected: an address of this machine and a free port.\n"
        "Fix: choose another --host."
    )


def test_a_folder_that_is_no_export_is_refused(tmp_path):
    done = run(tmp_path / "none", "--port", 0)
    assert done.exit_code == 4
    assert done.stderr == (
        f"{tmp_path / 'none'} is no export.\nExpected: a folder with 1/saved_model.pb.\n"
        f"Fix: plankton export RUN --out {tmp_path / 'none'}\n"
    )


def test_without_the_extra_the_command_says_what_to_install(tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run(tmp_path)
    assert done.exit_code == 2
    assert done.stderr == (
        "fastapi is not installed.\nExpected: the extra serve.\n"
        'Fix: pip install ".[serve]" --constraint constraints.txt\n'
    )
