"""Says what a file is that PyTorch did not write: an archive, a pointer, a failed download, another tool's format."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

from sovits_exporter.checkpoint.inert import one_line
from sovits_runtime.machine.json_file import LFS_POINTER

EXPECTED = "expected a checkpoint as torch.save writes it (.ckpt or .pth)"
_UNPACK = "unpack it, and name the .ckpt and .pth inside"
_KINDS = {
    b"RIFF": f"is a WAV file, {EXPECTED}",
    LFS_POINTER: (
        "is a Git LFS pointer and not the file it stands for; run `git lfs pull`, or download the file"
    ),
    b"<": f"is a web page or XML, {EXPECTED}; was it a failed download? Download it again",
    b"{": f"is JSON, {EXPECTED}",
    b"GGUF": f"is a GGUF file, {EXPECTED}; take the original file",
    b"\x89HDF": f"is an HDF5 file, {EXPECTED}; take the original file",
    b"Rar!": f"is a RAR archive; {_UNPACK}",
    b"7z\xbc\xaf\x27\x1c": f"is a 7-Zip archive; {_UNPACK}",
    b"\x1f\x8b": f"is a gzip archive; {_UNPACK}",
    b"BZh": f"is a bzip2 archive; {_UNPACK}",
    b"\xfd7zXZ": f"is an xz archive; {_UNPACK}",
    b"\x28\xb5\x2f\xfd": f"is a Zstandard archive; {_UNPACK}",
}
"""First bytes -> what the file is, and what to do."""
_UNFINISHED = {
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".aria2",
    ".incomplete",
    ".tmp",
    ".opdownload",
    ".!ut",
}
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_TAIL = 4096
_VOICE_SUFFIXES = (".ckpt", ".pth", ".pt", ".wav", ".rar", ".7z", ".zip")


def other_file(path: Path, start: bytes, size: int) -> str | None:
    """Says what a file that begins so seems to be, and what to do; None where nothing tells."""
    for magic, kind in _KINDS.items():
        if start.lstrip().startswith(magic):
            return kind
    if start[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        return f"is a tar archive; {_UNPACK}"
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < size:
        return f"is a safetensors file, which carries no config; {EXPECTED}"
    if not start.strip(b"\0"):
        return f"begins with {len(start)} zeros, {EXPECTED}; the download was not finished, download it again"
    return None


def unfinished(path: Path, size: int) -> str:
    """Says that a zip is cut off, and where a download was not finished."""
    with path.open("rb") as f:
        f.seek(max(0, size - _TAIL))
        is_hollow = not f.read(_TAIL).strip(b"\0")
    if is_hollow or path.suffix.lower() in _UNFINISHED:
        return f"is a download that was not finished ({size} bytes so far), {EXPECTED}; download it again"
    return f"starts as a checkpoint, but its {size} bytes are cut off or damaged; download or copy it again"


def other_zip(names: Iterable[str]) -> str | None:
    """Says what a zip with these entries is, where it is none of torch.save."""
    names = list(names)
    if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
        return f"is a TorchScript program, {EXPECTED}; take the original file"
    if any(name.endswith(".npy") for name in names):
        return f"is an archive of NumPy arrays, {EXPECTED}; take the original file"
    if any(name.endswith("/data.pkl") and name.count("/") == 1 for name in names):
        return None
    inside = [name for name in names if name.lower().endswith(_VOICE_SUFFIXES)] or names
    shown = ", ".join(map(one_line, inside[:3])) + (f" and {len(inside) - 3} more" if len(inside) > 3 else "")
    return f"is a zip archive with {shown or 'nothing in it'}; {_UNPACK}"


def is_compressed(infos: Iterable[zipfile.ZipInfo]) -> bool:
    """Whether some records are compressed or encrypted, which torch.save never does."""
    return any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos)
