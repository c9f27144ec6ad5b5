"""What is pushed comes back as it was, from a directory and from a real S3 server, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from filterd.core.envelope import Channel
from filterd.errors import ChecksumMismatch
from filterd.inference.registry import read_bundle
from tests.filterd.tiny_bundle import write_bundle
from tests.servers import s3
from trainer.errors import ManifestError, NotStored, ObjectChanged, StoreConflict, StoreError
from trainer.stores import pull, push

BUNDLE = "sms-20260101T000000-one"
NAMES = ("bundle.json", "model.onnx", "probes.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A store under test, and a way around trainer to what it holds."""

    url: str
    server: s3.S3Server | None = None

    def read(self, path: str) -> bytes:
        if self.server is None:
            return (Path(self.url) / path).read_bytes()
        return self.server.request("GET", self._key(path))

    def write(self, path: str, content: bytes) -> None:
        if self.server is None:
            (Path(self.url) / path).write_bytes(content)
        else:
            self.server.request("PUT", self._key(path), content)

    def delete(self, path: str) -> None:
        if self.server is None:
            (Path(self.url) / path).unlink()
        else:
            self.server.request("DELETE", self._key(path))

    def _key(self, path: str) -> str:
        return f"{self.url.removeprefix('s3://')}/{path}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    with s3.running(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server


@pytest.fixture
def server_in_use(server: s3.S3Server, monkeypatch: pytest.MonkeyPatch) -> s3.S3Server:
    for name, value in server.environ().items():
        monkeypatch.setenv(name, value)
    return server


