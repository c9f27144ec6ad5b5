"""The Helm chart renders to manifests that Kubernetes takes, that have no rights, and that fit the daemon."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from filterd.config import load
from filterd.settings import Config
from tests.house import chart_values
from tests.servers import chart
from tests.servers.chart import Rendered

ROOT = chart.ROOT
SYSTEMD = ROOT / "deploy/systemd"
NEEDED = {"smtp": {"nextHop": "mx.example.net:25", "networks": ["10.0.0.0/8"]}, "secret": "filterd"}
EVERYTHING = NEEDED | {
    "config": '[policy]\nquarantine_at = "normal"\n',
    "state": {"enabled": True, "storageClass": "shared"},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "retrain": {"enabled": True, "corporaClaim": "corpora"},
    "podAnnotations": {"example.net/owner": "mail"},
    "imagePullSecrets": [{"name": "registry"}],
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"key": "mail", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "service": {"type": "LoadBalancer", "smtpPort": 25, "annotations": {"example.net/address": "192.0.2.1"}},
    "networkPolicy": {"smtpFrom": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "metricsFrom": []},
}
LITTLE = NEEDED | {
    name: {"enabled": False} for name in ("autoscaling", "podDisruptionBudget", "networkPolicy", "serviceMonitor")
}
REFUSED = {
    "no next hop": {**NEEDED, "smtp": {"networks": ["10.0.0.0/8"]}},
    "no networks": {**NEEDED, "smtp": {"nextHop": "mx:25"}},
    "no secret": {**NEEDED, "secret": ""},
    "no shared models": {**NEEDED, "retrain": {"enabled": True}},
}
PODS = ("Deployment", "CronJob")

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def engine() -> tuple[list[dict[str, Any]], list[Rendered]]:
    return chart.render([NEEDED, EVERYTHING, LITTLE, *REFUSED.values()])


@pytest.fixture(scope="module")
def everything(engine: tuple[list[dict[str, Any]], list[Rendered]]) -> Rendered:
    return engine[1][1]


def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    """The specification of its pods."""
    spec: dict[str, Any] = manifest["spec"]
    if manifest["kind"] == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    found: dict[str, Any] = spec["template"]["spec"]
    return found


def environment(container: dict[str, Any], secrets: Path) -> dict[str, str]:
    """What it is told, with the secrets in a folder of ours."""
    told = {each["name"]: each["value"] for each in container["env"]}
    return {name: value.replace("/run/secrets/filterd", str(secrets)) for name, value in told.items()}


def test_chart_when_linted_has_no_fault(engine: tuple[list[dict[str, Any]], list[Rendered]]) -> None:
    assert [message for message in engine[0] if message["severity"] > 1] == []


@pytest.mark.parametrize("version", ["oldest", "newest"])
@pytest.mark.parametrize("values", [0, 1, 2], ids=["needed", "everything", "little"])
def test_manifests_are_valid_for_kubernetes(
    engine: tuple[list[dict[str, Any]], list[Rendered]], values: int, version: str
) -> None:
    """By its own schemas, unknown fields refused; the monitor is the Prometheus operator's and not in them."""
    if find_spec("kubernetes_validate") is None and os.environ.get("CI") != "true":
        pytest.skip("pip install --require-hashes -r requirements/deploy.lock")
    schemas = import_module("kubernetes_validate")
    text = (chart.CHART / "Chart.yaml").read_text(encoding="utf-8")
    (oldest,) = re.findall(r'kubeVersion: ">=(\d+\.\d+)', text)
    wanted = {"oldest": oldest, "newest": schemas.latest_version()}[version]
    found = engine[1][values].manifests()

    assert {"Deployment", "Service", "ConfigMap"} <= {manifest["kind"] for manifest in found}
    for manifest in found:
        if not manifest["apiVersion"].startswith("monitoring.coreos.com/"):
            schemas.validate(manifest, wanted, strict=True)


@pytest.mark.parametrize("number", range(len(REFUSED)), ids=REFUSED)
def test_chart_without_what_it_needs_is_refused(
    engine: tuple[list[dict[str, Any]], list[Rendered]], number: int
) -> None:
    """In one line that names the value."""
    value = ["smtp.nextHop", "smtp.networks", "secret", "state.enabled"][number]

    assert value in engine[1][3 + number].error


