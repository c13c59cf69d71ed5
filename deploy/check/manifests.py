#!/usr/bin/env python3
"""Renders every overlay and component of deploy/kubernetes and looks for faults: `make k8s`.

- Kubernetes' own kinds by `kubernetes-validate --strict`, custom kinds by the schemas beside this file.
- The number of objects of each kind: an empty rendering is valid, too.
- References: what a pod names (secrets, ConfigMaps, service accounts, ports) and what selects pods must be there.
- checkov, offline.

Whether the binaries understand what the manifests give them is asked of the binaries, in tests/e2e/manifests.rs.
"""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMAS = pathlib.Path(__file__).resolve().parent / "schemas"

# Of every kind that an overlay renders, how many.
EXPECTED = json.loads((pathlib.Path(__file__).resolve().parent / "manifests.json").read_text())

# What checkov wants and we do not, each with its reason.
SKIPPED = {
    "CKV_K8S_15": "an image of a released version does not change; pulling it at every start only adds a way to fail",
    "CKV_K8S_35": "a database URL is read once from the environment, as every option is; keys are files",
    "CKV_K8S_43": "a digest is for the installation to pin: it knows its registry",
}

faults = []


def render(folder):
    command = ["kubectl", "kustomize"] if shutil.which("kubectl") else ["kustomize", "build"]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{folder} does not render:\n{done.stderr}")
    return done.stdout


def custom(name, document):
    group, _, version = document["apiVersion"].rpartition("/")
    schema = SCHEMAS / f"{group}_{version}_{document['kind']}.json"
    if not schema.exists():
        return False
    validator = jsonschema.Draft202012Validator(json.loads(schema.read_text()))
    for error in validator.iter_errors(document):
        place = ".".join(str(step) for step in error.absolute_path)
        faults.append(f"{name}: {document['kind']} {document['metadata']['name']}: {place}: {error.message[:300]}")
    return True


def standard(name, documents, folder):
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump_all(documents))
    done = subprocess.run(
        ["kubernetes-validate", "--strict", str(file)], capture_output=True, text=True, check=False
    )
    # Kinds without a schema are only warned of.
    told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("INFO")]
    if done.returncode != 0 or told:
        faults.append(f"{name}: kubernetes-validate: " + "\n".join(told))


def counts(name, documents):
    seen = dict(sorted(collections.Counter(document["kind"] for document in documents).items()))
    if seen != EXPECTED[name]:
        faults.append(f"{name}: expected {EXPECTED[name]}, rendered {seen}")


def pod(document):
    return document.get("spec", {}).get("template") if document["kind"] in ("Deployment", "StatefulSet", "Job") else None


def made(documents):
    """The names of secrets and ConfigMaps that are there, or that an operator makes of what is there."""
    names = {(d["kind"], d["metadata"]["name"]) for d in documents}
    for d in documents:
        if d["kind"] == "ExternalSecret":
            names.add(("Secret", d["metadata"]["name"]))
        if d["kind"] == "Certificate":
            names.add(("Secret", d["spec"]["secretName"]))
        if d["kind"] == "Cluster":
            names.add(("Secret", f"{d['metadata']['name']}-ca"))
    return names


# Made by hand, as docs/kubernetes.md says: public keys that change without a roll-out.
BY_HAND = {("ConfigMap", "guildhall-trust")}


