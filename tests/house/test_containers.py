"""The images and the composition: Docker's own tools can read them, and they fit the daemon and each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # without types

from filterd.config import load
from filterd.settings import Config

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "deploy/compose"
IMAGES = {
    "filterd": "deploy/docker/Dockerfile",
    "trainer": "deploy/docker/trainer.Dockerfile",
    "postfix": "deploy/compose/postfix/Dockerfile",
}
OURS = ("filterd", "trainer")
HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        message = f"{name} is missing: pip install --require-hashes -r requirements/deploy.lock"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout
    return done.stdout


def stages(name: str) -> list[list[tuple[str, str]]]:
    """The instructions of an image, one list for each FROM; continued lines are joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / IMAGES[name]).read_text(encoding="utf-8")).replace("\\\n", "")
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, " ".join(rest.split())))
    return found


def of(name: str, word: str, *, stage: int = -1) -> list[str]:
    """What follows an instruction in a stage, by default the last one."""
    return [rest for each, rest in stages(name)[stage] if each == word]


def environment(name: str) -> dict[str, str]:
    """The environment that an image starts with, but for its path."""
    words = [re.findall(r"(\w+)=('[^']*'|\S+)", line) for line in of(name, "ENV")]
    return {key: value.strip("'") for found in words for key, value in found if key != "PATH"}


@cache
def composition() -> dict[str, Any]:
    """``compose.yaml`` as it is written."""
    found: dict[str, Any] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.real
@pytest.mark.parametrize("name", IMAGES)
def test_image_when_linted_has_no_fault(name: str) -> None:
    assert _run(_tool("hadolint"), "--failure-threshold", "style", IMAGES[name]) == ""


@pytest.mark.parametrize("name", IMAGES)
def test_image_copies_only_what_is_there_and_let_through(name: str) -> None:
    """``.dockerignore`` begins with everything, and lets through what the images name."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = [line[1:] for line in lines if line.startswith("!")]
    sources = [
        source
        for number in range(len(stages(name)))
        for line in of(name, "COPY", stage=number)
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]

    assert "*" in lines
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [s for s in sources if not any(s == each or s.startswith(f"{each}/") for each in allowed)] == []


@pytest.mark.parametrize("name", OURS)
def test_image_runs_as_a_user_what_the_unit_runs(name: str) -> None:
    """The last stage has no compiler and no source; its user is a number, so that Kubernetes sees it is not root."""
    unit = {"filterd": "filterd.service", "trainer": "filterd-retrain.service"}[name]
    text = (ROOT / "deploy/systemd" / unit).read_text(encoding="utf-8")
    (command,) = re.findall(r"(?m)^ExecStart=/opt/filterd/.venv/bin/(.*)$", text)

    assert len(stages(name)) == 2
    assert of(name, "USER") == ["10001:10001"]
    assert command.split()[: len(json.loads(of(name, "CMD")[0]))] == json.loads(of(name, "CMD")[0])
    assert [line.split()[0] for line in of(name, "COPY")] == ["--from=build"]
    assert of(name, "VOLUME") == [Config().server.state_dir]
    assert "/opt/filterd/.venv/bin:$PATH" in of(name, "ENV")[0]


def test_image_of_the_daemon_is_asked_whether_it_is_ready() -> None:
    (line,) = of("filterd", "HEALTHCHECK")

    assert json.loads(line.partition("CMD ")[2]) == ["filterd", "ready"]


@pytest.mark.parametrize(("name", "lock"), [("filterd", "gateway"), ("trainer", "trainer")], ids=OURS)
def test_image_is_installed_as_the_script_installs(name: str, lock: str) -> None:
    """From the same lock by the same commands, which the tests of ``deploy/install.sh`` run."""
    script = (ROOT / "deploy/install.sh").read_text(encoding="utf-8")
    built = " ".join(of(name, "RUN", stage=0))
    pip = r"-m pip -qq --disable-pip-version-check(?: --no-cache-dir)? install ((?:--[a-z-]+ )+)"

    assert f"-r requirements/{lock}.lock" in built
    assert '"") install_version gateway' in script
    ours = [set(flags.split()) - {"--force-reinstall"} for flags in re.findall(pip, script)]
    assert (
        [set(flags.split()) for flags in re.findall(pip, built)]
        == ours
        == [
            {"--require-hashes"},
            {"--no-deps", "--no-build-isolation"},
        ]
    )
    packages = (ROOT / f"requirements/{lock}.lock").read_text(encoding="utf-8")
    assert ("\ntensorflow-cpu==" in packages) is (name == "trainer")
    assert "\nasyncpg==" in packages


def test_image_listens_on_the_ports_it_names() -> None:
    config = load(None, environment("filterd") | {"PYTHONDONTWRITEBYTECODE": "1"}).config
    listening = [*config.smtp.listen, config.server.http_listen, config.server.admin_listen]

    assert of("filterd", "EXPOSE") == [" ".join(address.removeprefix("0.0.0.0:") for address in listening)]
    assert all(address.startswith("0.0.0.0:") for address in listening)


@pytest.mark.real
def test_composition_is_understood_by_docker(tmp_path: Path) -> None:
    """By Docker's own compose, with every profile, on a copy with the secrets that the script makes."""
    compose = _tool("docker-compose")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("secrets"))
    _run("deploy/compose/secrets.sh", cwd=tmp_path)
    options = ("-f", "deploy/compose/compose.yaml", "--profile", "*")
    text = _run(compose, *options, "config", "--format", "json", cwd=tmp_path)

    services = json.loads(text)["services"]
    assert set(services) == set(composition()["services"])
    mounts = [volume for each in services.values() for volume in each["volumes"] if volume["type"] == "bind"]
    assert len(mounts) >= 6
    assert [mount["source"] for mount in mounts if not Path(mount["source"]).is_file()] == []
    assert {mount["read_only"] for mount in mounts} == {True}
    for each in services.values():
        if "build" in each:
            assert (tmp_path / Path(each["build"]["context"]).relative_to(tmp_path)) == tmp_path
            assert each["build"]["dockerfile"] in IMAGES.values()


