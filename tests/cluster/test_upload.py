"""What travels with a job: code and settings, and no data, junk or secrets."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import unzip_package
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

from react_ray.cluster import upload
from react_ray.cluster.upload import LINKS, SECRETS, SPECIAL, UNREADABLE, check_arguments, collect, pack
from react_ray.errors import InputError

KEPT = ["run.yaml", "labels.yaml", "code/part.py", "notes.md"]
LEFT = [
    ".env",
    ".git/config",
    ".venv/lib/x.so",
    ".ssh/id_ed25519",
    "server.pem",
    "out/report.html",
    "build/lib/a.py",
    "code/__pycache__/part.pyc",
    "labels.csv",
    "LABELS.CSV",
    "pile/part.parquet",
    "model/model.safetensors",
    "ignored.txt",
    "code/own.txt",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "sent"
    for name in [*KEPT, *LEFT]:
        write(root, name)
    (root / ".gitignore").write_text("ignored.txt\n")
    (root / "code" / ".rayignore").write_text("own.txt\n")
    return root


def write(root: Path, name: str, content: str | bytes = "text") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def arrived(folder: Path, scratch: Path) -> set[str]:
    """The files that Ray unpacks on a node after it has packed and uploaded what we give it."""
    sent: list[bytes] = []

    def send(path: str, excludes: list[str], is_file: bool = False) -> None:
        assert is_file
        sent.append(Path(path).read_bytes())

    scratch.mkdir()
    archive = pack(collect(folder), scratch / "upload.zip")
    upload_working_dir_if_needed({"working_dir": str(archive)}, include_gitignore=True, upload_fn=send)
    (scratch / "package.zip").write_bytes(sent[0])
    there = scratch / "there"
    unzip_package(
        str(scratch / "package.zip"), str(there), remove_top_level_directory=False, unlink_zip=False
    )
    return {path.relative_to(there).as_posix() for path in there.rglob("*") if not path.is_dir()}


def test_code_and_settings_travel_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    found = collect(folder)
    assert found.sizes == dict.fromkeys(KEPT, 4)
    assert arrived(folder, tmp_path / "scratch") == set(KEPT)
    assert sorted(found.left_out[SECRETS]) == [".env", ".ssh", "server.pem"]


def test_the_same_files_give_the_same_package(folder: Path, tmp_path: Path) -> None:
    first = pack(collect(folder), tmp_path / "a.zip").read_bytes()
    (folder / "run.yaml").touch()
    assert pack(collect(folder), tmp_path / "b.zip").read_bytes() == first


SECRET_NAMES = """\
    .env .env.production prod.env .envrc id_rsa ID_RSA id_rsa.pub id_dsa id_ecdsa id_ed25519 id_ed25519_sk
    id_rsa.bak deploy_rsa key.pem KEY.PEM server.key server.key.old cert.pfx cert.p12 store.jks a.keystore
    vault.kdbx login.ppk office.ovpn secring.gpg krb5.keytab AuthKey_1.p8 .netrc _netrc .pgpass .npmrc .pypirc
    .git-credentials .aws/credentials .azure/token.json .config/gcloud/access_tokens.db .kube/config
    .docker/config.json .ssh/config .gnupg/private-keys-v1.d/a kubeconfig prod.kubeconfig kubeconfig.yaml
    my-kubeconfig admin.conf credentials Credentials.json credentials.json.bak my_credentials.yaml
    client_secret_123.json client-secrets.json secrets.yaml secret.txt service-account.json
    service_account_prod.json my-serviceaccount.json terraform.tfstate terraform.tfstate.backup prod.tfvars
    htpasswd .htpasswd passwd shadow passwords.txt auth_token api_key.txt API-KEY openai_api_key.txt
    access_token.json token token.json hf_token github-token.txt keys.txt private_key.der
    secrets/anything.txt kaggle.json .dockerconfigjson
