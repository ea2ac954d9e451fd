"""Safetensors files without torch: a header that is read with suspicion, tensors as raw numpy arrays, a file written whole or not at all.

The format is https://huggingface.co/docs/safetensors: 8 bytes of length, a JSON header, then the tensors without gaps. bfloat16, which
numpy lacks, is held as uint16; `as_float` and `from_float` convert.
"""
from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HEADER_LIMIT = 32 * 2**20  # A LoRA's header is some 100 kB; tag statistics of a trainer may be megabytes.
KINDS: Mapping[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}
SIZES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4,
    "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_EXPONENT = {"F16": 0x7C00, "BF16": 0x7F80}
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")


class BrokenFile(ValueError):
    """Why a file is no whole safetensors file: a sentence that starts with "It"."""


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file: kind is the format's name of its dtype ("BF16"), start and end are bytes from the start of the file."""

    kind: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """What a file holds. data: where the tensors start, in bytes."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    data: int
    bytes: int


@dataclass(frozen=True)
class Raw:
    """An array with its kind, which numpy's dtype does not tell for bfloat16."""

    array: np.ndarray
    kind: str

    def finite(self) -> bool:
        """Neither NaN nor infinite anywhere."""
        mask = _EXPONENT.get(self.kind)
        if mask is None:
            return bool(np.isfinite(self.array).all())
        return not bool(((self.array.view(np.uint16) & np.uint16(mask)) == mask).any())

    def zero(self) -> bool:
        """Nothing but zeros (a bfloat16 -0 counts)."""
        return not bool((self.array & np.uint16(0x7FFF)).any() if self.kind == "BF16" else self.array.any())

    def with_array(self, array: np.ndarray) -> Raw:
        return Raw(array, self.kind)