def test_secrets_are_made_once_and_are_those_that_services_name(tmp_path: Path) -> None:
    """Nobody else on the machine gets at them; making them again changes nothing."""
    shutil.copy(COMPOSE / "secrets.sh", tmp_path)
    _run(str(tmp_path / "secrets.sh"))
    made = {path.name: path.read_text(encoding="ascii") for path in (tmp_path / "secrets").iterdir()}
    _run(str(tmp_path / "secrets.sh"))

    assert {path.name: path.read_text(encoding="ascii") for path in (tmp_path / "secrets").iterdir()} == made
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {Path(each["file"]).name for each in composition()["secrets"].values()} == set(made)
    assert {secret for each in composition()["services"].values() for secret in each.get("secrets", [])} == set(made)
    assert len(set(made.values())) == len(made)
    assert made["database_url"] == f"postgresql+asyncpg://filterd:{made['postgres_password']}@postgres/filterd"
    ignored = (COMPOSE / ".gitignore").read_text(encoding="ascii").split()
    assert "secrets/" in ignored


@pytest.mark.parametrize("name", OURS)
def test_environment_of_a_service_is_a_configuration(name: str, tmp_path: Path) -> None:
    """With the image's, and over the file that is mounted; every secret it names is given to it."""
    service = composition()["services"][name]
    told = {key: str(value).replace("/run/secrets", str(tmp_path)) for key, value in service["environment"].items()}
    for secret in service["secrets"]:
        text = "postgresql+asyncpg://filterd:x@postgres/filterd" if secret == "database_url" else "5ec2e7"
        (tmp_path / secret).write_text(text, encoding="ascii")

    config = load(COMPOSE / "filterd.toml", environment(name) | told).config

    assert config.store.url.reveal().endswith("@postgres/filterd")
    assert config.server.secret.reveal() == "5ec2e7"
    assert HARDENED.items() <= service.items()
    assert f"filterd-state:{config.server.state_dir}" in service["volumes"]
    assert "./filterd.toml:/etc/filterd/filterd.toml:ro" in service["volumes"]


def test_services_meet_on_the_ports_and_networks_they_name() -> None:
    services = composition()["services"]
    filterd, postfix = services["filterd"], services["postfix"]
    script = (COMPOSE / "postfix/configure.sh").read_text(encoding="utf-8")
    told = {key: value for key, value in filterd["environment"].items() if "file:" not in str(value)}
    config = load(None, environment("filterd") | told).config
    (subnet,) = (each["subnet"] for each in composition()["networks"]["mail"]["ipam"]["config"])

    assert config.smtp.next_hop == "postfix:10026"
    assert "/10026 /'" in script
    assert f"/filterd:{config.smtp.listen[0].rpartition(':')[2]}/'" in script
    assert config.smtp.relay_networks == config.smtp.xforward_networks == (subnet,)
    assert f"network={subnet}\n" in script
    # Only these two can reach the way back, and nothing publishes it.
    assert [name for name, each in services.items() if "mail" in each["networks"]] == ["filterd", "postfix"]
    assert [port for each in services.values() for port in each.get("ports", []) if "10026" in port] == []
    assert all(port.startswith("127.0.0.1:") for each in services.values() for port in each.get("ports", []))
    assert f"127.0.0.1:{config.web.public_url.rpartition(':')[2]}:8025" in filterd["ports"]
    assert composition()["networks"]["data"]["internal"] is True
    assert int(filterd["stop_grace_period"].removesuffix("s")) > config.server.drain_timeout_seconds
    assert "healthcheck" not in filterd, "the image's own would be lost"
    assert postfix["depends_on"]["filterd"]["condition"] == "service_healthy"


def test_prometheus_and_grafana_are_given_what_the_tree_has() -> None:
    """The same jobs as on one machine, at the address of the service; rules and dashboard are where they are sought."""
    ours = yaml.safe_load((COMPOSE / "prometheus.yml").read_text(encoding="utf-8"))
    theirs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    services = composition()["services"]
    lines = [line.split(":") for each in ("prometheus", "grafana") for line in services[each]["volumes"]]
    mounts = {inside: outside for outside, inside, *_ in lines}
    source = yaml.safe_load((COMPOSE / "grafana/datasources.yaml").read_text(encoding="utf-8"))["datasources"][0]
    provider = yaml.safe_load((COMPOSE / "grafana/dashboards.yaml").read_text(encoding="utf-8"))["providers"][0]

    assert ours["scrape_configs"][0]["static_configs"] == [{"targets": ["filterd:9464"]}]
    ours["scrape_configs"][0]["static_configs"] = theirs["scrape_configs"][0]["static_configs"]
    assert ours == theirs
    assert mounts["/etc/prometheus/alerts.yml"] == "../prometheus/alerts.yml"
    assert mounts["/etc/prometheus/prometheus.yml"] == "./prometheus.yml"
    board = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounts[board] == "../grafana/filterd.json"
    assert Path(board).parent == Path(provider["options"]["path"])
    assert source["url"] == "http://prometheus:9090"