"""


@pytest.mark.parametrize("name", SECRET_NAMES.split())
@pytest.mark.parametrize("place", ["", "deep/er/"])
def test_files_with_names_of_secrets_stay_and_are_named(name: str, place: str, tmp_path: Path) -> None:
    write(tmp_path, "run.yaml")
    write(tmp_path, place + name, b"\x00\x01 not a text")
    found = collect(tmp_path)
    assert list(found.files) == ["run.yaml"]
    (left,) = found.left_out[SECRETS]
    assert (place + name).startswith(left)
    (note,) = found.notes()
    assert note.startswith("left out files that look like secrets (1): ")
    assert left in note


@pytest.mark.parametrize(
    "name",
    [
        *("token.py", "secrets.py", "passwords.md", "keys.py", "tokenizer.json", "tokenizer_config.json"),
        *("special_tokens_map.json", "added_tokens.json", "config.json", "environment.yaml", "monkey.txt"),
        *(
            "secrets/__init__.py",
            "tokens/words.yaml",
            "keys/code.py",
            "env/model.yaml",
            "password/reset.yaml",
        ),
        *("keyboard.yaml", "shadows.txt", "requirements.txt", "token_classification.yaml", "secretary.txt"),
    ],
)
def test_other_names_travel(name: str, tmp_path: Path) -> None:
    write(tmp_path, name)
    assert list(collect(tmp_path).files) == [name]


PEM = "-----BEGIN {}PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n" * 9
WORD = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0"


@pytest.mark.parametrize(
    "content",
    [
        *(PEM.format(kind) for kind in ("", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")),
        PEM.format("RSA ").replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n", 1),
        PEM.format("").replace("\n", "\r\n"),
        '{"type": "service_account", "private_key": "' + PEM.format("").replace("\n", "\\n") + '"}',
        '{"ca": "x\\n' + PEM.format("").replace("\n", "\\n") + '"}',
        PEM.format("PGP ").replace("KEY-----", "KEY BLOCK-----"),
        PEM.format("").encode("utf-16"),
        f"users:\n- user: {{client-key-data: {WORD}}}\n",
        '{"auths": {"registry.example": {"auth": "dXNlcjpwYXNzd29yZA=="}}}',
        "key = AKIA" + "Q7RWBX2D5ZK3MNPL",
        f"aws_secret_access_key={WORD}",
        f'AWS_SECRET_ACCESS_KEY: "{WORD}"',
        "AccountKey=" + WORD * 2 + "==",
        "TOKEN = 'hf_" + WORD[:34] + "'",
        "ghp_" + WORD[:36],
        "github_pat_" + WORD + WORD,
        "glpat-" + WORD[:20],
        "OPENAI=sk-proj-" + WORD,
        "sk-" + WORD,
        "sk-ant-api03-" + WORD,
        "xoxb-" + "1234567890-" + WORD,
        "https://x/?key=AIza" + WORD[:35],
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + WORD,
        "team:" + "0f" * 32 + "\n",
    ],
    ids=range(28),
)
def test_files_with_secrets_inside_stay_whatever_their_name(content: str | bytes, tmp_path: Path) -> None:
    write(tmp_path, "deep/settings.py", content)
    found = collect(tmp_path)
    assert not found.files
    assert found.left_out == {SECRETS: ["deep/settings.py"]}


@pytest.mark.parametrize(
    "content",
    [
        "if '-----BEGIN PRIVATE KEY-----' in text:\n    raise ValueError(text)\n",
        "AKIAIOSFODNN7EXAMPLE",
        "a task-oriented disk-bound risk-free run; see sk-learn",
        "sha256: " + "0f" * 32 + " and more",
    ],
)
def test_code_about_secrets_travels(content: str, tmp_path: Path) -> None:
    write(tmp_path, "check.py", content)
    assert list(collect(tmp_path).files) == ["check.py"]


def test_what_rayignore_names_with_its_whole_path_travels_all_the_same(folder: Path, tmp_path: Path) -> None:
    write(folder, "conf/credentials.json")
    write(folder, "conf/key.txt", PEM.format(""))
    write(folder, "conf/other.pem")
    write(tmp_path, "outside.txt")
    wanted = {"conf/credentials.json", "conf/key.txt", ".env", "ignored.txt"}
    lines = [*(f"!/{name}" for name in sorted(wanted)), "!*.pem", "!conf/", "!../outside.txt", "!nowhere"]
    (folder / ".rayignore").write_text("\n".join(lines))
    assert arrived(folder, tmp_path / "scratch") == {*KEPT, *wanted}
    assert "add a line !PATH to .rayignore" in next(collect(folder).notes())


def test_a_whitelist_in_rayignore_sends_no_secrets(folder: Path) -> None:
    (folder / ".rayignore").write_text("/*\n!/code/\n")
    write(folder, "code/id_rsa")
    assert list(collect(folder).files) == ["code/part.py"]


def test_links_are_followed_inside_the_folder_only(folder: Path, tmp_path: Path) -> None:
    outside = write(tmp_path, "elsewhere/plan.txt").parent
    links = {
        "code/up": "..",
        "code/self": ".",
        "back": folder,
        "abroad": outside,
        "code/abroad.txt": outside / "plan.txt",
        "chain": "code/abroad.txt",
        "relative": "../elsewhere",
        "loop": "loop",
        "nowhere": "not-there",
        "root": "/",
        "passwd.py": "/etc/passwd",
        "prefix": tmp_path / "sent-too",  # begins with the name of the folder
    }
    write(tmp_path, "sent-too/a.txt")
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "same.yaml").symlink_to("run.yaml")
    (folder / "lib").symlink_to(folder / "code")
    found = collect(folder)
    assert set(found.left_out[LINKS]) == {*links, "lib/up", "lib/self", "lib/abroad.txt"}
    assert arrived(folder, tmp_path / "scratch") == {*KEPT, "same.yaml", "lib/part.py"}


@pytest.mark.parametrize(
    "target", [".env", ".ssh/id_ed25519", "server.pem", "labels.csv", "code/own.txt", ".ssh"]
)
def test_a_link_is_no_way_around_the_rules(target: str, folder: Path, tmp_path: Path) -> None:
    (folder / "plain").symlink_to(folder / target)
    (folder / "code" / "chained").symlink_to("../plain")
    assert arrived(folder, tmp_path / "scratch") == set(KEPT)


def test_folders_that_link_to_each_other_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_FILES", 200)
    for a in range(8):
        for b in range(8):
            (tmp_path / str(a)).mkdir(exist_ok=True)
            (tmp_path / str(a) / f"to{b}").symlink_to(tmp_path / str(b))
    with pytest.raises(InputError, match="more than 200 files and folders"):
        collect(tmp_path).check_size()


def test_pipes_and_sockets_are_not_opened(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder / "pipe")
    (folder / "code" / "to-pipe").symlink_to(folder / "pipe")
    monkeypatch.chdir(folder)  # a socket's path may be short only
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert arrived(folder, tmp_path / "scratch") == set(KEPT)
    assert set(collect(folder).left_out[SPECIAL]) == {"pipe", "code/to-pipe", "socket"}


def test_what_cannot_be_read_or_unpacked_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, "locked.txt")
    write(folder, "back\\slash.txt")
    write(folder, "C:drive.txt")
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("text")
    actual = os.open

    def closed(path: Path, flags: int, *mode: int) -> int:  # root may read whatever its mode says
        if str(path).endswith("locked.txt"):
            raise PermissionError(13, "Permission denied")
        return actual(path, flags, *mode)

    monkeypatch.setattr(upload.os, "open", closed)
    found = collect(folder)
    assert len(found.left_out[UNREADABLE]) == 4
    note = next(line for line in found.notes() if UNREADABLE in line)
    assert "'caf\\udce9.txt'" in note
    assert arrived(folder, tmp_path / "scratch") == set(KEPT)


def test_notes_stay_short_and_on_one_line(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path, f"{number:02}.pem")
    write(tmp_path, "00\n\x1b[2J.pem")
    (note,) = collect(tmp_path).notes()
    assert note.startswith("left out files that look like secrets (21): '00\\n\\x1b[2J.pem', 00.pem, 01.pem")
    assert "05.pem" not in note
    assert note.isprintable()


@pytest.mark.parametrize("pattern", ["!", "[z-a]"])
def test_a_line_of_an_ignore_file_that_is_no_pattern_is_an_error(pattern: str, folder: Path) -> None:
    (folder / "code" / ".rayignore").write_text(f"a\n{pattern}\n")
    with pytest.raises(InputError, match=r"code/\.rayignore line 2: .* is not a valid .gitignore pattern"):
        collect(folder)


def test_a_folder_that_is_too_large_is_refused_with_its_largest_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "video.mp4").write_bytes(b"0" * 2_000_000)
    assert collect(folder).check_size() == "5 files, 2.0 MB"
    monkeypatch.setattr(upload, "MAX_BYTES", 1_000_000)
    with pytest.raises(
        InputError, match=r"(?s)5 files, 2.0 MB.*2.0 MB  video.mp4.*\.rayignore.*--working-dir"
    ):
        collect(folder).check_size()


def test_a_file_of_a_terabyte_is_not_read(folder: Path) -> None:
    with (folder / "disk.img").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"1099511\.\d MB  disk\.img"):
        collect(folder).check_size()


@pytest.mark.parametrize(
    "word",
    [
        *(
            "labels.csv",
            "--labeled=labels.csv",
            "data.labeled=./labels.csv",
            "pile",
            "pile/*.parquet",
            "../{}",
        ),
        "api_keys=server.pem",
    ],
)
def test_a_word_for_a_file_that_stays_here_is_refused(folder: Path, word: str) -> None:
    word = word.format(folder.name + "/labels.csv")
    with pytest.raises(InputError, match="storage that every node"):
        check_arguments(collect(folder), ["--labeled", word])


def test_words_for_what_travels_or_lies_on_the_cluster_are_taken(folder: Path) -> None:
    words = [
        "run.yaml",
        "--labels",
        "labels.yaml",
        "/mnt/data/labels.csv",
        "s3://bucket/labels.csv",
        "seed=1",
    ]
    check_arguments(collect(folder), [*words, "a {} word" * 100, "code/part.py", "nowhere.csv"])


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--working-dir .*no such folder"):
        collect(tmp_path / "nowhere")
