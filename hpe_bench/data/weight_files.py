"""Files of weights, opened by what they are and without executing anything in them.

Read are safetensors, what `torch.save` writes (zip, or the stream of before PyTorch 1.6) and NumPy archives. Pickles go
through PyTorch's restricted unpickler. Beside tensors it lets pass

- NumPy's arrays and numbers, which are rebuilt here from their bytes by stand-ins: NumPy's own functions are never
  called with what a file says (a forged dtype can make them read memory as objects);
- records that training tools keep (options, paths, histories): they come out empty, and nothing reads them.

Whatever else a pickle names is refused by its name.
"""

from __future__ import annotations

import contextlib
import io
import math
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch

from hpe_bench.data.file_kinds import as_text, head_of, told
from hpe_bench.files import refuse_damaged

ZIP, LEGACY_PROTOCOLS = b"PK\x03\x04", (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
UNPACKED_BEYOND = 256 << 20  # bytes that an archive may unpack to beyond its own size: torch.save compresses nothing
PLAIN = "where it comes from, save its state dict alone with safetensors and give that file"
NUMBERS = re.compile(r"[<>=|]?(?:[bf?]|[biufc]\d{1,2})")  # dtypes of plain numbers


def read_weight_file(path: Path) -> dict[Any, Any]:
    """The dictionary in a file of weights; ValueError saying what the file is, or what in it is refused."""
    if not path.is_file():
        raise ValueError(f"{path}: no such file; give the path of a .safetensors, .pth or .pt file")
    refuse_damaged(path, "make the file again")
    try:
        head = head_of(path)
        content = _opener(path, head)(path)
    except MemoryError:
        raise ValueError(f"{path}: asks for more memory than is free; download it again") from None
    except Exception as error:  # what readers raise over damaged bytes has no common base
        if type(error) is ValueError and str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: not a readable file of weights ({_first_line(error)}); download it again") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a state dict; save `model.state_dict()`")
    return {key: as_tensors(value) for key, value in content.items()}


def as_tensors(value: Any, depth: int = 0) -> Any:
    """A value with NumPy's arrays as tensors, some levels of dictionaries deep; other things as they are."""
    if isinstance(value, StoredArray):
        return value.tensor()
    if isinstance(value, Mapping) and depth < 4:
        return {key: as_tensors(inner, depth + 1) for key, inner in value.items()}
    return value


def _opener(path: Path, head: bytes) -> Callable[[Path], Any]:
    """What reads a file that begins so; ValueError for a kind that holds no weights."""
    if _is_safetensors(path, head):
        return _read_safetensors
    if head.startswith(ZIP):
        return _read_zip
    if head.startswith(LEGACY_PROTOCOLS):
        return _read_pickle
    if path.suffix == ".onnx":
        raise ValueError(f"{path}: unknown kind of file; give a file of weights, or an ONNX file with --model")
    if path.suffix == ".safetensors" and not told(head):
        return _read_safetensors
    if known := told(head):
        raise ValueError(f"{path}: not a readable PyTorch file; {known}")
    text = as_text(head[:60]).strip().splitlines()
    if head and text and all(c.isprintable() for c in text[0]):
        raise ValueError(f"{path}: not a readable PyTorch file; it is text that begins with `{text[0][:40]}`")
    raise ValueError(f"{path}: unknown kind of file; give a .safetensors file, or what torch.save writes")


# ---------------------------------------------------------------------------------------------------- kinds


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Whether it begins with the length of a header of JSON."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    return int(struct.unpack("<Q", head[:8])[0]) <= path.stat().st_size - 8


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return dict(safetensors.torch.load_file(path))
    except Exception as error:  # damaged headers raise several kinds
        raise ValueError(f"{path}: not a readable safetensors file ({_first_line(error)}); download it again") from None


