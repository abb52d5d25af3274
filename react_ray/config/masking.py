"""Mask secrets in addresses before they are shown or saved.

Addresses carry passwords and tokens before the host (``s3://KEY:SECRET@bucket``), and signatures in the
options (``?sig=...``). Only the process that opens an address needs them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["MASK", "is_masked", "mask", "mask_address", "masked", "texts_of"]

MASK = "***"
PLAIN_OPTIONS = {
    "region", "scheme", "endpoint_override", "anonymous", "allow_bucket_creation", "allow_bucket_deletion",
    "allow_delayed_open", "background_writes", "connect_timeout", "request_timeout", "retry_limit_seconds",
    "force_virtual_addressing", "check_directory_existence_before_creation", "tls_verify_certificates",
    "tls_ca_file_path", "tls_ca_dir_path", "project_id", "default_bucket_location", "replication",
    "buffer_size", "blob_storage_authority", "dfs_storage_authority", "blob_storage_scheme",
    "dfs_storage_scheme", "enable_tls", "use_mmap", "versionid", "partnumber",
}  # fmt: skip
"""Options of storage addresses that are never secret; the values of all others are masked."""
KEEPS_USER = ("abfs", "abfss", "wasb", "wasbs")
"""Schemes with a container name before the @: abfss://container@account.dfs.core.windows.net."""
IN_TEXT = re.compile(r"""[A-Za-z][\w+.-]*://[^\s'"<>`]*[^\s'"<>`:.,;)]""")
BARE = re.compile(r"""(?<![\w/.@*-])[^\s/'"<>`=(),]+@(?=\[?[\w.:-]*[\w\]]:\d+\b)""")
"""Matches user:password@ or TOKEN@ before host:port, without a scheme."""
CONNECTION = re.compile(r"(?i)\b(AccountKey|SharedAccessKey|SharedAccessSignature)=[^;\s'\"]+")
SCHEME = re.compile(r"(?s)([A-Za-z][\w+.-]*)://(.*)")
MASKED = re.compile(r"(?:^|://|[:\w])\*\*\*@|[?&;#](?:[^/]*=)?\*\*\*")


def mask(text: str) -> str:
    """Replace the secrets of all addresses in ``text`` by ``***``.

    >>> mask("cannot read s3://KEY:SECRET@bucket/a.csv?region=eu&session_token=abc")
    'cannot read s3://***@bucket/a.csv?region=eu&session_token=***'
    """
    if "://" in text:
        text = IN_TEXT.sub(lambda match: mask_address(match[0]), text)
    if "@" in text:
        text = BARE.sub(f"{MASK}@", text)
    return CONNECTION.sub(rf"\1={MASK}", text) if "=" in text else text


def mask_address(address: str) -> str:
    """Replace the secrets of one address, which may contain spaces and quotes, by ``***``."""
    match = SCHEME.fullmatch(address)
    if not match:
        return mask(address)
    scheme, rest = match.groups()
    user, at, place = _split_user(rest)
    path, *options = re.split(r"([?#])", place, maxsplit=1)
    masked_address = f"{scheme}://{_mask_user(user, scheme.lower())}{at}{path}"
    return masked_address + options[0] + _mask_options(options[1]) if options else masked_address


def masked(tree: Any) -> Any:
    """Return a tree of settings (mappings, lists, values) with all strings masked."""
    if isinstance(tree, str):
        return mask_address(tree) if "://" in tree else mask(tree)
    if isinstance(tree, Mapping):
        return {key: masked(value) for key, value in tree.items()}
    return [masked(value) for value in tree] if isinstance(tree, list | tuple) else tree


def is_masked(text: str) -> bool:
    """Whether the secret of this address was replaced by ``***``."""
    return bool(MASKED.search(text))


def texts_of(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Iterate over the strings in a tree of settings, with their dotted keys."""
    for key, value in tree.items():
        if isinstance(value, str):
            yield f"{prefix}{key}", value
        elif isinstance(value, Mapping):
            yield from texts_of(value, f"{prefix}{key}.")


def _split_user(rest: str) -> tuple[str, str, str]:
    """Split the part of an address after :// into user information, "@" and the rest.

    A password may contain an unescaped slash; then it ends at the last @.
    """
    host = rest.partition("/")[0]
    if "@" not in host and re.search(r":(?!\d*$)", host.rpartition("]")[2]):
        user, at, place = rest.rpartition("@")
        return (user, at, place) if at else (host, at, rest[len(host) :])
    user, at, host = host.rpartition("@")
    return user, at, host + rest[len(user) + len(at) + len(host) :]


def _mask_user(user: str, scheme: str) -> str:
    if not user or scheme not in KEEPS_USER:
        return user and MASK
    name, colon, password = user.partition(":")
    return name + colon + (password and MASK)


def _mask_options(options: str) -> str:
    return "".join(
        part if number % 2 else _mask_option(part)
        for number, part in enumerate(re.split(r"(&amp;|[&;#?])", options))
    )


def _mask_option(option: str) -> str:
    name, equals, value = option.partition("=")
    if not equals or not value:
        return (option and not equals and MASK) or option
    return option if name.lower() in PLAIN_OPTIONS and "@" not in value else f"{name}={MASK}"