def references(name, documents):
    there = made(documents) | BY_HAND

    def wants(who, kind, wanted):
        if wanted and (kind, wanted) not in there:
            faults.append(f"{name}: {who} names the {kind} {wanted}, which is not there")

    pods = [(d, pod(d)) for d in documents if pod(d)]
    for d, template in pods:
        who, spec = f"{d['kind']} {d['metadata']['name']}", template["spec"]
        wants(who, "ServiceAccount", spec.get("serviceAccountName"))
        # Whoever is not root reads the files of a secret as one of the pod's group.
        secrets = [v["name"] for v in spec.get("volumes", []) if "secret" in v or any("secret" in s for s in v.get("projected", {}).get("sources", []))]
        if secrets and "fsGroup" not in spec.get("securityContext", {}):
            faults.append(f"{name}: {who} mounts {', '.join(secrets)}, and has no fsGroup to read it by")
        for volume in spec.get("volumes", []):
            for source in [volume, *volume.get("projected", {}).get("sources", [])]:
                wants(who, "Secret", source.get("secret", {}).get("secretName") or source.get("secret", {}).get("name"))
                wants(who, "ConfigMap", source.get("configMap", {}).get("name"))
        for container in spec["containers"]:
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            volumes |= {claim["metadata"]["name"] for claim in d["spec"].get("volumeClaimTemplates", [])}
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    faults.append(f"{name}: {who} mounts {mount['name']}, which is no volume of it")
            for source in container.get("envFrom", []):
                wants(who, "ConfigMap", source.get("configMapRef", {}).get("name"))
                wants(who, "Secret", source.get("secretRef", {}).get("name"))
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                wants(who, "Secret", source.get("secretKeyRef", {}).get("name"))
                wants(who, "ConfigMap", source.get("configMapKeyRef", {}).get("name"))
            ports = {port.get("name") for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                wanted = container.get(probe, {}).get("httpGet", {}).get("port")
                if isinstance(wanted, str) and wanted not in ports:
                    faults.append(f"{name}: {who}: {probe} names the port {wanted}, which the container does not have")

    def matched(selector):
        return [t for _, t in pods if selector.items() <= t["metadata"].get("labels", {}).items()]

    for d in documents:
        who = f"{d['kind']} {d['metadata']['name']}"
        if d["kind"] in ("Service", "PodDisruptionBudget"):
            selector = d["spec"]["selector"]
            found = matched(selector if d["kind"] == "Service" else selector["matchLabels"])
            if not found:
                faults.append(f"{name}: {who} selects no pod")
            for port in d["spec"].get("ports", []) if d["kind"] == "Service" else []:
                for template in found:
                    ports = {p.get("name") for c in template["spec"]["containers"] for p in c.get("ports", [])}
                    if port["targetPort"] not in ports:
                        faults.append(f"{name}: {who} sends to the port {port['targetPort']}, which a pod of it does not have")
        if d["kind"] == "HorizontalPodAutoscaler":
            target = d["spec"]["scaleTargetRef"]
            wants(who, target["kind"], target["name"])
        if d["kind"] == "HTTPRoute":
            for rule in d["spec"]["rules"]:
                for backend in rule["backendRefs"]:
                    wants(who, "Service", backend["name"])
        # Secrets stand in files of their own kind alone, and in no overlay but the one for trying out.
        if d["kind"] == "Secret" and name != "overlays/dev":
            faults.append(f"{name}: {who} is a secret in a manifest")


def hardened(name, folder):
    done = subprocess.run(
        ["checkov", "--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "--file", str(folder / f"{name}.yaml"),
         "--skip-check", ",".join(SKIPPED)],
        capture_output=True, text=True, check=False,
    )
    if done.returncode != 0:
        faults.append(f"{name}: checkov:\n{done.stdout}{done.stderr}")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        tree = pathlib.Path(temporary) / "deploy"
        # A copy, since rendering the overlay for trying out needs secrets made.
        shutil.copytree(ROOT / "deploy", tree, ignore=shutil.ignore_patterns("secrets"))
        guildhall = os.environ.get("GUILDHALL", str(ROOT / "target/debug/guildhall"))
        subprocess.run(
            [tree / "kubernetes/overlays/dev/make-secrets"], env={**os.environ, "GUILDHALL": guildhall}, check=True,
            stdout=subprocess.DEVNULL,
        )
        rendered = pathlib.Path(temporary) / "rendered"
        for overlay in sorted(p for p in (tree / "kubernetes/overlays").iterdir()):
            name = f"overlays/{overlay.name}"
            (rendered / "overlays").mkdir(parents=True, exist_ok=True)
            documents = [d for d in yaml.safe_load_all(render(overlay)) if d]
            counts(name, documents)
            references(name, documents)
            standard(name, [d for d in documents if not custom(name, d)], rendered)
            hardened(name, rendered)
            print(f"{name}: {len(documents)} objects")
    for fault in faults:
        print(f"FAULT {fault}", file=sys.stderr)
    sys.exit(1 if faults else 0)


main()
