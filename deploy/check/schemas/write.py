#!/usr/bin/env python3
"""Writes the JSON schemas of custom kinds that `make k8s` validates by, from the files of their CustomResourceDefinitions:

    deploy/check/schemas/write.py crd.yaml ..

Only structure is kept, and it is made strict: a field that the definition does not know is a fault, as a typing error would be one. One file for
each served version, `<group>_<version>_<kind>.json`.
"""
import json
import pathlib
import sys

import yaml

STRUCTURE = {
    "type", "properties", "required", "items", "enum", "anyOf", "allOf", "oneOf", "not", "additionalProperties", "pattern",
    "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems", "minProperties", "maxProperties",
}


def strict(schema):
    """The same structure by JSON Schema's own words, closed where it lists its properties."""
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for word, value in schema.items():
        if word == "properties":
            kept[word] = {name: strict(of) for name, of in value.items()}
        elif word in ("items", "not", "additionalProperties"):
            kept[word] = strict(value)
        elif word in ("anyOf", "allOf", "oneOf"):
            kept[word] = [strict(of) for of in value]
        elif word in STRUCTURE:
            kept[word] = value
    if schema.get("x-kubernetes-int-or-string"):
        kept.pop("type", None)
        kept.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("nullable") and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    if "properties" in kept and "type" in kept and not schema.get("x-kubernetes-preserve-unknown-fields"):
        kept.setdefault("additionalProperties", False)
    return kept


def main():
    here = pathlib.Path(__file__).parent
    for path in sys.argv[1:]:
        for definition in yaml.safe_load_all(open(path)):
            if not definition or definition.get("kind") != "CustomResourceDefinition":
                continue
            spec = definition["spec"]
            for version in spec["versions"]:
                if not version["served"]:
                    continue
                schema = strict(version["schema"]["openAPIV3Schema"])
                # The definition leaves the metadata to the API server.
                schema["properties"]["metadata"] = {"type": "object", "required": ["name"]}
                name = f"{spec['group']}_{version['name']}_{spec['names']['kind']}.json"
                (here / name).write_text(json.dumps(schema, separators=(",", ":"), sort_keys=True) + "\n")


main()