@pytest.mark.parametrize("kind", PODS)
def test_pods_have_no_rights_and_mount_what_they_name(everything: Rendered, kind: str) -> None:
    """Pod security standard "restricted", a root file system that cannot be written to, and no word to the cluster."""
    spec = pod(everything.one(kind))
    (container,) = spec["containers"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}

    assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    images = [path.read_text(encoding="utf-8") for path in ROOT.glob("deploy/docker/*Dockerfile")]
    users = {user for image in images for user in re.findall(r"(?m)^USER (\d+):\1$", image)}
    assert {str(spec["securityContext"][key]) for key in ("runAsUser", "runAsGroup", "fsGroup")} == users
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"/etc/filterd", Config().server.state_dir, "/tmp", "/run/secrets/filterd"} <= set(mounts)
    assert set(mounts.values()) == {volume["name"] for volume in spec["volumes"]}
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert not container["image"].endswith((":latest", ":"))


@pytest.mark.parametrize("kind", PODS)
def test_environment_of_the_pods_is_a_configuration(everything: Rendered, tmp_path: Path, kind: str) -> None:
    """Every name in it is a setting; the file with it is one too, and the secrets are found."""
    (container,) = pod(everything.one(kind))["containers"]
    for name, text in {"store-url": "postgresql+asyncpg://filterd:x@db/filterd", "secret": "5ec2e7"}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    path = tmp_path / "filterd.toml"
    path.write_text(everything.one("ConfigMap")["data"]["filterd.toml"], encoding="utf-8")

    config = load(path, environment(container, tmp_path)).config

    assert config.policy.quarantine_at == "normal"
    assert config.store.url.reveal().endswith("/filterd")
    assert config.server.secret.reveal() == "5ec2e7"


