"""Validates the manifests of a file strictly by Kubernetes' own schemas, and prints them as a list of JSON."""

import json
import sys

import kubernetes_validate
import yaml

# Old and new: what holds for both holds between them.
VERSIONS = ("1.27", "1.34")

with open(sys.argv[1], encoding="utf-8") as file:
    manifests = list(yaml.safe_load_all(file))
for manifest in manifests:
    for version in VERSIONS:
        kubernetes_validate.validate(manifest, version, strict=True)
print(json.dumps(manifests))
