"""Ways to damage a file: bytes that flip or go missing, and structure that is sound and means something else.

Every mutation is a function of a random generator and a path, changes the file in place, and returns what it
did. What it does depends on the generator's seed alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

Rng = np.random.Generator
_LARGEST = 10_000_000  # bytes of a dataset that is changed: mutations have no limit on memory
Mutation = Callable[[Rng, Path], str]

ODD = [
    None, True, -1, 0, 10**30, -(10**18), 1e308, float("nan"), float("inf"), "", "nan", "x" * 5000, "\x00",
    "../..", "/etc/passwd", "<script>", "ü\u202e", [], {}, [[]], [None] * 50, {"a": {"b": {"c": 1}}},
    [1, 2, 3], "1e-3", "0x10",
    "!!python/object/apply:os.system", "${HOME}", -0.0, 2**63, [0] * 1000, {"": None},
]  # fmt: skip


def flip_bytes(rng: Rng, path: Path) -> str:
    data = bytearray(path.read_bytes())
    places = rng.integers(0, max(len(data), 1), rng.integers(1, 4))
    for place in places[: len(data)]:
        data[place] ^= 1 << rng.integers(8)
    path.write_bytes(data)
    return f"bits flipped at {places.tolist()}"


def flip_head(rng: Rng, path: Path) -> str:
    data = bytearray(path.read_bytes())
    place = int(rng.integers(0, max(1, min(len(data), 4096))))
    data[place : place + 1] = bytes([rng.integers(256)])
    path.write_bytes(data)
    return f"byte {place} of the head changed"


def truncate(rng: Rng, path: Path) -> str:
    size = int(rng.integers(0, max(path.stat().st_size, 1)))
    os.truncate(path, size)
    return f"truncated to {size} bytes"


def zero_block(rng: Rng, path: Path) -> str:
    data = bytearray(path.read_bytes())
    start, length = int(rng.integers(0, max(len(data), 1))), int(2 ** rng.integers(2, 12))
    data[start : start + length] = bytes(len(data[start : start + length]))
    path.write_bytes(data)
    return f"{length} bytes zero from {start}"


def repeat_block(rng: Rng, path: Path) -> str:
    data = path.read_bytes()
    start, length = int(rng.integers(0, max(len(data), 1))), int(2 ** rng.integers(2, 12))
    path.write_bytes(data[:start] + data[start : start + length] + data[start:])
    return f"{length} bytes twice from {start}"


def large_number(rng: Rng, path: Path) -> str:
    """A size field that claims far too much."""
    data = bytearray(path.read_bytes())
    place, width = int(rng.integers(0, max(len(data) - 8, 1))), int(rng.choice([2, 4, 8]))
    value = int(rng.choice([2**15, 2**31 - 1, 2**32 - 1, 2**62])) % 2 ** (8 * width)
    data[place : place + width] = value.to_bytes(width, str(rng.choice(["little", "big"])))
    path.write_bytes(data)
    return f"{value} at {place}"


def nothing_but(rng: Rng, path: Path) -> str:
    """Another file altogether."""
    choices = (
        b"",
        b"\x00" * 5000,
        b"<!DOCTYPE html>",
        rng.bytes(3000),
        b"PK\x05\x06" + bytes(18),
        b"[" * 9000,
    )
    number = int(rng.integers(len(choices)))
    path.write_bytes(choices[number])
    return f"replaced by other content {number}"


BYTES: tuple[Mutation, ...] = (
    flip_bytes, flip_head, truncate, zero_block, repeat_block, large_number, nothing_but
)  # fmt: skip


# ---- HDF5 ----------------------------------------------------------------------------------------


def _items(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visit(names.append)
    return names


def change_hdf5(rng: Rng, path: Path) -> str:
    """One change of structure; a copy is written, so that sizes and offsets are sound."""
    with h5py.File(path, "r+") as file:
        names = _items(file)
        datasets = [name for name in names if isinstance(file[name], h5py.Dataset)]
        datasets = [name for name in datasets if file[name].nbytes < _LARGEST]  # a claim made before is kept
        if not datasets:
            return "nothing to change"
        name = str(rng.choice(datasets))
        kind = str(rng.choice(list(_HDF5)))
        with contextlib.suppress(TypeError, ValueError, OSError, KeyError, RuntimeError, IndexError):
            _HDF5[kind](rng, file, name, path)
    return f"{kind} of {name}"


def _replace(file: h5py.File, name: str, values: Any, **options: Any) -> None:
    attributes = {key: value for key, value in file[name].attrs.items() if key != "DIMENSION_LIST"}
    del file[name]
    made = file.create_dataset(name, data=values, **options)
    for key, value in attributes.items():
        made.attrs[key] = value


def _fewer_rows(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    _replace(file, name, file[name][: int(rng.integers(0, len(file[name])))])


def _no_numbers(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    values = file[name][()]
    kind = rng.choice(["S5", "c16", "O"])
    if kind == "O":
        text = np.full(values.shape[:1], "text", dtype=object)
        _replace(file, name, text, dtype=h5py.string_dtype())
    else:
        _replace(file, name, values.astype(kind))


def _other_numbers(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    _replace(file, name, file[name][()].astype(rng.choice(["i1", "u8", "f2", "b1", "i8", "f8", ">f4"])))


def _other_shape(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    values = file[name][()]
    shapes = [values[..., None], values[None], values.ravel(), values[..., :0], np.float32(3.0), values[:0]]
    _replace(file, name, shapes[int(rng.integers(len(shapes)))])


def _odd_values(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    values = file[name][()]
    flat = values.reshape(-1)
    bad = [np.nan, np.inf, -np.inf, -1, 0, 1e38] if values.dtype.kind == "f" else [-1, 0, 2**31 - 1, 99]
    flat[rng.integers(0, flat.size, 3)] = bad[int(rng.integers(len(bad)))]
    file[name][...] = flat.reshape(values.shape)


def _huge(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    item = file[name]
    attributes, dtype, shape = dict(item.attrs), item.dtype, item.shape
    del file[name]
    made = file.create_dataset(name, (10 ** int(rng.integers(7, 13)), *shape[1:]), dtype, chunks=True)
    for key, value in attributes.items():
        made.attrs[key] = value


def _gone(_: Rng, file: h5py.File, name: str, __: Path) -> None:
    del file[name]


def _linked(rng: Rng, file: h5py.File, name: str, path: Path) -> None:
    links = [h5py.SoftLink("/nowhere"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/etc/passwd", "/x")]
    del file[name]
    file[name] = links[int(rng.integers(len(links)))]


def _group(_: Rng, file: h5py.File, name: str, __: Path) -> None:
    del file[name]
    file.create_group(name)


def _attribute(rng: Rng, file: h5py.File, name: str, _: Path) -> None:
    items = [file, *(file[n] for n in _items(file))]
    item = items[int(rng.integers(len(items)))]
    keys = list(item.attrs) or ["new"]
    key = str(rng.choice(keys))
    evil = np.void(pickle.dumps(["a"]))
    values = [evil, np.nan, "", -1, "x" * 1000, np.arange(5), b"(lp0\n.", 2**40, "{}", h5py.Empty("f4")]
    del item.attrs[key]
    if rng.random() < 0.8:
        item.attrs[key] = values[int(rng.integers(len(values)))]


_HDF5 = {
    "fewer rows": _fewer_rows, "no numbers": _no_numbers, "other numbers": _other_numbers,
    "another shape": _other_shape,
    "odd values": _odd_values, "a huge claim": _huge, "loss": _gone, "a link": _linked, "a group": _group,
    "an attribute": _attribute,
}  # fmt: skip


# ---- npz, parquet, JSON and YAML -----------------------------------------------------------------


def change_npz(rng: Rng, path: Path) -> str:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    name = str(rng.choice(list(arrays)))
    values = arrays[name]
    if rng.random() < 0.2:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 20, 4), }" % 10 ** rng.integers(
            6, 16
        )
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(
                f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\n"
            )
        return f"a huge claim of {name}"
    changed = {
        "objects": np.array([None, {"a": 1}], dtype=object),
        "text": np.array(["a"] * len(values)),
        "fewer rows": values[: len(values) // 2],
        "complex": values.astype(complex),
        "NaN": np.where(rng.random(values.shape) < 0.1, np.nan, values),
        "scalar": np.float64(1),
        "more axes": values[..., None],
        "no columns": values[..., :0],
    }
    kind = str(rng.choice([*changed, "gone"]))
    arrays.pop(name)
    np.savez_compressed(path, **(arrays | ({name: changed[kind]} if kind != "gone" else {})))
    return f"{kind} of {name}"


def change_parquet(rng: Rng, path: Path) -> str:
    import pyarrow as pa
    from pyarrow import parquet

    table = parquet.read_table(path)
    place = int(rng.integers(table.num_columns))
    name, column = table.column_names[place], table.column(place)
    values = column.to_pylist()
    kind = str(rng.choice(["null", "text", "number", "empty", "nested", "gone", "long"]))
    first = values[0] if values else None
    inner = list(first) if isinstance(first, list) else [first]
    one = {"null": None, "text": "a", "number": 3.0, "empty": [], "nested": [inner], "long": inner * 500}.get(
        kind
    )
    if kind == "gone":
        changed = table.remove_column(place)
    else:
        every = kind in ("text", "number", "nested")
        try:
            new = pa.array([one] * len(values) if every else [one, *values[1:]])
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            new = pa.array([None] * len(values))
        changed = table.set_column(place, name, new)
    parquet.write_table(changed, path)
    return f"{kind} of {name}"


def _places(value: Any, where: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [where, *(place for key, item in inner for place in _places(item, (*where, key)))]


def change_tree(rng: Rng, value: Any) -> tuple[Any, str]:
    """Change nested dictionaries and lists at one place: another value, a lost or a renamed key."""
    places = _places(value)
    where = places[int(rng.integers(len(places)))]
    odd = ODD[int(rng.integers(len(ODD)))]
    if not where:
        return odd, "everything replaced"
    owner = value
    for key in where[:-1]:
        owner = owner[key]
    way = int(rng.integers(4)) if isinstance(owner, dict) else 0
    if way == 0 or way == 3:
        owner[where[-1]] = odd
    elif way == 1:
        del owner[where[-1]]
    else:
        owner[f"{where[-1]}x" if rng.random() < 0.7 else 5] = owner.pop(where[-1])
    return value, f"{('value', 'loss', 'name', 'value')[way]} at {where}: {odd!r:.40}"


def change_json(rng: Rng, path: Path) -> str:
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    number = int(rng.integers(len(lines)))
    value, said = change_tree(rng, json.loads(lines[number]))
    lines[number] = json.dumps(value)
    path.write_text("\n".join(lines))
    return said


def change_yaml(rng: Rng, path: Path) -> str:
    text = path.read_text()
    if "&a11" in text:
        return "left as it is: a walk over a billion values has no end"
    value, said = change_tree(rng, yaml.safe_load(text))
    text = yaml.safe_dump(value)
    if rng.random() < 0.1:
        deep = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else '1'}]" for i in range(12))
        text, said = f"{deep}\n{text}", "a billion values by reference"
    path.write_text(text)
    return said


def change_text(rng: Rng, path: Path) -> str:
    """A line lost, doubled, moved or indented."""
    lines = path.read_text(errors="replace").splitlines()
    place = int(rng.integers(max(len(lines), 1)))
    line = lines.pop(place) if lines else ""
    new = [[], [line, line], ["  " + line], [line + ":"], ["- " + line], [line, "\t"], ["&a " + line, "*a"]]
    lines[place:place] = new[int(rng.integers(len(new)))]
    path.write_text("\n".join(lines))
    return f"line {place} changed"


STRUCTURE: dict[str, tuple[Mutation, ...]] = {
    ".h5": (change_hdf5,),
    ".npz": (change_npz,),
    ".parquet": (change_parquet,),
    ".json": (change_json, change_text),
    ".jsonl": (change_json, change_text),
    ".yaml": (change_yaml, change_text),
}


def mutate(rng: Rng, path: Path) -> str:
    """Damage a file once or twice, and return what was done."""
    said = []
    for _ in range(1 + int(rng.random() < 0.25)):
        structural = STRUCTURE.get(path.suffix, ())
        ways = structural if structural and rng.random() < 0.7 else BYTES
        way = ways[int(rng.integers(len(ways)))]
        with contextlib.suppress(Exception):  # the second damage may not be able to read the first one's
            said.append(way(rng, path))
    return "; ".join(said)
