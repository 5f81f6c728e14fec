"""`sovits-export fetch` from a hub on this machine that does what hubs, mirrors, proxies and hotels do."""

import errno
import hashlib
import json
import os
import shutil
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from sovits_exporter.cli.main import main
from sovits_exporter.fetching import catalog as catalog_file
from sovits_exporter.fetching import download, transport
from sovits_exporter.fetching.catalog import catalog

sys.path.append(str(Path(__file__).parent))
from hub import answering, breaking, running, serve

RNG = np.random.default_rng(1)
BIG, SMALL, V5 = RNG.bytes(1_000_000), b'{"model_type": "hubert"}', RNG.bytes(300_000)
WAYS = {"big.bin": BIG, "config.json": SMALL, "v5.pth": V5}


def digest(content):
    return hashlib.sha256(content).hexdigest()


def small_catalog():
    """A catalog of three files, one of which has no published digest."""
    known = [
        {"path": f"hubert/{n}", "bytes": len(WAYS[n]), "sha256": digest(WAYS[n])}
        for n in ("config.json", "big.bin")
    ]
    newest = [{"path": "v5.pth", "about_bytes": 250_000}]
    into = {"into": "pretrained_models"}
    return {
        "endpoints": [],
        "repositories": {
            "official": {"hub": "some/Voice", "revision": "a" * 40, "modelscope": "other/Voice"},
            "newest": {"hub": "some/Voice", "revision": "main", "modelscope": "other/Voice"},
        },
        "parts": {
            "hubert": {"what": "a net", "licence": "MIT (somebody)", "repository": "official", "files": known, **into},
            "v5": {"what": "new", "licence": "MIT (us)", "repository": "newest", "files": newest, **into},
        },
        "sets": {"v2": ["hubert"], "all": ["hubert", "v5"]},
        "voices": {},
    }  # fmt: skip


@pytest.fixture(autouse=True)
def own_machine(tmp_path, monkeypatch):
    """No caches, proxies, tokens or settings of whoever runs the tests; waiting takes no time."""
    for name in os.environ:
        if name.lower().endswith("_proxy") or name.startswith(("HF_", "MODELSCOPE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SOVITS_EXPORT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub-cache"))
    monkeypatch.setenv("MODELSCOPE_CACHE", str(tmp_path / "scope-cache"))
    use_catalog(monkeypatch, tmp_path, small_catalog())
    monkeypatch.setattr(download, "sleep", no_sleep)
    no_sleep.waited = []
    yield
    catalog.cache_clear()


def use_catalog(monkeypatch, folder, value):
    path = folder / "catalog.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    monkeypatch.setattr(catalog_file, "CATALOG", path)
    catalog.cache_clear()


def no_sleep(seconds):
    no_sleep.waited.append(seconds)


@pytest.fixture
def hub():
    with running() as one:
        fill(one)
        yield one


@pytest.fixture
def mirror():
    with running() as one:
        fill(one)
        yield one


def fill(hub):
    for part in catalog().parts.values():
        for item in part.items:
            if item.repository is not None:
                hub.put(item, WAYS[item.name])


def run(*arguments, code=0, text=None):
    result = CliRunner().invoke(main, ["fetch", *map(str, arguments)], input=text)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def fetched(tmp_path, name="hubert/big.bin"):
    return (tmp_path / "data" / "pretrained_models" / name).read_bytes()


def ask_big(hub, *ways):
    """The small file is served well; what is asked after it gets these ways."""
    hub.ways[:] = [lambda handler, content: serve(handler, content), *ways]


# What a user sees


def test_size_licence_and_place_are_said_then_the_files_are_there(hub, tmp_path):
    said = run("v2", "--endpoint", hub.url, "--yes")
    for words in (
        "1 MB",
        "MIT (somebody)",
        "a net",
        f"into {tmp_path / 'data'}",
        "to fetch: about 1 MB",
        "complete",
    ):
        assert words in said
    assert fetched(tmp_path) == BIG
    assert fetched(tmp_path, "hubert/config.json") == SMALL
    assert [path.name for path in (tmp_path / "data" / ".fetch").iterdir()] == ["fetched.json"]


