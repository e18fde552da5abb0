"""Writes the schemas of KubeRay's resources beside this file: `python make.py FOLDER_OF_THE_GO_MODULE`."""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import yaml

KINDS = ("rayjobs", "rayservices")


def main(module: Path) -> None:
    """Take the schema of version v1 out of each definition, less its descriptions."""
    for kind in KINDS:
        text = (module / "config/crd/bases" / f"ray.io_{kind}.yaml").read_text()
        versions = yaml.load(text, Loader=yaml.CSafeLoader)["spec"]["versions"]
        schema = next(version["schema"] for version in versions if version["name"] == "v1")
        content = json.dumps(without_descriptions(schema["openAPIV3Schema"]), sort_keys=True)
        target = Path(__file__).with_name(f"{kind}.json.gz")
        target.write_bytes(gzip.compress(content.encode(), mtime=0))


def without_descriptions(schema: Any) -> Any:
    """The schema less its descriptions, but not less a property of that name."""
    if isinstance(schema, list):
        return [without_descriptions(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: without_descriptions(value)
        for key, value in schema.items()
        if not (key == "description" and isinstance(value, str))
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
