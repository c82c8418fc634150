"""The example of a RayJob: what a lab copies has to be what KubeRay and the driver accept."""

import importlib.util

import yaml
from conftest import PIPELINES

# Fields of ray.io/v1 as of KubeRay 1.7 that the example may use (ray-operator/config/crd/bases/ray.io_rayjobs.yaml).
JOB = {"entrypoint", "entrypointNumCpus", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "backoffLimit"}
CLUSTER = {"rayVersion", "headGroupSpec", "workerGroupSpecs"}
WORKERS = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}


def test_fields_and_versions():
    job = yaml.safe_load((PIPELINES / "ray/rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    assert set(spec) == JOB | {"rayClusterSpec"} and set(cluster) == CLUSTER
    assert set(cluster["headGroupSpec"]) == {"rayStartParams", "template"}
    # The parameters are command-line arguments, so their values are texts.
    assert all(isinstance(value, str) for value in cluster["headGroupSpec"]["rayStartParams"].values())
    pinned = (PIPELINES / "ray/requirements.txt").read_text().strip()
    assert pinned == f"ray=={cluster['rayVersion']}"
    for group in cluster["workerGroupSpecs"]:
        assert set(group) == WORKERS and group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        pod = group["template"]["spec"]
        mounted = {mount["name"] for container in pod["containers"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_driver_takes_the_command_line():
    spec = importlib.util.spec_from_file_location("medcosmos_ray", PIPELINES / "ray/medcosmos_ray.py")
    driver = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(driver)
    job = yaml.safe_load((PIPELINES / "ray/rayjob.yaml").read_text())
    _python, _script, *words = job["spec"]["entrypoint"].split()
    arguments = driver.parsed(words)
    assert (arguments.stage, arguments.gpus_per_worker, arguments.cpus_per_worker) == ("predict", 1, 8)
    # A worker fits into the pods.
    pod = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    limits = pod["resources"]["limits"]
    assert (limits["cpu"], limits["nvidia.com/gpu"]) == ("8", "1")
    assert arguments.options[:2] == ["--model", "mobile-sam"]
