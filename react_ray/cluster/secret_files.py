"""Detect files that contain secrets, by name and by content.

Names are compared without case, leading dot and suffixes of copies (``id_rsa.bak``,
``credentials (1).json``). Source code is judged by content alone, because ``token.py`` is a module.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["holds_secret", "is_secret_name"]

CODE = {".py", ".pyi", ".pyx", ".ipynb", ".c", ".h", ".cc", ".cpp", ".rs", ".go", ".js", ".ts", ".md", ".rst"}

FOLDERS = {
    *("ssh", "gnupg", "aws", "azure", "kube", "docker", "config", "oci", "kaggle", "huggingface", "ray"),
    *("terraform", "terraform.d", "vault", "databricks", "snowflake", "password-store"),
}
"""Hidden folders, without the dot, where programs store credentials."""
PLAIN_FOLDERS = {"secret", "secrets", "credentials"}
"""Folders whose files are secret, except source code, because they may be packages."""

COPY = r"(?:[.~ (].*)?"
WORD_END = r"(?:[._ ~(-].*)?"
NAMES = re.compile(
    "|".join(
        [
            # private keys, and stores of keys and passwords
            rf".*\.(?:pem|key|pfx|p12|pkcs12|p8|pk8|jks|jceks|bks|keystore|keytab|kdb|kdbx|ppk|ovpn|gpg|pgp){COPY}",
            rf"(?:.*[._ -])?id_(?:rsa|dsa|ecdsa|ed25519){WORD_END}",
            r".*_(?:rsa|dsa|ecdsa|ed25519)",
            # configuration of programs
            rf"_?netrc{COPY}|pgpass{COPY}|my\.cnf|npmrc{COPY}|yarnrc{COPY}|pypirc{COPY}|git-credentials{COPY}",
            rf"(?:.*[._-])?(?:htpasswd|passwd|shadow){COPY}|boto|s3cfg|databrickscfg|dockercfg|admin\.conf",
            rf".*dockerconfigjson|kaggle\.json|vault[_-].*|.*\.(?:tfstate|tfvars){COPY}|envrc|.*\.env|env{COPY}",
            # words for the content
            rf"(?:.*[._ -])?(?:credentials?|secrets?|passwords?|kubeconfig|service[_-]?accounts?){WORD_END}",
            rf"(?:.*[._ -])?(?:api|access|private|auth|account)[_-]?keys?{WORD_END}",
            rf"(?:.*[._ -])?(?:api|access|auth|refresh|bearer)[_-]?tokens?{WORD_END}",
            rf"(?:tokens?|keys){COPY}|.*[._ -]token{COPY}",
        ]
    ),
    re.DOTALL,
)

CONTENT = {
    b"-----BEGIN ": rb"(?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----[\s\S]{0,300}?[A-Za-z0-9+/]{40}",
    b"PuTTY-User-Key-File-": rb"\d",
    b"client-key-data:": rb"\s*[A-Za-z0-9+/=]{40}",  # kubeconfig
    b'"auth"': rb'\s*:\s*"[A-Za-z0-9+/=]{12,}"',  # of a container registry
    b"AKIA": rb"(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}\b",
    b"ASIA": rb"(?![A-Z0-9]{9}EXAMPLE)[A-Z0-9]{16}\b",
    b"aws_secret_access_key": rb"[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/]{40}\b",
    b"AWS_SECRET_ACCESS_KEY": rb"[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9+/]{40}\b",
    b"AccountKey=": rb"[A-Za-z0-9+/]{60}",  # Azure
    b"AIza": rb"[\w-]{35}\b",  # Google
    b"hf_": rb"[A-Za-z0-9]{30}",
    b"github_pat_": rb"\w{50}",
    **dict.fromkeys((b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"[A-Za-z0-9]{36}"),
    **dict.fromkeys((b"glpat-", b"gldt-", b"glrt-", b"glptt-"), rb"[\w-]{20}"),
    b"sk-": rb"(?:(?:proj|svcacct|admin|ant)-[\w-]{20}|[A-Za-z0-9]{32})",
    b"sk_live_": rb"[A-Za-z0-9]{16}",
    b"rk_live_": rb"[A-Za-z0-9]{16}",
    **dict.fromkeys((b"xoxa-", b"xoxb-", b"xoxe-", b"xoxp-", b"xoxr-", b"xoxs-"), rb"[A-Za-z0-9-]{10}"),
    b"npm_": rb"[A-Za-z0-9]{36}\b",
    b"pypi-AgE": rb"[\w-]{40}",
    b"eyJ": rb"[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",  # JSON web token
}
"""Prefixes of keys and tokens -> pattern of the rest; searching the prefix first is faster."""
PATTERNS = {
    begin: re.compile(re.escape(begin) + rb"(?<![A-Za-z0-9]" + re.escape(begin) + rb")" + rest)
    if begin[:1].isalnum()
    else re.compile(re.escape(begin) + rest)
    for begin, rest in CONTENT.items()
}
KEY_LINE = re.compile(rb"(?m)^[A-Za-z0-9._-]{1,64}[ \t]*:[ \t]*[0-9a-fA-F]{64}[ \t]*\r?$")
"""Matches lines of the files that react-ray key writes."""
KEY_FILE_BYTES = 100_000


def is_secret_name(path: str, is_folder: bool = False) -> bool:
    """Whether the relative ``path`` has the name of a secret file, or is in a folder of secrets.

    >>> is_secret_name("conf/ID_RSA"), is_secret_name("tokenizer.json"), is_secret_name("secrets/code.py")
    (True, False, False)
    """
    parts = [part.casefold() for part in PurePosixPath(path).parts]
    if any(part.startswith(".") and part[1:] in FOLDERS for part in parts):
        return True
    name = parts[-1].lstrip(".")
    if is_folder or PurePosixPath(name).suffix in CODE:
        return False
    return bool(NAMES.fullmatch(name)) or not PLAIN_FOLDERS.isdisjoint(parts)


def holds_secret(content: bytes) -> bool:
    """Whether ``content`` contains a private key or the token of a known service."""
    content = content.replace(b"\0", b"")  # so that UTF-16 is searched like ASCII
    if any(begin in content and pattern.search(content) for begin, pattern in PATTERNS.items()):
        return True
    return len(content) <= KEY_FILE_BYTES and bool(KEY_LINE.search(content))
