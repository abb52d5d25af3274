"""The file that names and describes the classes (--labels)."""

from __future__ import annotations

import yaml

from react_ray.config.yaml_text import MAX_BYTES, compose_yaml
from react_ray.data.sources import open_source
from react_ray.errors import InputError
from react_ray.tasks.label_names import label_name

__all__ = ["read_label_file"]


def read_label_file(path: str) -> dict[str, str]:
    """Read class names and descriptions ("" for none) from a YAML mapping or list of names.

    Names are read as written (``no`` is a name, not a boolean) and then normalized as
    labels in data files are. Raises InputError.
    """
    pairs = _pairs(path)
    described: dict[str, str] = {}
    for key, text in pairs:
        try:
            name = label_name(key)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
        if name is None:
            raise InputError(f"{path}: a class without a name (description: {text!r})")
        if name in described:
            raise InputError(f"{path}: class {name!r} is listed twice")
        described[name] = " ".join(text.split())
    return described


def _pairs(path: str) -> list[tuple[str, str]]:
    with open_source(path).open() as file:
        content = file.read(MAX_BYTES + 1)
    root = compose_yaml(content, path)
    if isinstance(root, yaml.MappingNode):
        return [(_scalar(key, path), _scalar(value, path)) for key, value in root.value]
    if isinstance(root, yaml.SequenceNode):
        return [(_scalar(node, path), "") for node in root.value]
    raise InputError(f"{path}: expected lines of the form 'name: description', or a list of names")


def _scalar(node: yaml.Node, path: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        line = node.start_mark.line + 1
        raise InputError(f"{path}, line {line}: expected one name or one description here, not several")
    return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