def _read_zip(path: Path) -> Any:
    """A zip of torch.save's or NumPy's; ValueError for any other."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            names = [entry.filename for entry in entries]
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: not a readable PyTorch file ({error}: truncated?); download it again") from None
    size = sum(entry.file_size for entry in entries)
    if size > path.stat().st_size + UNPACKED_BEYOND:
        raise ValueError(f"{path}: refused, because it unpacks to {size / 2**30:,.1f} GiB, which no such file does")
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if any(name.endswith("constants.pkl") for name in names):
        raise ValueError(f"{path}: a TorchScript archive, not a state dict; load it and save its `state_dict()`")
    if pickles:
        return _read_pickle(path, lambda: _zipped_pickle(path, pickles[0]))
    if names and all(name.endswith(".npy") for name in names):
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name].copy(order="C")) for name in arrays.files}
    inside = ", ".join(names[:3]) or "nothing"
    raise ValueError(f"{path}: not a readable PyTorch file; it is a zip archive (of {inside}): unpack it first")


def _zipped_pickle(path: Path, name: str) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name)


def _read_pickle(path: Path, pickled: Callable[[], bytes] | None = None) -> Any:
    """What torch.save wrote, through the restricted unpickler with our stand-ins; ValueError naming what it refuses."""
    data = path.read_bytes() if pickled is None else pickled()
    names = global_names(data)
    stand_ins: list[Any] = [(stand_in, name) for name in names if (stand_in := _stand_in(name)) is not None]
    allowed = {name for _, name in stand_ins}
    refused = next((name for name in names if name not in allowed and not _tensors_own(name)), None)
    if refused is not None:
        raise ValueError(f"{path}: refused, because it holds more than tensors: {_what(refused)}; {PLAIN}")
    try:
        # Through an open file, as torch.load would judge a path by its suffix.
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins), path.open("rb") as file:
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if found := re.search(r"Unsupported operand (\d+)", str(error)):
            reason = f"a pickle of a later protocol (operation {found[1]})"
            raise ValueError(f"{path}: {reason}, which cannot be opened without executing it; {PLAIN}") from None
        told_by = re.search(r"GLOBAL ([\w.]+)", str(error))
        suspect = told_by[1] if told_by else next((name for name in names if not _tensors_own(name)), "")
        reason = _what(suspect) if suspect else "something that is no tensor"
        raise ValueError(f"{path}: refused, because it holds more than tensors: {reason}; {PLAIN}") from None
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes raise every kind there is
        if "magic number" in str(error):
            raise ValueError(f"{path}: a plain pickle, which torch.save did not write; {PLAIN}") from None
        raise ValueError(f"{path}: not a readable PyTorch file ({_first_line(error)}); download it again") from None


# ---------------------------------------------------------------------------------------------------- pickles


def global_names(data: bytes) -> list[str]:
    """What the pickles in a row at the start of some bytes name ("module.name"), found without executing anything.

    Where damaged bytes end the search, what was found so far is told; the unpickler says the rest.
    """
    names: list[str] = []
    file = io.BytesIO(data)
    with contextlib.suppress(Exception):  # pickletools raises many kinds of errors over damaged bytes
        while file.read(1) == b"\x80":
            file.seek(-1, io.SEEK_CUR)
            for module, name in _globals_of_one(file):
                module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                names.append(f"{module}.{name}")
    return list(dict.fromkeys(names))


def _globals_of_one(file: io.BytesIO) -> Iterator[tuple[str, str]]:
    """Module and name of every global of the pickle that a file goes on with, up to its end."""
    strings: list[str] = ["", ""]
    memo: dict[int, str] = {}
    for operation, argument, _ in pickletools.genops(file):
        code = operation.name
        if code == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield module, name
        elif code == "STACK_GLOBAL":
            yield strings[-2], strings[-1]
        elif "UNICODE" in code or "STRING" in code:
            strings.append(str(argument))
        elif code == "MEMOIZE":
            memo[len(memo)] = strings[-1]
        elif code.endswith("PUT"):
            memo[int(str(argument))] = strings[-1]
        elif code.endswith("GET"):
            strings.append(memo.get(int(str(argument)), ""))


def _what(name: str) -> str:
    """A refused name in words."""
    if name.startswith(("torch.nn.", "__main__.", "models.", "lib.")):
        return f"it is a whole pickled model or part of one ({name})"
    return f"opening it would need {name}, which could execute code"


def _tensors_own(name: str) -> bool:
    """Whether PyTorch's unpickler allows a name by itself, or refuses it better than we could."""
    return name in TENSORS_OWN or name.startswith(("torch._utils._rebuild_", "torch.storage."))


