"""What a file is, told from how its content begins and never from its name.

Downloads go wrong in a few common ways (a web page, a Git LFS pointer, an archive that nobody unpacked): whoever
expects another kind of file says which it is, and what to do about it.
"""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 4096
LARGEST_BYTES = 8 << 30  # of a file that is read whole: more than any annotation file or checkpoint of this field

# (how it begins, what it is, what to do)
KINDS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself", "run `git lfs pull` where it comes from"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first (gunzip)"),
    (b"BZh", "a bzip2 archive", "unpack it first (bunzip2)"),
    (b"\xfd7zXZ\x00", "an xz archive", "unpack it first (unxz)"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it first (unzstd)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file", "save its content in a kind that is read here"),
    (b"\x93NUMPY", "a NumPy array (.npy)", "give the file that was asked for"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"PK\x05\x06", "an empty zip archive", "fetch it again"),
    (b"%PDF", "a PDF document", "give the file that was asked for"),
    (b"\xff\xd8\xff", "a JPEG image", "give the file that was asked for"),
    (b"\x89PNG\r\n\x1a\n", "a PNG image", "give the file that was asked for"),
    (b"GIF8", "a GIF image", "give the file that was asked for"),
    (b"MATLAB 7.3", "a MATLAB file of version 7.3", "save it with -v7"),
    (b"MATLAB 5.0", "a MATLAB file", "give the file that was asked for"),
    (b"\x00\x05\x16\x07", "a macOS resource file (._name), not the file itself", "give the one without ._ in front"),
    (b"\x00\x05\x16\x00", "a macOS resource file, not the file itself", "give the one without ._ in front"),
)
MEDIA = {  # the brand of an ISO base media file, behind its length and `ftyp`
    b"heic": "an HEIC image",
    b"heix": "an HEIC image",
    b"mif1": "an HEIC image",
    b"avif": "an AVIF image",
}


def head_of(path: Path) -> bytes:
    """The first bytes of a file; OSError if it cannot be read."""
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def described(head: bytes) -> tuple[str, str]:
    """What a file that begins so is, and what to do, in words; empty words where it is nothing known."""
    if not head:
        return "empty", "fetch it again"
    for start, kind, remedy in KINDS:
        if head.startswith(start):
            return kind, remedy
    if head[257:262] == b"ustar":
        return "a tar archive", "unpack it first"
    if head[4:8] == b"ftyp":
        return MEDIA.get(head[8:12], "a video"), "convert it to JPEG or PNG"
    text = as_text(head).lstrip().lower()
    if text.startswith(("<!doctype html", "<html", "<head", "<!--", "<script", "<body", "<meta")):
        return "a web page", "the download failed: fetch the file itself"
    if text.startswith("<?xml") or text.startswith("<error"):
        return "an XML document", "the download failed perhaps: fetch the file itself"
    return "", ""


def told(data: bytes) -> str:
    """'it is a web page (it begins with `<html>`): ...' of a file's bytes; empty where it is nothing known."""
    head = data[:HEAD_BYTES]
    kind, remedy = described(head)
    if not kind:
        return ""
    lines = as_text(head).strip().splitlines() if kind in ("a web page", "an XML document") else []
    begins = f" (it begins with `{lines[0].strip()[:40]}`)" if lines else ""
    return f"it is {kind}{begins}: {remedy}"


def as_text(head: bytes) -> str:
    """The beginning of a file as text, whatever its encoding says; for recognising, not for reading."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[len(mark) :].decode(encoding, "replace")
    return head.decode("utf-8", "replace")


def content(path: Path, wanted: str, remedy: str = "put the file there") -> bytes:
    """The bytes of a file; ValueError naming it if it is missing, a folder, or larger than can be held."""
    try:
        if path.is_file() and path.stat().st_size > LARGEST_BYTES:
            raise ValueError(
                f"{path}: {path.stat().st_size / 2**30:.0f} GiB, more than {LARGEST_BYTES >> 30} GiB; give {wanted}"
            )
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ValueError(f"{path}: neither a file nor a folder (a pipe or a device); give {wanted}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except MemoryError:
        raise ValueError(f"{path}: larger than the memory that is free; free some, or give a smaller file") from None
