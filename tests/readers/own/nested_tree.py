"""A TTree with branches of ``vector<vector<float>>``, as ATLAS frameworks write it: uproot writes none.

uproot writes the bytes of every entry as a list of characters; the description of that branch is changed to
the one that ROOT writes for the nested type (`TBranchElement`, `TLeafElement`), so that it is read as one.
"""

from __future__ import annotations

import inspect
import struct
import textwrap

import awkward as ak
import numpy as np
import pytest
from uproot.writing import _cascadetree

from tests.readers.own.test_reader import write_root

NESTED = "vector<vector<float> >"
_CHANGES = (
    (
        'out.append(b"TBranch\\x00")',
        'is_nested = datum["fName"] in names\n'
        'out.append(b"TBranchElement\\x00" if is_nested else b"TBranch\\x00")\n'
        "element_index = len(out)\n"
        'out.append(bytes(6) if is_nested else b"")',
    ),
    (
        'out.append(("TLeaf" + letter_upper).encode() + b"\\x00")',
        'out.append(b"TLeafElement\\x00" if is_nested else ("TLeaf" + letter_upper).encode() + b"\\x00")\n'
        'letter_upper = "I" if is_nested else letter_upper',
    ),
    (
        "out[any_tbranch_index] = (",
        "if is_nested:\n"
        "    out.append(tail())\n"
        "    size = sum(len(x) for x in out[element_index + 1 :])\n"
        "    out[element_index] = uproot.serialization.numbytes_version(size, 10)\n"
        "out[any_tbranch_index] = (",
    ),
)


def _tail():
    """What a `TBranchElement` adds to a branch: class name, checksum, version, kinds, no counters."""
    name = NESTED.encode()
    return struct.pack(f">B{len(name)}sBBIHiiii", len(name), name, 0, 0, 0, 6, -1, 0, -1, 0) + bytes(8)


def _writer(names):
    """uproot's description of a tree, with nested branches; skipped where uproot is another one."""
    source = textwrap.dedent(inspect.getsource(_cascadetree.Tree._build_out))
    for old, new in _CHANGES:
        if source.count(old) != 1:
            pytest.skip("this uproot describes its trees in another way")
        (line,) = [line for line in source.splitlines() if old in line]
        indent = line[: len(line) - len(line.lstrip())]
        source = source.replace(old, new.replace("\n", f"\n{indent}"))
    place = {**vars(_cascadetree), "names": names, "tail": _tail}
    exec(source, place)
    return place["_build_out"]


def _bytes(event):
    """One entry as ROOT writes it: byte count, version, and length and numbers of every inner vector."""
    inner = b"".join(struct.pack(f">i{len(jet)}f", len(jet), *jet) for jet in event)
    body = struct.pack(">hi", 9, len(event)) + inner
    return np.frombuffer(struct.pack(">I", len(body) | 0x40000000) + body, np.uint8)


def write_nested(path, tree, columns, monkeypatch):
    """Write columns to a tree; those of lists of lists as ``vector<vector<float>>``."""
    nested = {name for name, values in columns.items() if getattr(values, "ndim", 1) == 3}
    monkeypatch.setattr(_cascadetree.Tree, "_build_out", _writer(nested))
    return write_root(path, tree, {n: _entries(v) if n in nested else v for n, v in columns.items()})


def _entries(values):
    """A list of bytes for every event."""
    entries = [_bytes(event) for event in values.to_list()]
    return ak.unflatten(np.concatenate(entries), [len(entry) for entry in entries])