@pytest.fixture(params=["directory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "directory":
        return Store(url=str(tmp_path / "store"))
    server: s3.S3Server = request.getfixturevalue("server_in_use")
    return Store(url=f"s3://{s3.BUCKET}/{tmp_path.name}/pre fix", server=server)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("source") / BUNDLE, Channel.SMS, id=BUNDLE)


@pytest.fixture
def bundle(source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(source, tmp_path / "trained"))


def recipe(folder: Path) -> Path:
    files = {"model.onnx": b"graph", "tokenizer.json": b"{}"}
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (folder / "recipe.json").write_text(json.dumps({"files": sums}))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_pull_when_a_bundle_was_pushed_then_every_file_is_the_same(store, bundle, tmp_path):
    push(bundle, store.url)

    folder = pull(store.url, BUNDLE, tmp_path / "in")

    assert folder == tmp_path / "in" / BUNDLE
    assert contents(folder) == contents(bundle)
    assert read_bundle(folder).spec.id == BUNDLE
    assert [path.name for path in (tmp_path / "in").iterdir()] == [BUNDLE]


def test_pull_when_a_recipe_was_pushed_then_every_file_is_the_same(store, tmp_path):
    folder = recipe(tmp_path / "lstm-40")
    push(folder, store.url)

    assert contents(pull(store.url, "recipes/lstm-40", tmp_path / "in")) == contents(folder)


def test_pull_when_no_id_is_given_then_it_is_what_was_pushed_last(store, bundle, tmp_path):
    push(bundle, store.url)
    push(write_bundle(tmp_path / "two", Channel.SMS, id="sms-2", bias=-1.0), store.url)

    newest = pull(store.url, "latest", tmp_path / "in")
    push(bundle, store.url)
    again = pull(store.url, "sms/latest", tmp_path / "in")

    assert (newest.name, again.name) == ("sms-2", BUNDLE)


def test_pull_when_both_channels_have_a_latest_then_both_are_named(store, bundle, tmp_path):
    push(bundle, store.url)
    push(write_bundle(tmp_path / "two", Channel.EMAIL, id="email-2"), store.url)

    with pytest.raises(NotStored, match=f"email/email-2, sms/{BUNDLE}"):
        pull(store.url, "latest", tmp_path / "in")

    assert pull(store.url, "email/latest", tmp_path / "in").name == "email-2"


def test_push_when_the_id_is_stored_with_other_content_then_it_stays_as_it_is(store, bundle, tmp_path):
    push(bundle, store.url)
    other = write_bundle(tmp_path / "other", Channel.SMS, id=BUNDLE, bias=-1.0)

    with pytest.raises(StoreConflict, match=f"{BUNDLE}/model.onnx is stored with other content"):
        push(other, store.url)

    assert contents(pull(store.url, BUNDLE, tmp_path / "in")) == contents(bundle)


def test_push_when_it_was_cut_short_before_then_it_is_completed(store, bundle, tmp_path):
    push(bundle, store.url)
    store.delete(f"sms/{BUNDLE}/bundle.json")
    with pytest.raises(NotStored, match=r"holds no .*, only nothing"):
        pull(store.url, BUNDLE, tmp_path / "in")

    push(bundle, store.url)

    assert contents(pull(store.url, BUNDLE, tmp_path / "in")) == contents(bundle)


def test_push_when_a_file_was_changed_since_training_then_nothing_is_stored(store, bundle, tmp_path):
    (bundle / "model.onnx").write_bytes(b"changed")

    with pytest.raises(ChecksumMismatch, match=r"trained/model\.onnx is not the file it was published with"):
        push(bundle, store.url)

    with pytest.raises(NotStored):
        pull(store.url, BUNDLE, tmp_path / "in")


@pytest.mark.parametrize("name", NAMES)
def test_pull_when_an_object_was_changed_then_it_is_named_and_nothing_is_kept(store, bundle, tmp_path, name):
    push(bundle, store.url)
    path = f"sms/{BUNDLE}/{name}"
    store.write(path, store.read(path) + b" ")

    with pytest.raises(ObjectChanged, match=f"{BUNDLE}/{name} is not what was pushed; remove the objects"):
        pull(store.url, BUNDLE, tmp_path / "in")

    assert not list(tmp_path.glob("in/**"))


def test_pull_when_an_object_is_missing_then_it_is_named(store, bundle, tmp_path):
    push(bundle, store.url)
    store.delete(f"sms/{BUNDLE}/probes.jsonl")

    with pytest.raises(ObjectChanged, match=r"probes\.jsonl is missing"):
        pull(store.url, BUNDLE, tmp_path / "in")


def test_pull_when_the_manifest_is_another_bundle_s_then_it_is_refused(store, bundle, tmp_path):
    push(bundle, store.url)
    push(write_bundle(tmp_path / "two", Channel.SMS, id="sms-2"), store.url)
    for name in ("bundle.json", "bundle.json.sha256"):
        store.write(f"sms/sms-2/{name}", store.read(f"sms/{BUNDLE}/{name}"))

    with pytest.raises(ObjectChanged, match=f"is the manifest of sms/{BUNDLE}"):
        pull(store.url, "sms-2", tmp_path / "in")


def test_pull_when_it_is_no_bundle_to_the_daemon_then_nothing_is_kept(store, bundle, tmp_path):
    tree = json.loads((bundle / "bundle.json").read_text())
    del tree["files"]["model.onnx"]
    (bundle / "bundle.json").write_text(json.dumps(tree))
    push(bundle, store.url)

    with pytest.raises(StoreError, match=rf"{BUNDLE}: is not a bundle .* has no checksum of model\.onnx"):
        pull(store.url, BUNDLE, tmp_path / "in")

    assert not list(tmp_path.glob("in/*"))


@pytest.mark.parametrize("name", ["sms-nobody", "email/latest", f"email/{BUNDLE}", "../secret"])
def test_pull_when_the_id_is_unknown_then_what_is_there_is_listed(store, bundle, tmp_path, name):
    push(bundle, store.url)
    store.write(f"sms/{BUNDLE}/notes.txt", b"a stray object")

    with pytest.raises(NotStored) as raised:
        pull(store.url, name, tmp_path / "in")

    assert f"sms/{BUNDLE}" in str(raised.value) or "'..' is none of email, sms, recipes" in str(raised.value)
    assert not (tmp_path / "in").exists()


def test_pull_when_the_folder_is_there_then_it_is_kept_and_other_content_is_not_replaced(store, bundle, tmp_path):
    push(bundle, store.url)
    folder = pull(store.url, BUNDLE, tmp_path / "in")
    assert pull(store.url, BUNDLE, tmp_path / "in") == folder
    (folder / "model.onnx").write_bytes(b"mine")

    with pytest.raises(StoreConflict, match="is there with other content"):
        pull(store.url, BUNDLE, tmp_path / "in")

    assert (folder / "model.onnx").read_bytes() == b"mine"


def test_pull_when_a_manifest_names_a_file_outside_then_it_is_refused(tmp_path):
    folder = recipe(tmp_path / "escape")
    tree = json.loads((folder / "recipe.json").read_text())
    tree["files"] = {"../outside": tree["files"]["model.onnx"]}
    (folder / "recipe.json").write_text(json.dumps(tree))

    with pytest.raises(ManifestError, match=r"'\.\./outside' is not the name of a file"):
        push(folder, str(tmp_path / "store"))


def test_pull_when_the_disk_refuses_then_the_folder_is_named(bundle, tmp_path):
    push(bundle, str(tmp_path / "store"))
    (tmp_path / "in").write_text("a file in the way")

    with pytest.raises(StoreError, match=f"in/{BUNDLE}: cannot be written"):
        pull(str(tmp_path / "store"), BUNDLE, tmp_path / "in")


def test_push_when_the_key_is_unknown_then_the_url_is_named_and_no_secret(server_in_use, bundle):
    url = f"s3://{s3.BUCKET}/locked"

    with server_in_use.asking_for_signatures(), pytest.raises(StoreError) as raised:
        push(bundle, url)

    said = str(raised.value)
    assert said.startswith(f"{url}: ")
    assert "(InvalidAccessKeyId); check the URL and, for s3://, AWS_ENDPOINT_URL" in said
    assert s3.SECRET not in said
    assert "an-invented-key" not in said
    assert not {"\n", "<"}.intersection(said)


def test_pull_when_nobody_listens_then_the_url_and_the_remedy_are_named(server_in_use, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    with pytest.raises(StoreError, match=rf"^s3://{s3.BUCKET}: .*127\.0\.0\.1:1.*check the URL.*AWS_ENDPOINT_URL"):
        pull(f"s3://{s3.BUCKET}", "latest", tmp_path)


@pytest.mark.parametrize("act", [push, lambda _, url: pull(url, "latest", Path("never"))], ids=["push", "pull"])
def test_store_when_the_bucket_does_not_exist_then_the_server_s_word_is_told(server_in_use, bundle, act):
    with pytest.raises(StoreError, match=r"^s3://no-such-bucket/x: .*\(NoSuchBucket\)"):
        act(bundle, "s3://no-such-bucket/x")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://example.org/models", "not a store; give a folder, file:///folder or s3://bucket/prefix"),
        ("s3://", "not a store"),
        ("file://host/folder", "not a store"),
        ("s3://key:secret@bucket/x", "^credentials belong in AWS_ACCESS_KEY_ID"),
    ],
)
def test_push_when_the_url_is_no_store_s_then_the_forms_are_named(bundle, url, words):
    with pytest.raises(StoreError, match=words) as raised:
        push(bundle, url)

    assert "secret" not in str(raised.value)


