"""Published models: what is saved comes back, here and over HTTP; nothing in a folder can run or pass broken."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import hub_mixin
from safetensors.torch import load_file

from itersep.share.hub import PretrainedModel, is_pretrained, load_pretrained
from itersep.system.errors import UserError
from itersep.train.checkpoint import load_model, save_checkpoint
from itersep.train.config import Experiment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def built(experiment: Callable[..., Experiment]) -> Experiment:
    return experiment("--model.filterbank.kind=learned")  # whose filters are weights


@pytest.fixture
def folder(built: Experiment, tmp_path: Path) -> Path:
    PretrainedModel(built.model, built.config, "# The card\n").save_pretrained(tmp_path / "published")
    return tmp_path / "published"


def test_a_model_comes_back_as_it_was(built: Experiment, folder: Path) -> None:
    model, config = load_pretrained(folder)
    mix = torch.randn(1, 500)
    assert torch.equal(model(mix), built.model.eval()(mix))
    assert config == built.config and not model.training
    assert PretrainedModel.from_pretrained(folder).card == "# The card\n"
    assert is_pretrained(folder) and not is_pretrained(folder.parent)


def test_a_folder_holds_weights_configuration_and_card_that_others_read(built: Experiment, folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1
    weights = load_file(folder / "model.safetensors")
    expected = built.model.state_dict()
    assert weights.keys() == expected.keys() and all(torch.equal(weights[name], expected[name]) for name in expected)
    assert json.loads((folder / "config.json").read_text()) == built.config


def test_saving_again_leaves_nothing_of_the_old(built: Experiment, folder: Path, tmp_path: Path) -> None:
    with torch.no_grad():
        built.model.head.linear.bias += 1
    config = built.config | {"train": built.config["train"] | {"epochs": 77}}
    for path in (folder, tmp_path / "new"):
        PretrainedModel(built.model, config, "# Another card\n").save_pretrained(path)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "new" / path.name).read_bytes()


def test_a_folder_whose_writing_was_stopped_is_not_taken_for_whole(
    built: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("itersep.share.hub.write_text", lambda path, text: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        PretrainedModel(built.model, built.config, "").save_pretrained(folder)
    with pytest.raises(UserError, match="published/config.json: no such file"):
        load_pretrained(folder)


@pytest.mark.parametrize("kind", ["published", "checkpoint"])
def test_loading_leaves_the_random_state_alone(built: Experiment, folder: Path, tmp_path: Path, kind: str) -> None:
    save_checkpoint(tmp_path / "best.pt", {"config": built.config, "model": built.model.state_dict()})
    torch.manual_seed(123)
    before = torch.get_rng_state()
    load_pretrained(folder) if kind == "published" else load_model(tmp_path / "best.pt")
    assert torch.equal(torch.get_rng_state(), before)


def edit_config(**parts: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | parts))

    return edit


def edit_weights(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    path = "model.safetensors"
    return lambda folder: (folder / path).write_bytes(change((folder / path).read_bytes()))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "config.json: no such file"),
        (lambda folder: (folder / "config.json").write_text('{"model": '), "config.json: is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "config.json: is not JSON of names"),
        (lambda folder: (folder / "config.json").write_text("{}"), "safetensors: its weights are not of the model"),
        (edit_config(model={"nonsense": 1}), "config.json: its configuration does not fit"),
        (edit_config(model=None), "config.json: its configuration does not fit.*'model' is null"),
        (edit_config(more={"is": 1}), "config.json: its configuration does not fit"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors: no such file"),
        (edit_weights(lambda data: b""), "model.safetensors: is not a whole"),
        (edit_weights(lambda data: data[: len(data) // 2]), "model.safetensors: is not a whole"),
        (edit_weights(lambda data: data[:-1]), "model.safetensors: is not a whole"),
        (edit_weights(lambda data: b"PK" + data), "model.safetensors: is not a whole"),
    ],
)
def test_what_is_broken_is_named(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(folder)
    with pytest.raises(UserError, match=message) as caught:
        load_pretrained(folder)
    assert "\n" not in str(caught.value)


def test_a_configuration_names_no_class_and_no_file(
    built: Experiment, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    (tmp_path / "part.yaml").write_text(yaml.safe_dump(built.config["model"]["filterbank"]))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_to_run.py").write_text(f"open({str(made)!r}, 'w')\nclass Part: pass\n")
    run = {"class_path": "module_to_run.Part"}
    file = str(tmp_path / "part.yaml")
    for part in (run, file, *(built.config["model"] | {"filterbank": nested} for nested in (run, file))):
        edit_config(model=part)(folder)
        with pytest.raises(UserError, match="config.json: its configuration does not fit"):
            load_pretrained(folder)
    assert not made.exists()


class Hub(ThreadingHTTPServer):
    """Serves one model, me/model, as the Hub does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.folder, self.asked = folder, set[str]()
        self.options: dict[str, Any] = {}  # by which it is asked

    def answer(self, path: str) -> tuple[bytes | None, dict[str, str]]:
        """Body and headers; no body: not found."""
        path = path.partition("?")[0]
        files = {file.name: file.read_bytes() for file in self.folder.iterdir()}
        if path == "/api/models/me/model/revision/main":
            return json.dumps({"id": "me/model", "sha": COMMIT}).encode(), {}
        if path == f"/api/models/me/model/tree/{COMMIT}":
            tree = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in files.items()]
            return json.dumps(tree).encode(), {}
        name = path.removeprefix(f"/me/model/resolve/{COMMIT}/")
        if name in files:
            self.asked.add(name)
            return files[name], {"ETag": f'"{name}"', "X-Repo-Commit": COMMIT}
        return None, {
            "X-Error-Code": "RevisionNotFound" if path.startswith("/api/models/me/model/") else "RepoNotFound"
        }


class HubHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body, headers = self.server.answer(self.path)
        self.send_response(404 if body is None else 200)
        for name, value in (headers | {"Content-Length": str(len(body or b""))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body or b"")

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Iterator[Hub]:
    """A Hub of this machine, and a cache that is empty."""
    with Hub(folder) as server:
        server.options = {
            "endpoint": f"http://127.0.0.1:{server.server_port}",
            "cache_dir": tmp_path / "cache",
            "token": False,
        }
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_model_comes_from_the_hub_and_nothing_with_it(built: Experiment, hub: Hub) -> None:
    for name in ("run.py", "pytorch_model.bin"):
        (hub.folder / name).write_text("what nobody asked for")
    model, config = load_pretrained("me/model", **hub.options)
    mix = torch.randn(1, 500)
    assert torch.equal(model(mix), built.model.eval()(mix)) and config == built.config
    assert hub.asked == {"model.safetensors", "config.json", "README.md"}


def test_what_the_hub_does_not_have_is_named(hub: Hub) -> None:
    nobody = hub.options | {"endpoint": "http://127.0.0.1:9"}
    for name, options, reason in (
        ("me/another", hub.options, "the Hub has no such model"),
        ("exp/../freq", hub.options, "it is not a valid Hub id"),
        ("me/model", hub.options | {"revision": "v2"}, "the model on the Hub has no such revision"),
        ("me/another", nobody, "it cannot be fetched"),
    ):
        with pytest.raises(UserError, match=f"{name}: there is no such folder, and {reason}") as caught:
            load_pretrained(name, **options)
        assert "\n" not in str(caught.value)


def test_what_is_pushed_is_what_is_saved(built: Experiment, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed = {}

    class Api:
        """Of the Hub, so much as the mixin uses."""

        def __init__(self, token: str | None) -> None:
            pushed["token"] = token

        def create_repo(self, repo_id: str, private: bool | None, exist_ok: bool) -> Any:
            pushed.update(created=repo_id, private=private)
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id: str, folder_path: Path, **options: object) -> str:
            pushed["files"] = {path.name: path.read_bytes() for path in folder_path.iterdir()}
            return f"https://hub/{repo_id}/commit/1"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    url = PretrainedModel.from_pretrained(folder).push_to_hub("me/model", private=True, token="secret")
    assert url == "https://hub/me/model/commit/1"
    assert pushed["files"] == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert (pushed["created"], pushed["private"], pushed["token"]) == ("me/model", True, "secret")
