"""Names of classes: the same name from every kind of file."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

import yaml

from react_ray.data.sources import open_source
from react_ray.errors import InputError
from react_ray.yaml_text import MAX_BYTES, compose_yaml

__all__ = ["label_name", "read_label_file"]

MAX_CHARS = 200
WHOLE = re.compile(r"([+-]?\d+)\.0+")


def label_name(value: Any) -> str | None:
    """The name of the class that a cell holds, or None where there is no label.

    1, 1.0 and "1.0" are all "1" and True is "true", as programs that write csv differ
    in this. A list holds one name or, where it is empty, none. Raises ValueError with the reason when
    the cell is no single name.
    """
    if isinstance(value, list) and len(value) < 2:
        value = value[0] if value else None
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, (list, dict, tuple)):
        raise ValueError(f"a list of labels where one is expected: {str(value)[:80]}")
    if not isinstance(value, (str, bool, int, float)):
        raise ValueError(f"not a label: {type(value).__name__} where a name is expected")
    name = unicodedata.normalize("NFC", str(value).strip())
    if "\0" in name or not _is_unicode(name):
        raise ValueError("bad encoding: the label holds null bytes or bytes that are not UTF-8")
    if len(name) > MAX_CHARS:
        raise ValueError(f"label too long: {len(name):,} characters, at most {MAX_CHARS}")
    if name in ("True", "False"):
        return name.lower()
    whole = WHOLE.fullmatch(name)
    return whole[1] if whole else None if name in ("", "NaN", "nan") else name


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_label_file(given: str) -> dict[str, str]:
    """Class name -> description ("" for none) from a YAML mapping or list of names.

    Names are read as they stand (``no`` is a name, not a boolean) and then treated as
    labels in data files are. Raises InputError.
    """
    pairs = _pairs(given)
    described: dict[str, str] = {}
    for key, text in pairs:
        try:
            name = label_name(key)
        except ValueError as error:
            raise InputError(f"{given}: {error}") from None
        if name is None:
            raise InputError(f"{given}: a class without a name (description: {text!r})")
        if name in described:
            raise InputError(f"{given}: class {name!r} is listed twice")
        described[name] = " ".join(text.split())
    return described


def _pairs(given: str) -> list[tuple[str, str]]:
    with open_source(given).open() as file:
        content = file.read(MAX_BYTES + 1)
    root = compose_yaml(content, given)
    if isinstance(root, yaml.MappingNode):
        return [(_scalar(key, given), _scalar(value, given)) for key, value in root.value]
    if isinstance(root, yaml.SequenceNode):
        return [(_scalar(node, given), "") for node in root.value]
    raise InputError(f"{given}: expected lines of the form 'name: description', or a list of names")


def _scalar(node: yaml.Node, given: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        line = node.start_mark.line + 1
        raise InputError(f"{given}, line {line}: expected one name or one description here, not several")
    return "" if node.tag == "tag:yaml.org,2002:null" else str(node.value)