def test_what_is_there_is_not_fetched_again_and_needs_no_yes(hub):
    run("v2", "--endpoint", hub.url, "--yes")
    count = len(hub.seen)
    assert "there" in run("v2", "--endpoint", hub.url)
    assert len(hub.seen) == count == 2


def test_nothing_is_fetched_without_being_asked(hub, monkeypatch, tmp_path):
    assert "so say --yes" in run("v2", "--endpoint", hub.url, code=2)
    monkeypatch.setattr("sovits_exporter.cli.fetch._is_terminal", lambda: True)
    assert "Aborted" in run("v2", "--endpoint", hub.url, code=1, text="n\n")
    assert hub.seen == []
    assert not (tmp_path / "data").exists()
    run("v2", "--endpoint", hub.url, text="y\n")
    assert fetched(tmp_path) == BIG


def test_list_asks_nobody(hub, tmp_path):
    assert "hubert" in run("--list")
    assert "to fetch" in run("v2", "--list", "--endpoint", hub.url)
    assert hub.seen == []
    assert not (tmp_path / "data").exists()


def test_machines_are_told_in_json(hub, tmp_path):
    answer = CliRunner().invoke(main, ["fetch", "v2", "--json", "--yes", "--endpoint", hub.url])
    told = json.loads(answer.stdout)
    assert [file["was"] for file in told["files"]] == ["missing", "missing"]
    assert json.loads(CliRunner().invoke(main, ["fetch", "v2", "--json"]).stdout)["files"][1][
        "sha256"
    ] == digest(BIG)


@pytest.mark.parametrize("name", ["v9", "", "../x"])
def test_names_that_do_not_exist_are_told_what_does(name):
    assert "expected one of v2, all" in run(name, code=1)
    assert "name what to fetch" in run(code=2)


def test_another_file_in_its_place_is_not_written_over(hub, tmp_path):
    place = tmp_path / "data" / "pretrained_models" / "hubert" / "big.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"mine")
    assert "move it away, then fetch again" in run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert place.read_bytes() == b"mine"
    assert hub.seen == []


# Connections


def test_a_connection_that_drops_is_taken_up_where_it_broke(hub, tmp_path):
    ask_big(hub, breaking(300_000), breaking(300_000), breaking(0))
    said = run("v2", "--endpoint", hub.url, "--yes")
    assert fetched(tmp_path) == BIG
    ranges = [headers.get("range") for path, headers in hub.seen[1:]]
    assert ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=600000-"]
    assert all(headers.get("if-range") for _, headers in hub.seen[2:])
    assert "broke off after 300000 of 1000000 bytes; again in" in said


def test_a_fetch_that_was_killed_goes_on_in_the_next_one(hub, tmp_path):
    ask_big(hub, breaking(400_000), *[answering(500)] * download.ATTEMPTS)
    assert "fails (HTTP 500), 5 times" in run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert not (tmp_path / "data" / "pretrained_models" / "hubert" / "big.bin").exists()
    hub.ways.clear()
    run("v2", "--endpoint", hub.url, "--yes")
    assert hub.seen[-1][1]["range"] == "bytes=400000-"
    assert fetched(tmp_path) == BIG