def read_header(path: Path) -> Header:
    """The header, each statement in it checked against the file's size. Raises BrokenFile, OSError; no tensor is read."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(8)
        _refuse_other_formats(start, path)
        if len(start) < 8:
            raise BrokenFile("It is empty." if not start else "It is cut off before its header.")
        (length,) = struct.unpack("<Q", start)
        if length > HEADER_LIMIT:
            raise BrokenFile(f"It claims a header of {length} bytes; more than {HEADER_LIMIT} are not read.")
        if length > size - 8:
            raise BrokenFile("It is cut off within its header.")
        text = file.read(length)
    try:
        found = json.loads(text.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, BrokenFile) else "Its header is no JSON."
        raise BrokenFile(why) from error
    if not isinstance(found, dict):
        raise BrokenFile("Its header is no table of tensors.")
    metadata = found.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BrokenFile("Its metadata is no table of texts.")
    tensors = {name: _tensor(name, entry, 8 + length) for name, entry in found.items()}
    _refuse_gaps(tensors, 8 + length, size)
    return Header(tensors, metadata, 8 + length, size)


def _refuse_other_formats(start: bytes, path: Path) -> None:
    """Before anything is made of the bytes: what would run code when it is loaded is never loaded."""
    # A header's length may start with the same byte as a pickle; a pickle goes on so that it would be a length beyond all bounds.
    protocol = start[:1] == b"\x80" and int.from_bytes(start, "little") > HEADER_LIMIT
    if path.suffix.lower() in PICKLES or start[:4] == b"PK\x03\x04" or protocol:
        raise BrokenFile("It is a pickle, which can run any code when it is loaded. Pickles are never loaded.")
    if start[:4] == b"GGUF":
        raise BrokenFile("It is a GGUF file.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BrokenFile("Its header names a tensor twice.")
    return found


def _tensor(name: str, entry: Any, data: int) -> Tensor:
    try:
        kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = isinstance(kind, str) and all(type(value) is int and value >= 0 for value in (*shape, start, end))
    except (TypeError, KeyError, ValueError) as error:
        raise BrokenFile(f"Its header describes {shown(name)} wrongly.") from error
    if not whole or kind not in SIZES or len(shape) > 8 or math.prod(shape) * SIZES[kind] != end - start:
        raise BrokenFile(f"Its header describes {shown(name)} wrongly.")
    return Tensor(kind, tuple(shape), data + start, data + end)


def _refuse_gaps(tensors: Mapping[str, Tensor], at: int, size: int) -> None:
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].end)):
        if tensor.start != at:
            raise BrokenFile(f"Its tensors do not follow one another at {shown(name)}.")
        at = tensor.end
    if at > size:
        raise BrokenFile(f"It is cut off: {at - size} bytes are missing at its end.")
    if at < size:
        raise BrokenFile(f"It has {size - at} bytes too many at its end.")


def shown(name: str) -> str:
    """A name out of a file, fit for a sentence: printable, at most 80 characters, in quotes."""
    clean = "".join(letter if letter.isprintable() else "?" for letter in name[:81])
    return f'"{clean[:77] + "..." if len(clean) > 80 else clean}"'


class Tensors:
    """The tensors of one open file, read when asked for. `with Tensors(path, header) as tensors: tensors["name"]`."""

    def __init__(self, path: Path, header: Header) -> None:
        self._header = header
        self._bytes = np.memmap(path, np.uint8, "r") if header.bytes else np.zeros(0, np.uint8)

    def __enter__(self) -> Tensors:
        return self

    def __exit__(self, *_: object) -> None:
        del self._bytes

    def __getitem__(self, name: str) -> Raw:
        """A copy in memory. Raises KeyError; BrokenFile for kinds that no LoRA is kept in."""
        tensor = self._header.tensors[name]
        if tensor.kind not in KINDS:
            raise BrokenFile(f"Its tensor {shown(name)} is of kind {tensor.kind}.")
        data = np.array(self._bytes[tensor.start : tensor.end])
        return Raw(data.view(KINDS[tensor.kind]).reshape(tensor.shape), tensor.kind)


def as_float(raw: Raw) -> np.ndarray:
    """As float32 (float64 stays)."""
    if raw.kind == "BF16":
        return (raw.array.astype(np.uint32) << 16).view(np.float32)
    return raw.array if raw.kind in ("F32", "F64") else raw.array.astype(np.float32)


def from_float(array: np.ndarray, kind: str) -> Raw:
    """In `kind`, rounded to the nearest, ties to even."""
    if kind != "BF16":
        return Raw(array.astype(KINDS[kind]), kind)
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    # Rounding must not carry a NaN over into infinity.
    return Raw(np.where(np.isnan(array), np.uint16(0x7FC0), rounded).astype(np.uint16), kind)


def raw_of(tensor: Any) -> Raw:
    """A numpy array, or a torch tensor of any device (torch is not imported for it)."""
    if isinstance(tensor, Raw):
        return tensor
    if isinstance(tensor, np.ndarray):
        kind = next(name for name, dtype in KINDS.items() if name != "BF16" and tensor.dtype == dtype)
        return Raw(tensor, kind)
    tensor = tensor.detach().cpu().contiguous()
    if str(tensor.dtype) == "torch.bfloat16":
        import torch

        return Raw(tensor.view(torch.int16).numpy().view(np.uint16), "BF16")
    return raw_of(tensor.numpy())


def write(path: Path, tensors: Mapping[str, Raw], metadata: Mapping[str, str]) -> str:
    """The file, in place of what was there, whole or not at all. Returns its SHA-256 in hex.

    Tensors are kept in the order of their names, so the same content gives the same file.
    """
    entries: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    at = 0
    for name, raw in sorted(tensors.items()):
        entries[name] = {"dtype": raw.kind, "shape": list(raw.array.shape), "data_offsets": [at, at + raw.array.nbytes]}
        at += raw.array.nbytes
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    digest = hashlib.sha256()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in (struct.pack("<Q", len(text)), text, *(_bytes(raw) for _, raw in sorted(tensors.items()))):
                file.write(part)
                digest.update(part)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def content_hash(tensors: Iterable[tuple[str, Raw]]) -> str:
    """SHA-256 in hex of the tensors' bytes in the order of their names: modelspec's `hash_sha256`, which metadata does not change."""
    digest = hashlib.sha256()
    for _, raw in sorted(tensors, key=lambda item: item[0]):
        digest.update(_bytes(raw))
    return digest.hexdigest()


def _bytes(raw: Raw) -> Any:
    """In the file's byte order, without a copy where it is ours already."""
    array = np.ascontiguousarray(raw.array)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).reshape(-1).view(np.uint8).data