def test_gateway_listens_where_services_and_probes_look(everything: Rendered, tmp_path: Path) -> None:
    spec = pod(everything.one("Deployment"))
    (container,) = spec["containers"]
    (tmp_path / "store-url").write_text("postgresql://db/filterd", encoding="ascii")
    (tmp_path / "secret").write_text("x", encoding="ascii")
    config = load(None, environment(container, tmp_path)).config
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    services = [everything.one("Service", "filterd"), everything.one("Service", "-metrics")]

    assert {name: int(address.rpartition(":")[2]) for name, address in listening(config)} == ports
    assert {port["targetPort"] for each in services for port in each["spec"]["ports"]} == set(ports)
    assert all(each["spec"]["selector"].items() <= labels(everything).items() for each in services)
    probes = [container[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")]
    assert [probe["path"] for probe in probes] == ["/readyz?exclude=store"] * 2 + ["/healthz"]
    assert {probe["port"] for probe in probes} == {"metrics"}
    assert (config.smtp.next_hop, config.smtp.relay_networks) == ("mx.example.net:25", ("10.0.0.0/8",))
    assert config.smtp.xforward_networks == config.smtp.relay_networks
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > wait + config.server.drain_timeout_seconds


def listening(config: Config) -> Iterator[tuple[str, str]]:
    """(name of the port, address)."""
    yield from (("smtp", address) for address in config.smtp.listen)
    yield from {"http": config.server.http_listen, "metrics": config.server.admin_listen}.items()


def labels(rendered: Rendered) -> dict[str, str]:
    """Of the gateway's pods."""
    found: dict[str, str] = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
    return found


def test_objects_beside_the_gateway_find_its_pods(everything: Rendered) -> None:
    """Autoscaler, disruption budget, spread, network policy and monitor name what is there."""
    deployment = everything.one("Deployment")
    selectors = [
        deployment["spec"]["selector"],
        everything.one("PodDisruptionBudget")["spec"]["selector"],
        everything.one("NetworkPolicy")["spec"]["podSelector"],
        pod(deployment)["topologySpreadConstraints"][0]["labelSelector"],
    ]

    assert all(selector["matchLabels"].items() <= labels(everything).items() for selector in selectors)
    retraining = everything.one("CronJob")["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert selectors[2]["matchLabels"].items() <= retraining.items()
    assert not selectors[0]["matchLabels"].items() <= retraining.items()
    target = everything.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]
    watched = everything.one("ServiceMonitor")["spec"]
    metrics = everything.one("Service", "-metrics")
    assert watched["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items()
    assert watched["endpoints"][0]["port"] == metrics["spec"]["ports"][0]["name"]
    assert 'job="filterd"' in (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
    assert metrics["metadata"]["labels"][watched["jobLabel"]] == "filterd"


def test_network_policy_lets_through_what_is_named_and_nothing_else(
    engine: tuple[list[dict[str, Any]], list[Rendered]],
) -> None:
    plain, all_of_it = (engine[1][n].one("NetworkPolicy")["spec"] for n in (0, 1))

    assert plain["policyTypes"] == ["Ingress", "Egress"]
    assert [(rule["ports"][0]["port"], rule["from"]) for rule in all_of_it["ingress"]] == [
        ("smtp", [{"ipBlock": {"cidr": "192.0.2.0/24"}}]),
        ("http", [{"podSelector": {}}]),
    ]
    assert plain["ingress"][2]["ports"][0]["port"] == "metrics"
    assert [port["port"] for rule in plain["egress"] for port in rule["ports"]] == [53, 53, 25, 5432, 443]


def test_cron_job_is_the_timer_and_its_unit(everything: Rendered) -> None:
    """Hour, command, limits of time and memory; one run at a time, and none that is tried again the same night."""
    unit = (SYSTEMD / "filterd-retrain.service").read_text(encoding="utf-8")
    timer = (SYSTEMD / "filterd-retrain.timer").read_text(encoding="utf-8")
    spec = everything.one("CronJob")["spec"]
    job = spec["jobTemplate"]["spec"]
    (container,) = job["template"]["spec"]["containers"]

    minute, hour, *days = spec["schedule"].split()
    assert f"OnCalendar=*-*-* {hour:0>2}:{minute:0>2}\n" in timer
    assert days == ["*", "*", "*"]
    assert spec["concurrencyPolicy"] == "Forbid"
    (command,) = re.findall(r"(?m)^ExecStart=\S+/(trainer .*)$", unit)
    assert container["command"][2].startswith(f"{command};")
    assert f"TimeoutStartSec={job['activeDeadlineSeconds'] // 3600}h\n" in unit
    assert f"MemoryMax={container['resources']['limits']['memory'].removesuffix('i')}\n" in unit
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    claim = everything.one("PersistentVolumeClaim")["metadata"]["name"]
    for kind in PODS:
        state = next(volume for volume in pod(everything.one(kind))["volumes"] if volume["name"] == "state")
        assert state["persistentVolumeClaim"]["claimName"] == claim


@pytest.mark.parametrize(("code", "told"), [(0, 0), (1, 1), (2, 2), (3, 0), (75, 0), (137, 137)])
def test_cron_job_fails_only_where_the_unit_does(everything: Rendered, tmp_path: Path, code: int, told: int) -> None:
    """A refused candidate, or a run that is not done yet, is no failed job."""
    (container,) = pod(everything.one("CronJob"))["containers"]
    trainer = tmp_path / "trainer"
    trainer.write_text(f"#!/bin/sh\nexit {code}\n", encoding="ascii")
    trainer.chmod(0o755)

    done = subprocess.run(container["command"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False)

    unit = (SYSTEMD / "filterd-retrain.service").read_text(encoding="utf-8")
    (accepted,) = re.findall(r"(?m)^SuccessExitStatus=(.*)$", unit)
    assert done.returncode == told
    assert (told == 0) is (code == 0 or str(code) in accepted.split())


def test_every_value_has_a_sentence_and_is_used() -> None:
    templates = "".join(path.read_text(encoding="utf-8") for path in (chart.CHART / "templates").iterdir())
    values = list(chart_values.described())

    assert len(values) > 40
    assert [key for key, _, comment in values if not comment] == []
    unused = [key for key, *_ in values if f".Values.{key}" not in templates]
    # Groups that a template takes as a whole.
    assert {key.rpartition(".")[0] for key in unused} == {"resources", "retrain.resources"}