def test_pull_when_the_directory_is_absent_then_it_is_not_made(tmp_path):
    with pytest.raises(NotStored, match="no such folder"):
        pull(f"file://{tmp_path}/nothing", "latest", tmp_path / "in")

    assert not list(tmp_path.iterdir())


def test_push_when_the_folder_is_no_bundle_then_it_says_what_is_missing(tmp_path):
    with pytest.raises(ManifestError, match=r"holds neither bundle\.json nor recipe\.json"):
        push(tmp_path, str(tmp_path / "store"))


@pytest.mark.slow
def test_push_and_pull_commands_when_run_then_they_print_where_things_are(server_in_use, bundle, tmp_path):
    url = f"s3://{s3.BUCKET}/{tmp_path.name}"

    pushed = _trainer("push", str(bundle), url)
    pulled = _trainer("pull", url, "--into", str(tmp_path / "in"))
    refused = _trainer("pull", url, "sms-nobody", "--into", str(tmp_path / "in"))

    assert (pushed.returncode, pushed.stdout) == (0, f"sms/{BUNDLE}\n")
    assert (pulled.returncode, pulled.stdout) == (0, f"{tmp_path / 'in' / BUNDLE}\n")
    assert refused.returncode == 1
    assert refused.stderr == f"trainer: {url} holds no sms-nobody, only sms/{BUNDLE}\n"


def test_push_command_when_obstore_is_not_installed_then_it_says_what_to_install(bundle, tmp_path):
    code = "import sys; sys.modules['obstore'] = None; from trainer.cli import main; main()"

    done = _run([sys.executable, "-c", code, "push", str(bundle), str(tmp_path / "store")])

    assert done.returncode == 1
    assert done.stderr == "trainer: obstore is not installed; install filterd[s3] to move bundles between machines\n"


def test_commands_of_a_gateway_when_the_training_libraries_are_absent_then_they_run(bundle, tmp_path):
    names = ("tensorflow", "keras", "tf2onnx", "onnx", "rensa", "matplotlib", "sklearn")
    code = f"import sys; sys.modules.update(dict.fromkeys({names})); from trainer.cli import main; main()"
    store, into = str(tmp_path / "store"), str(tmp_path / "in")

    pushed = _run([sys.executable, "-c", code, "push", str(bundle), store])
    pulled = _run([sys.executable, "-c", code, "pull", store, "--into", into])
    scored = _run([sys.executable, "-c", code, "predict", "lottery", "--bundle", f"{into}/{BUNDLE}"])

    assert [pushed.stderr, pulled.stderr, scored.stderr] == ["", "", ""]
    assert "spam" in scored.stdout


def _trainer(*arguments: str) -> subprocess.CompletedProcess[str]:
    return _run([str(Path(sys.executable).parent / "trainer"), *arguments])


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
