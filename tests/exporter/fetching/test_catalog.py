"""The data file of what may be fetched, and where the parts end up."""

import io
import re
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from sovits_exporter.building.pretrained_tree import BASES, BERT, HUBERT, SPEAKER, vocoder_part
from sovits_exporter.fetching.archives import unpack
from sovits_exporter.fetching.catalog import catalog
from sovits_exporter.fetching.errors import FetchError
from sovits_exporter.fetching.fetch import carry_out, make_plan
from sovits_runtime.bundle.model_spec import MODEL_SPECS, model_spec
from sovits_runtime.machine.data_folder import fetched_text
from sovits_runtime.text.detector import LARGE_MODEL, fetched_model
from sovits_runtime.text.en.tagger import find_tagger_data
from sovits_runtime.text.g2pw_place import fetched_folder
from sovits_runtime.text.ja.openjtalk import DICTIONARY_NAME

ITEMS = [item for part in catalog().parts.values() for item in part.items]


def test_every_file_is_pinned_or_recorded_at_its_first_fetch():
    for item in ITEMS:
        assert re.fullmatch("[0-9a-f]{64}", item.sha256) or (item.path.count("v5") and not item.sha256), (
            item.path
        )
        if item.repository is not None:
            assert re.fullmatch("[0-9a-f]{40}|main", item.repository.revision)
            assert item.repository.is_pinned or not item.sha256
        assert item.about_bytes > 0


def test_addresses_are_those_that_hubs_have():
    item = next(item for item in ITEMS if "epoch=12" in item.path)
    hub, mirror, scope = (url for _, url in item.addresses(catalog().endpoints))
    name = "gsv-v2final-pretrained/s1bert25hz-5kh-longer-epoch%3D12-step%3D369668.ckpt"
    revision = "336b2ec4e8d4ac74740798dd40af44e74659ecaf"
    assert hub == f"https://huggingface.co/lj1995/GPT-SoVITS/resolve/{revision}/{name}"
    assert mirror == hub.replace("huggingface.co", "hf-mirror.com")
    assert scope == f"https://www.modelscope.cn/models/AI-ModelScope/GPT-SoVITS/resolve/master/{name}"
    assert all(url.startswith("https://") for item in ITEMS for _, url in item.addresses(catalog().endpoints))


@pytest.mark.parametrize("version", MODEL_SPECS)
def test_a_build_of_each_version_finds_all_of_its_set(version, tmp_path):
    """What is fetched lies where the build looks for it."""
    for part in catalog().chosen([version]):
        for item in part.items:
            path = tmp_path / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    spec = model_spec(version)
    parts = [HUBERT, BERT, *([SPEAKER] if spec.speaker_network else [])]
    parts += [vocoder_part(spec.flow), BASES[version]] if spec.flow else []
    assert [part for part in parts if part.find(tmp_path / "pretrained_models") is None] == []


def test_a_voice_of_each_version_can_be_had_too():
    for version in MODEL_SPECS:
        names = {part.name.partition("-")[0] for part in catalog().chosen([version], voice=True)}
        assert {"gpt", "sovits", "hubert"} <= names


# The text front ends look where it is fetched to


def zip_of(**files):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return content.getvalue()


def test_front_ends_find_what_was_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("SOVITS_EXPORT_DATA", str(tmp_path))
    monkeypatch.delenv("SOVITS_LANGID_MODEL", raising=False)
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path)
    assert (fetched_model(), fetched_folder()) == (None, None)
    for part in ("nltk", "langid"):
        for item in catalog().parts[part].items:
            path = tmp_path / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    monkeypatch.setenv("NLTK_DATA", "")
    assert find_tagger_data() == tmp_path / "text/nltk_data/taggers/averaged_perceptron_tagger_eng.zip"
    assert fetched_model() == tmp_path / "text" / LARGE_MODEL
    assert f"text/{DICTIONARY_NAME}" == catalog().parts["openjtalk"].unpacks_to
    (tmp_path / catalog().parts["g2pw"].unpacks_to).mkdir()
    assert fetched_folder() == fetched_text("G2PWModel")


