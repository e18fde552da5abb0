"""The prefetch job: `python -m llmworkflow_jobs.prefetch`.

It brings the base model to the cache that all pods share, and to a mirror if there is to be one, before a GPU is taken.
"""

from __future__ import annotations

import posixpath

from pyarrow import fs

from llmworkflow_jobs import model, report, storage
from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.report import Report

# Without it a folder is no model, so it comes last.
_LAST = "config.json"


def main(config: JobConfig, report: Report) -> None:
    """Fetch the model, check it, and copy it to `mirror`. Nothing is published: the model is no artifact."""
    storage.claim(config)
    report.progress(0, 1, f"fetching {config.model['source']}")
    base = model.resolve(config, report)
    if mirror := config.section["mirror"]:
        _copy(base.folder, mirror, config, report)
    report.succeed(None)


def _copy(folder: str, mirror: str, config: JobConfig, report: Report) -> None:
    """Copy the model file by file; a copy that is cut short is refused by whoever would read it."""
    local = fs.LocalFileSystem()
    filesystem, target = storage.open_uri(mirror, config)
    names = [posixpath.relpath(info.path, folder) for info in storage.list_files(local, folder)]
    for done, name in enumerate(sorted(names, key=lambda name: (name == _LAST, name))):
        report.progress(done, len(names), f"copying {name} to {mirror}")
        filesystem.create_dir(posixpath.dirname(f"{target}/{name}"), recursive=True)
        fs.copy_files(
            f"{folder}/{name}",
            f"{target}/{name}",
            source_filesystem=local,
            destination_filesystem=filesystem,
        )


if __name__ == "__main__":
    report.run(main)