def test_another_server_goes_on_where_the_first_one_stopped(hub, mirror, tmp_path):
    ask_big(hub, breaking(400_000), answering(404))
    run("v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert mirror.seen[-1][1]["range"] == "bytes=400000-"
    assert "if-range" not in mirror.seen[-1][1]
    assert fetched(tmp_path) == BIG


def test_without_a_digest_another_server_begins_anew(hub, mirror, tmp_path):
    hub.ways[:] = [breaking(100_000), answering(404)]
    run("v5", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert "range" not in mirror.seen[-1][1]
    assert fetched(tmp_path, "v5.pth") == V5


def test_an_end_without_a_length_is_not_taken_for_the_end(hub, tmp_path):
    ask_big(hub, breaking(123_456, Content_Length=""))
    run("v2", "--endpoint", hub.url, "--yes")
    assert hub.seen[-1][1]["range"] == "bytes=123456-"
    assert fetched(tmp_path) == BIG


@pytest.mark.parametrize("length", ["999999", "1000001", "12"])
def test_a_length_that_is_not_that_of_the_file_is_refused_at_once(hub, mirror, length):
    ask_big(hub, breaking(0, Content_Length=length))
    said = run("v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert f"has a file of {length} bytes, expected 1000000" in said
    assert len(mirror.seen) == 1


def test_more_bytes_than_the_file_has_are_not_written(hub, mirror, tmp_path):
    ask_big(hub, answering(200, BIG + BIG, Content_Length=""))
    assert "sends more than 1000000 bytes" in run(
        "v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes"
    )
    assert fetched(tmp_path) == BIG


def test_an_address_where_nobody_listens_and_one_without_the_file_are_passed_over(hub, mirror, tmp_path):
    with running() as gone:
        url = gone.url
    hub.files.clear()
    said = run("v2", "--endpoint", url, "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert "cannot be reached" in said
    assert "has no such file (HTTP 404)" in said
    assert fetched(tmp_path) == BIG


def test_when_nobody_has_it_one_line_says_who_was_asked_and_what_to_do(hub, mirror):
    hub.files.clear()
    mirror.files.clear()
    said = run("v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes", code=1).splitlines()[-1]
    assert said.count("HTTP 404") == 2
    assert "name another endpoint with --endpoint or $HF_ENDPOINT" in said


# Content


def test_other_bytes_of_the_right_length_are_refused_and_leave_nothing(hub, tmp_path):
    ask_big(hub, answering(200, bytes(len(BIG))))
    assert "gave other bytes: sha256" in run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert not list((tmp_path / "data" / ".fetch").glob("*.part"))
    assert not (tmp_path / "data" / "pretrained_models" / "hubert" / "big.bin").exists()


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/octet-stream"])
def test_a_login_page_is_not_taken_for_the_file(hub, mirror, kind, tmp_path):
    page = b"  <!DOCTYPE html><html><title>Hotel</title>".ljust(len(BIG))
    ask_big(hub, answering(200, page, Content_Type=kind))
    assert "gives a web page" in run("v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert fetched(tmp_path) == BIG


def test_a_git_lfs_pointer_is_not_taken_for_the_file(hub):
    pointer = b"version https://git-lfs.github.com/spec/v1\n".ljust(len(BIG))
    ask_big(hub, answering(200, pointer))
    assert "gives a Git LFS pointer" in run("v2", "--endpoint", hub.url, "--yes", code=1)


def test_a_file_that_changed_between_two_parts_begins_anew(hub, tmp_path):
    """The first part is of an older file; the server keeps to If-Range."""
    older = RNG.bytes(len(BIG))
    ask_big(hub, lambda handler, content: serve(handler, older, stop=500_000))
    run("v2", "--endpoint", hub.url, "--yes")
    assert hub.seen[-1][1]["range"] == "bytes=500000-"
    assert fetched(tmp_path) == BIG


def test_parts_of_two_files_are_noticed_also_where_if_range_is_ignored(hub, tmp_path):
    older = RNG.bytes(len(BIG))

    def rest(handler, content):
        del handler.headers["If-Range"]
        serve(handler, content)

    ask_big(hub, lambda handler, content: serve(handler, older, stop=500_000), rest)
    said = run("v2", "--endpoint", hub.url, "--yes")
    assert "gave parts that do not go together, so it begins anew" in said
    assert "range" not in hub.seen[-1][1]
    assert fetched(tmp_path) == BIG


def test_another_part_than_was_asked_for_is_not_glued_on(hub, tmp_path):
    wrong = answering(206, BIG[7:], Content_Range=f"bytes 7-999999/{len(BIG)}")
    ask_big(hub, breaking(500_000), wrong)
    assert "gave another part" in run("v2", "--endpoint", hub.url, "--yes")
    assert fetched(tmp_path) == BIG


def test_a_part_that_is_complete_is_only_compared(hub, tmp_path):
    """Killed between the last byte and the rename: the server answers 416."""
    ask_big(hub, breaking(500_000), *[answering(500)] * download.ATTEMPTS)
    run("v2", "--endpoint", hub.url, "--yes", code=1)
    hub.ways.clear()
    part = next((tmp_path / "data" / ".fetch").glob("big*.part"))
    part.write_bytes(BIG)
    run("v2", "--endpoint", hub.url, "--yes")
    assert fetched(tmp_path) == BIG


# Servers that are busy


def test_retry_after_is_kept_to(hub):
    ask_big(hub, answering(429, Retry_After="7"), answering(503))
    run("v2", "--endpoint", hub.url, "--yes")
    assert no_sleep.waited == [7.0, 4.0]


def test_a_date_may_stand_there(hub):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)
    ask_big(hub, answering(429, Retry_After=later))
    run("v2", "--endpoint", hub.url, "--yes")
    assert 20 < no_sleep.waited[0] <= 50


def test_a_long_wait_is_not_waited_for(hub, mirror):
    ask_big(hub, answering(429, Retry_After="86400"))
    said = run("v2", "--endpoint", hub.url, "--endpoint", mirror.url, "--yes")
    assert "asks to wait 86400 s (HTTP 429)" in said
    assert no_sleep.waited == []


@pytest.mark.parametrize(
    ("status", "said"), [(401, "wants a login"), (403, "refuses"), (418, "answers HTTP 418")]
)
def test_what_will_not_change_is_not_tried_again(hub, status, said):
    ask_big(hub, answering(status))
    assert said in run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert len(hub.seen) == 2


# Redirects and secrets


def test_the_token_stays_with_its_host(hub, mirror, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(transport, "_TOKEN_ORIGIN", ("http", "localhost"))
    path = next(path for path, content in mirror.files.items() if content == BIG)
    ask_big(hub, answering(302, Location=f"{mirror.url}{path}", X_Repo_Commit="b" * 40))
    run("v2", "--endpoint", f"http://localhost:{hub.port}", "--yes")
    assert [headers.get("authorization") for _, headers in hub.seen] == ["Bearer hf_secret"] * 2
    assert [headers.get("authorization") for _, headers in mirror.seen] == [None]
    assert fetched(tmp_path) == BIG


def test_mirrors_are_shown_no_token(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    run("v2", "--yes")
    assert len(hub.seen) == 2
    assert not any("authorization" in headers or "hf_secret" in str(headers) for _, headers in hub.seen)


def test_a_redirect_keeps_range_and_path(hub, tmp_path):
    path = next(path for path, content in hub.files.items() if content == BIG)
    ask_big(hub, breaking(400_000), answering(307, Location=f"{path}?signed=1"))
    run("v2", "--endpoint", hub.url, "--yes")
    assert hub.seen[-1][1]["range"] == "bytes=400000-"
    assert fetched(tmp_path) == BIG


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x"])
def test_a_redirect_leads_to_servers_only(hub, target):
    ask_big(hub, answering(302, Location=target))
    assert "expected https" in run("v2", "--endpoint", hub.url, "--yes", code=1)


def test_a_redirect_from_https_leads_to_https(monkeypatch):
    request = transport.urllib.request.Request(
        "https://huggingface.co/x", headers={"Authorization": "Bearer x"}
    )
    follow = transport._Redirects().redirect_request
    with pytest.raises(transport.UselessError, match="leads to http://"):
        follow(request, None, 302, "", {}, "http://huggingface.co/x")
    assert (
        follow(request, None, 302, "", {}, "https://huggingface.co/y").get_header("Authorization")
        == "Bearer x"
    )
    other = follow(request, None, 302, "", {}, "https://cas-bridge.xethub.hf.co/y")
    assert other.get_header("Authorization") is None


def test_a_circle_of_redirects_ends(hub):
    ask_big(hub, *[answering(302, Location=f"/{i}") for i in range(40)])
    assert "error:" in run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert len(hub.seen) < 20


def test_the_proxy_of_the_environment_is_used(hub, monkeypatch):
    monkeypatch.setenv("http_proxy", hub.url)
    run("v2", "--endpoint", "http://hub.invalid", "--yes")
    assert all(path.startswith("http://hub.invalid/some/Voice/resolve/") for path, _ in hub.seen)


@pytest.mark.parametrize(
    "url", ["hf-mirror.com", "ftp://hf-mirror.com", "https://", "file:///x", "http://a:b", "http://[1"]
)
def test_endpoints_are_addresses(url):
    assert "is no endpoint" in run("v2", "--endpoint", url, "--yes", code=1)


def test_modelscope_has_addresses_of_its_own(hub, monkeypatch, tmp_path):
    value = small_catalog()
    value["endpoints"] = [{"name": "ModelScope", "kind": "modelscope", "url": hub.url}]
    use_catalog(monkeypatch, tmp_path, value)
    run("v2", "--yes")
    assert all(path.startswith("/models/other/Voice/resolve/master/") for path, _ in hub.seen)


# The disk


def test_a_disk_without_room_is_noticed_before_anybody_is_asked(hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: shutil._ntuple_diskusage(10, 10, 1000))
    assert "make room, or choose another folder with --into" in run(
        "v2", "--endpoint", hub.url, "--yes", code=1
    )
    assert hub.seen == []


def test_a_disk_that_fills_up_keeps_what_has_come(hub, monkeypatch, tmp_path):
    inner = Path.open

    def full(self, mode="r", *arguments, **named):
        file = inner(self, mode, *arguments, **named)
        if self.name.startswith("big.bin") and mode == "wb":
            return FullDisk(file, 300_000)
        return file

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        said = run("v2", "--endpoint", hub.url, "--yes", code=1)
    assert "No space left on device; check the path, its rights and the free space" in said
    run("v2", "--endpoint", hub.url, "--yes")
    assert int(hub.seen[-1][1]["range"].removeprefix("bytes=").rstrip("-")) > 0
    assert fetched(tmp_path) == BIG


class FullDisk:
    """A file on a disk with room for so many bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def seek(self, at):
        self.file.seek(at)

    def write(self, piece):
        if self.file.tell() + len(piece) > self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.file.write(piece)


# What is on this machine


def in_hub_cache(tmp_path, content, name="hubert/big.bin", repository="some--Voice", blob=None):
    folder = tmp_path / "hub-cache" / f"models--{repository}"
    blob = folder / "blobs" / (blob or digest(content))
    entry = folder / "snapshots" / ("c" * 40) / name
    blob.parent.mkdir(parents=True, exist_ok=True)
    entry.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    entry.symlink_to(os.path.relpath(blob, entry.parent))
    return blob


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_the_cache_of_the_hub_is_used_first_whatever_the_repository_is_called(hub, tmp_path):
    blob = in_hub_cache(tmp_path, BIG, name="elsewhere.bin", repository="a--copy")
    in_hub_cache(
        tmp_path, SMALL, name="hubert/config.json", blob="e" * 40
    )  # small files go by their Git hash
    said = run("v2", "--endpoint", hub.url)
    assert f"found, such as {tmp_path}" in said
    assert hub.seen == []
    assert fetched(tmp_path) == BIG
    assert (
        tmp_path / "data" / "pretrained_models" / "hubert" / "big.bin"
    ).stat().st_ino == blob.stat().st_ino
    assert not (tmp_path / "data" / "pretrained_models" / "hubert" / "big.bin").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="links need rights on Windows")
def test_a_cache_that_lies_about_its_content_is_not_believed(hub, tmp_path):
    in_hub_cache(tmp_path, bytes(len(BIG)), blob=digest(BIG))
    run("v2", "--endpoint", hub.url, "--yes")
    assert fetched(tmp_path) == BIG


@pytest.mark.parametrize("tree", ["", "pretrained_models", "GPT_SoVITS/pretrained_models"])
def test_an_installed_folder_is_used_first(hub, tree, tmp_path):
    place = tmp_path / "installed" / tree / "hubert"
    place.mkdir(parents=True)
    (place / "big.bin").write_bytes(BIG)
    (place / "config.json").write_bytes(b"of another release")
    run("v2", "--from", tmp_path / "installed", "--endpoint", hub.url, "--yes")
    assert len(hub.seen) == 1
    assert (fetched(tmp_path), fetched(tmp_path, "hubert/config.json")) == (BIG, SMALL)
    assert (place / "config.json").read_bytes() == b"of another release"


def test_the_cache_of_modelscope_is_used(hub, tmp_path):
    place = tmp_path / "scope-cache" / "hub" / "models" / "other" / "Voice" / "hubert"
    place.mkdir(parents=True)
    (place / "big.bin").write_bytes(BIG)
    run("v2", "--endpoint", hub.url, "--yes")
    assert len(hub.seen) == 1


@pytest.mark.parametrize("way", ["--offline", "HF_HUB_OFFLINE"])
def test_offline_nobody_is_asked(hub, way, monkeypatch, tmp_path):
    if way == "HF_HUB_OFFLINE":
        monkeypatch.setenv(way, "1")
    options = [way] if way.startswith("--") else []
    said = run("v2", "--endpoint", hub.url, "--yes", *options, code=1)
    assert "offline, and not on this machine: pretrained_models/hubert/config.json" in said
    (tmp_path / "had").mkdir()
    (tmp_path / "had" / "big.bin").write_bytes(BIG)
    (tmp_path / "had" / "config.json").write_bytes(SMALL)
    run("v2", "--endpoint", hub.url, "--from", tmp_path / "had", *options)
    assert hub.seen == []


def test_another_folder_is_filled_from_the_usual_one(hub, tmp_path):
    run("v2", "--endpoint", hub.url, "--yes")
    count = len(hub.seen)
    run("v2", "--endpoint", hub.url, "--into", tmp_path / "stick")
    assert (tmp_path / "stick" / "pretrained_models" / "hubert" / "big.bin").read_bytes() == BIG
    assert len(hub.seen) == count


# Files without a published digest


def test_the_first_fetch_is_trusted_said_and_recorded(hub, tmp_path):
    hub.ways[:] = [lambda handler, content: serve(handler, content, headers={"X-Repo-Commit": "d" * 40})]
    said = run("v5", "--endpoint", hub.url, "--yes")
    assert (
        "no sha256 is published for pretrained_models/v5.pth: what comes first is trusted, and recorded"
        in said
    )
    assert f"the one of its first fetch is trusted from now on: {digest(V5)}" in said
    known = json.loads((tmp_path / "data" / ".fetch" / "fetched.json").read_text(encoding="utf-8"))["files"][
        "pretrained_models/v5.pth"
    ]
    assert (known["sha256"], known["revision"], known["first_use"]) == (digest(V5), "d" * 40, True)


def test_later_it_has_to_be_the_same(hub, tmp_path):
    run("v5", "--endpoint", hub.url, "--yes")
    place = tmp_path / "data" / "pretrained_models" / "v5.pth"
    place.write_bytes(b"changed")
    assert "is another file than v5.pth" in run("v5", "--endpoint", hub.url, "--yes", code=1)
    place.unlink()
    for path in hub.files:
        hub.files[path] = RNG.bytes(len(V5))
    assert "is another file than at its first fetch" in run("v5", "--endpoint", hub.url, "--yes", code=1)
    assert not place.exists()


def test_what_the_hub_says_of_its_digest_is_compared(hub):
    lie = {"X-Linked-Etag": f'"{digest(b"other")}"'}
    hub.ways[:] = [lambda handler, content: serve(handler, content, headers=lie)]
    assert "gave other bytes" in run("v5", "--endpoint", hub.url, "--yes", code=1)


def test_without_a_validator_it_begins_anew(hub, tmp_path):
    hub.ways[:] = [breaking(100_000, ETag='W/"weak"'), lambda handler, content: serve(handler, content)]
    run("v5", "--endpoint", hub.url, "--yes")
    assert "range" not in hub.seen[-1][1]
    assert fetched(tmp_path, "v5.pth") == V5


def test_a_file_of_no_known_size_ends_somewhere(hub):
    hub.ways[:] = [answering(200, bytes(2_000_000), Content_Length="")]
    assert "sends more than 1000000 bytes" in run("v5", "--endpoint", hub.url, "--yes", code=1)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"files": {"x": {}}, "archives": {}}', b"\xff"])
def test_a_damaged_record_is_named(hub, tmp_path, content):
    (tmp_path / "data" / ".fetch").mkdir(parents=True)
    (tmp_path / "data" / ".fetch" / "fetched.json").write_bytes(content)
    assert "not a record of what was fetched" in run("v2", "--endpoint", hub.url, "--yes", code=1)