def test_an_archive_becomes_a_folder_with_the_other_files_of_its_part(tmp_path, monkeypatch):
    """As G2PW's: a zip with one folder in it, and a tokenizer from elsewhere; the archive itself goes."""
    import hashlib

    content, tokenizer = zip_of(**{"G2PWModel/g2pW.onnx": "graph", "G2PWModel/version": "1"}), b"{}"
    for name, data in (("G2PWModel.zip", content), ("tokenizer.json", tokenizer)):
        (tmp_path / "had").mkdir(exist_ok=True)
        (tmp_path / "had" / name).write_bytes(data)
    part = catalog().parts["g2pw"]
    items = tuple(
        replace(item, bytes=None, sha256=hashlib.sha256(data).hexdigest())
        for item, data in zip(part.items, (content, tokenizer), strict=True)
    )
    part, into = replace(part, items=items, unpacked_bytes=1000), tmp_path / "data"
    plan = make_plan([part], into, folders=[tmp_path / "had"])
    assert [file.state for file in plan.files] == ["found", "found"]
    carry_out(plan, None)
    folder = into / "text" / "G2PWModel"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "g2pW.onnx": b"graph",
        "version": b"1",
        "tokenizer.json": tokenizer,
    }
    assert [path.name for path in (into / ".fetch").iterdir()] == ["fetched.json"]
    assert {file.state for file in make_plan([part], into).files} == {"there"}
    (folder / "g2pW.onnx").write_bytes(b"other")
    for name, data in (("G2PWModel.zip", content), ("tokenizer.json", tokenizer)):
        (into / ".fetch" / name).write_bytes(data)  # as after a kill before all was unpacked
    carry_out(make_plan([part], into), None)
    assert (folder / "g2pW.onnx").read_bytes() == b"graph"
    (folder / "g2pW.onnx").write_bytes(b"other")
    assert {file.state for file in make_plan([part], into).files} == {"missing"}


# Archives


def tar_of(*entries):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, kind, data in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.size, entry.linkname = kind, len(data), "/etc/passwd"
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


FILE = tarfile.REGTYPE
BAD = {
    "outside.zip": zip_of(**{"a/x": "1", "../evil": "2"}),
    "absolute.zip": zip_of(**{"/evil": "2"}),
    "drive.zip": zip_of(**{"C:/evil": "2"}),
    "large.zip": zip_of(a="x" * 2000),
    "many.zip": zip_of(**{f"f{i}": "" for i in range(1001)}),
    "link.tar.gz": tar_of(("d/link", tarfile.SYMTYPE, b""), ("d/x", FILE, b"1")),
    "hard.tar.gz": tar_of(("d/link", tarfile.LNKTYPE, b""), ("d/x", FILE, b"1")),
    "device.tar.gz": tar_of(("d/dev", tarfile.CHRTYPE, b"")),
    "outside.tar.gz": tar_of(("../evil", FILE, b"1")),
    "large.tar.gz": tar_of(("d/x", FILE, bytes(2000))),
    "damaged.zip": zip_of(a="x" * 500)[:-30],
    "damaged.tar.gz": tar_of(("d/x", FILE, b"1" * 900))[:-30],
    "page.zip": b"<html>",
}


@pytest.mark.parametrize("name", BAD)
def test_archives_with_anything_but_files_inside_are_refused(name, tmp_path):
    path, folder = tmp_path / name, tmp_path / "deep" / "folder"
    path.write_bytes(BAD[name])
    folder.mkdir(parents=True)
    with pytest.raises(FetchError, match=f"{re.escape(name)}: cannot be unpacked"):
        unpack(path, folder, most_bytes=1000)
    assert not [p for p in tmp_path.rglob("evil")] + [p for p in folder.rglob("*") if p.is_symlink()]


def test_a_tar_of_a_dictionary_is_unpacked(tmp_path):
    path = tmp_path / "dic.tar.gz"
    path.write_bytes(
        tar_of(
            ("./dic", tarfile.DIRTYPE, b""),
            ("./dic/sys.dic", FILE, b"words"),
            ("./dic/COPYING", FILE, b"BSD"),
        )
    )
    (tmp_path / "out").mkdir()
    unpack(path, tmp_path / "out", most_bytes=1000)
    assert {p.name: p.read_bytes() for p in Path(tmp_path / "out").iterdir()} == {
        "sys.dic": b"words",
        "COPYING": b"BSD",
    }
