"""Strict YAML parser: plain values only, and every error is one line with its position.

PyYAML accepts duplicate keys, expands a few hundred bytes of aliases to gigabytes, and raises many kinds of
errors with messages of several lines.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from react_ray.errors import ConfigError

__all__ = ["MAX_BYTES", "compose_yaml", "parse_yaml", "read_yaml"]

MAX_BYTES = 8 << 20
MAX_NODES = 200_000
"""Maximum values in a document; each alias counts with all values that it expands to."""


def read_yaml(path: Path) -> Any:
    """Read a YAML file; None if it is empty. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ConfigError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    return _construct(compose_yaml(content, str(path)), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """Parse YAML in ``text``; ``name`` is its source in error messages. Raises ConfigError."""
    return _construct(compose_yaml(text.encode("utf-8", "surrogatepass"), name), name)


def compose_yaml(content: bytes, name: str) -> yaml.Node | None:
    """Parse a YAML document in UTF-8 into checked nodes; None if it is empty. Raises ConfigError."""
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{name} is larger than {MAX_BYTES >> 20} MiB, the limit for YAML files")
    try:
        root = yaml.compose(content.decode("utf-8-sig"), Loader=_Loader)
        if root is not None:
            _check(root, name, {})
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name} is not YAML in UTF-8: line {line} has bytes of another encoding") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not YAML in UTF-8: {_in_one_line(error)}") from None
    except RecursionError:
        raise ConfigError(f"{name} is nested too deeply") from None
    return root


class _Loader(yaml.SafeLoader):
    """Safe loader that reads dates as text: no setting is a date, but a folder may be named 2024-01-31."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _construct(root: yaml.Node | None, name: str) -> Any:
    if root is None:
        return None
    try:
        return _Loader("").construct_document(root)
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is not plain YAML: {_in_one_line(error)}") from None
    except (ValueError, TypeError, AttributeError, LookupError, OverflowError) as error:
        # raised for tags such as !!int on text that is not an integer
        raise ConfigError(f"{name} is not plain YAML: {str(error)[:200]}") from None


def _check(node: yaml.Node, name: str, sizes: dict[int, int]) -> int:
    """Count the values in ``node``; raises ConfigError for duplicate keys and for too many values."""
    if id(node) in sizes:
        if sizes[id(node)] == 0:
            raise ConfigError(f"{_line(node, name)}: an alias refers to a value that contains it")
        return sizes[id(node)]
    sizes[id(node)] = 0
    if isinstance(node, yaml.MappingNode):
        _check_keys(node, name)
        children = [child for pair in node.value for child in pair]
    else:
        children = node.value if isinstance(node, yaml.SequenceNode) else []
    if not children and "\0" in str(node.value):
        raise ConfigError(f"{_line(node, name)}: text with a null byte")
    size = 1 + sum(_check(child, name, sizes) for child in children)
    if size > MAX_NODES:
        raise ConfigError(f"{_line(node, name)}: more than {MAX_NODES:,} values, aliases included")
    sizes[id(node)] = size
    return size


def _check_keys(node: yaml.MappingNode, name: str) -> None:
    seen: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        if key.value in seen:
            raise ConfigError(
                f"{_line(key, name)}: {key.value!r} is listed twice (first in line {seen[key.value]})"
            )
        seen[key.value] = key.start_mark.line + 1


def _line(node: yaml.Node, name: str) -> str:
    return f"{name}, line {node.start_mark.line + 1}"


def _in_one_line(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        mark = error.problem_mark or error.context_mark
        position = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        hint = "; indent with spaces" if "'\\t'" in error.problem else ""
        return f"{position}{' '.join(error.problem.split())}{hint}"
    return " ".join(str(error).split())