_STORAGES: tuple[str, ...] = (
    "Double",
    "Float",
    "Half",
    "Long",
    "Int",
    "Short",
    "Char",
    "Byte",
    "Bool",
    "BFloat16",
    "ComplexFloat",
)
_STORAGES += ("ComplexDouble", "QUInt8", "QInt8", "QInt32", "Untyped")
_DTYPES: tuple[str, ...] = (
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "bool",
)
_DTYPES += ("complex64", "complex128", "quint8", "qint8", "qint32")
TENSORS_OWN = frozenset(
    {
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *("builtins.bytearray", "builtins.set", "builtins.complex"),
        *("torch.Size", "torch.Tensor", "torch.device", "torch.nn.parameter.Parameter", "torch.Parameter"),
        *("torch.serialization._get_layout", "torch._tensor._rebuild_from_type_v2", "torch.per_tensor_affine"),
        *("torch.per_channel_affine", "torch.ByteTensor", "torch.FloatTensor", "torch.LongTensor"),
        *(f"torch.{kind}Storage" for kind in _STORAGES),
        *(f"torch.{kind}" for kind in _DTYPES),
    }
)


class ZipRecord:
    """Stands in for an object that a training tool kept: whatever it held, it comes out as an empty dictionary."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return OrderedDict()


class Nothing:
    """Stands in for a function or constant that a record refers to."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return None


class StoredDtype:
    """Stands in for `numpy.dtype`: its code, and the byte order that its state tells."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = code if isinstance(code, str) else ""

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        if order in ("<", ">"):
            self.code = f"{order}{self.code.lstrip('<>=|')}"

    def plain(self) -> np.dtype:
        """The dtype, if it is one of plain numbers; ValueError for any other."""
        if not NUMBERS.fullmatch(self.code):
            raise ValueError(f"a NumPy array of type {self.code[:20]!r}")
        return np.dtype(self.code)


class StoredArray:
    """Stands in for `numpy.ndarray` and what rebuilds it: shape, type and bytes."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def tensor(self) -> Any:
        """As a tensor; the stand-in itself where it holds no plain numbers."""
        try:
            _, shape, dtype, fortran, data = self.state
            values = np.frombuffer(data, dtype.plain())
            if math.prod(shape) != len(values):
                return self
            array = values.reshape(shape, order="F" if fortran else "C")
            return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
        except (TypeError, ValueError, AttributeError):
            return self


class StoredNumber:
    """Stands in for a NumPy number."""

    def __new__(cls, dtype: Any = None, data: Any = b"", *_: Any) -> Any:
        try:
            values = np.frombuffer(data, dtype.plain())
            return values[0].item() if len(values) == 1 else None
        except (TypeError, ValueError, AttributeError):
            return None


NUMPY: dict[str, Any] = {
    "numpy.ndarray": StoredArray,
    "numpy.dtype": StoredDtype,
    **{f"numpy.{core}.multiarray._reconstruct": StoredArray for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": StoredNumber for core in ("core", "_core")},
}
TOOLS: tuple[str, ...] = (
    "mmengine",
    "mmcv",
    "mmpose",
    "mmdet",
    "yacs",
    "omegaconf",
    "easydict",
    "addict",
    "pytorch_lightning",
)
TOOLS += ("lightning", "lightning_fabric", "lightning_utilities", "argparse", "pathlib", "datetime", "types", "typing")
TOOLS += ("ml_collections", "munch", "enum", "fvcore", "iopath", "detectron2", "timm", "ultralytics", "numpy", "config")
TOOLS += ("antlr4", "hydra", "uuid", "decimal", "fractions", "collections", "torch.optim", "torch.torch_version")
HARMLESS = {"builtins.getattr", "builtins.slice", "builtins.range", "builtins.frozenset", "builtins.object"}
HARMLESS |= {"builtins.list", "builtins.dict", "builtins.tuple", "builtins.int", "builtins.float", "builtins.str"}
HARMLESS |= {"copyreg._reconstructor", "builtins.bool", "builtins.bytes", "functools.partial"}


def _stand_in(name: str) -> Any:
    """What a name comes out as, where PyTorch would refuse it; None where it is to be refused."""
    if name in NUMPY:
        return NUMPY[name]
    if name in TENSORS_OWN:
        return None
    if name in HARMLESS:
        return Nothing if name.endswith("getattr") else ZipRecord
    return ZipRecord if any(name.startswith(f"{tool}.") for tool in TOOLS) else None


def _first_line(error: BaseException) -> str:
    """A reason fit for a sentence: without what PyTorch advises, and without codes for a terminal."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    line = (text.splitlines() or [""])[0]
    line = re.split(r"(?i)(?<=[.!]) |weights_only", line)[0]
    return line[:160].strip() or type(error).__name__
