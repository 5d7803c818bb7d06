"""Draw the schematics of PET and PET v2: ``python docs/schematics.py`` writes ``docs/images/*.svg``.

Every box is a part of the network under its name in the code; a test looks each of them up.
"""

from __future__ import annotations

import ast
import html
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from omnilearn_lab.models import pet, pet_v2

IMAGES = Path(__file__).with_name("images")
BODY, HEAD, INPUT, OUTPUT = "#dbeafe", "#fde8d0", "#f1f1f1", "#dff3e4"
_STYLE = (
    "text{font-family:Helvetica,Arial,sans-serif;fill:#111;text-anchor:middle}"
    ".name{font-size:13px;font-weight:bold}.note{font-size:11px;fill:#444}"
    ".group{font-size:14px;font-weight:bold;fill:#333}"
)


class Box(NamedTuple):
    """A part of the network, or an input or output of it.

    Attributes
    ----------
    name
        Attribute of the network, dotted; of an input or output, its name.
    note
        What it does.
    place : (x, y)
        Of its middle, in columns and rows.
    color
    owner
        Name of the class in the module that holds the part; empty for inputs and outputs.
    """

    name: str
    note: str
    place: tuple[float, float]
    color: str = BODY
    owner: str = ""


class Schematic(NamedTuple):
    """Boxes, arrows between them by name, and frames around some of them."""

    title: str
    boxes: Sequence[Box]
    arrows: Sequence[tuple[str, str]]
    frames: Sequence[tuple[str, str, str]]  # text, first and last box of the frame


PET = Schematic(
    "PET, the Point-Edge Transformer of OmniLearn",
    (
        Box("features", "particles (T, F)", (0, 0), INPUT),
        Box("points", "Δη, Δφ (T, 2)", (0, 1), INPUT),
        Box("time", "of the diffusion (B,)", (0, 2), INPUT),
        Box("jet", "pT, η, m, N (B, J)", (0, 4.6), INPUT),
        Box("label", "class (B,)", (0, 6.4), INPUT),
        Box("body.embedding", "each particle alone", (1, 0), BODY, "Body"),
        Box("body.edges", "K nearest neighbours", (1, 1), BODY, "Body"),
        Box("body.time_modulation", "scale and shift", (1, 2), BODY, "Body"),
        Box("body.blocks", "attention, MLP; × n_layers", (2, 1), BODY, "Block"),
        Box("classifier.modulation", "scale and shift", (2, 3.7), HEAD, "ClassifierHead"),
        Box("classifier.blocks", "class token attends", (3, 3.7), HEAD, "ClassBlock"),
        Box("generator.condition", "time and jet", (2, 5.5), HEAD, "GeneratorHead"),
        Box("generator.label", "one row per class", (2, 6.4), HEAD, "GeneratorHead"),
        Box("generator.blocks", "attention with body output", (3, 5.95), HEAD, "Block"),
        Box("classifier.logits", "classes (B, C)", (4, 3.3), OUTPUT, "ClassifierHead"),
        Box("classifier.regression", "jet quantities (B, J)", (4, 4.2), OUTPUT, "ClassifierHead"),
        Box("generator.out", "velocity (T, 3)", (4, 5.95), OUTPUT, "GeneratorHead"),
    ),
    (
        ("features", "body.embedding"),
        ("features", "body.edges"),
        ("points", "body.edges"),
        ("time", "body.time_modulation"),
        ("body.embedding", "body.blocks"),
        ("body.edges", "body.blocks"),
        ("body.time_modulation", "body.blocks"),
        ("body.blocks", "classifier.blocks"),
        ("body.blocks", "generator.blocks"),
        ("jet", "classifier.modulation"),
        ("classifier.modulation", "classifier.blocks"),
        ("jet", "generator.condition"),
        ("time", "generator.condition"),
        ("label", "generator.label"),
        ("generator.condition", "generator.blocks"),
        ("generator.label", "generator.blocks"),
        ("classifier.blocks", "classifier.logits"),
        ("classifier.blocks", "classifier.regression"),
        ("generator.blocks", "generator.out"),
    ),
    (
        ("body", "body.embedding", "body.blocks"),
        ("classifier", "classifier.modulation", "classifier.regression"),
        ("generator", "generator.condition", "generator.out"),
    ),
)
PET_V2 = Schematic(
    "PET v2, the network of OmniLearned",
    (
        Box("features", "particles (T, F)", (0, 0), INPUT),
        Box("pid", "species (T,)", (0, 1), INPUT),
        Box("extra", "displacement (T, A)", (0, 2), INPUT),
        Box("time", "of the flow (B,)", (0, 3), INPUT),
        Box("condition", "of the jet (B, c)", (0, 4), INPUT),
        Box("label", "class (B,)", (0, 6), INPUT),
        Box("body.embedding", "each particle alone", (1, -0.4), BODY, "BodyV2"),
        Box("body.local", "neighbourhood, with pairs", (1, 0.5), BODY, "BodyV2"),
        Box("body.species", "one row per species", (1, 1.3), BODY, "BodyV2"),
        Box("body.extra", "further numbers", (1, 2.1), BODY, "BodyV2"),
        Box("body.time", "time token", (1, 3), BODY, "BodyV2"),
        Box("body.condition", "condition token", (1, 4), BODY, "BodyV2"),
        Box("body.pair_bias", "ln m², ln ΔR, ln kT", (2, -0.4), BODY, "BodyV2"),
        Box("body.blocks", "attention, MLP; × n_layers", (2, 1.2), BODY, "BodyV2"),
        Box("body.token", "n_tokens class tokens", (2, 2.6), BODY, "BodyV2"),
        Box("classifier.blocks", "tokens attend", (3, 1.2), HEAD, "TokenBlock"),
        Box("generator.label", "one row per class", (2, 6), HEAD, "GeneratorHeadV2"),
        Box("generator.blocks", "attention", (3, 5.5), HEAD, "GeneratorHeadV2"),
        Box("classifier.out", "classes (B, C)", (4, 1.2), OUTPUT, "ClassifierHeadV2"),
        Box("generator.out", "velocity (T, F)", (4, 5.5), OUTPUT, "GeneratorHeadV2"),
    ),
    (
        ("features", "body.embedding"),
        ("features", "body.local"),
        ("pid", "body.species"),
        ("extra", "body.extra"),
        ("time", "body.time"),
        ("condition", "body.condition"),
        ("body.embedding", "body.blocks"),
        ("body.local", "body.blocks"),
        ("body.species", "body.blocks"),
        ("body.extra", "body.blocks"),
        ("body.time", "body.blocks"),
        ("body.condition", "body.blocks"),
        ("body.pair_bias", "body.blocks"),
        ("body.token", "body.blocks"),
        ("body.blocks", "classifier.blocks"),
        ("body.blocks", "generator.blocks"),
        ("label", "generator.label"),
        ("generator.label", "generator.blocks"),
        ("classifier.blocks", "classifier.out"),
        ("generator.blocks", "generator.out"),
    ),
    (
        ("body", "body.embedding", "body.condition"),
        ("classifier", "classifier.blocks", "classifier.out"),
        ("generator", "generator.label", "generator.out"),
    ),
)
SCHEMATICS: Mapping[str, tuple[Schematic, object]] = {"pet": (PET, pet), "pet_v2": (PET_V2, pet_v2)}
_X, _Y, _W, _H = 205.0, 74.0, 172.0, 46.0
_LEFT, _TOP = 110.0, 92.0


def line_of(module: object, owner: str) -> int:
    """Return the line in which a class of a module begins."""
    tree = ast.parse(inspect.getsource(module))
    return next(node.lineno for node in tree.body if isinstance(node, ast.ClassDef) and node.name == owner)


def draw(name: str, link: Callable[[str], str] | None = None) -> str:
    """Return a schematic as SVG.

    Parameters
    ----------
    name : {"pet", "pet_v2"}
    link
        Where a part leads to, by the class that holds it; without it nothing can be clicked.
    """
    schematic, _ = SCHEMATICS[name]
    highest = min(box.place[1] for box in schematic.boxes)
    boxes = {b.name: b._replace(place=(b.place[0], b.place[1] - highest)) for b in schematic.boxes}
    width = _LEFT + max(_middle(box)[0] for box in boxes.values())
    height = 50 + max(_middle(box)[1] for box in boxes.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'aria-label="{html.escape(schematic.title)}"><style>{_STYLE}</style>',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" fill="#555"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        f'<text x="{width / 2:.0f}" y="24" class="group">{html.escape(schematic.title)}</text>',
        *(
            _frame(text, [b for b in boxes.values() if b.name.startswith(f"{text}.")])
            for text, *_ in schematic.frames
        ),
        *(_arrow(boxes[start], boxes[end]) for start, end in schematic.arrows),
        *(_box(box, link(box.owner) if link and box.owner else "") for box in boxes.values()),
    ]
    return "\n".join([*parts, "</svg>", ""])


def _middle(box: Box) -> tuple[float, float]:
    return _LEFT + _X * box.place[0], _TOP + _Y * box.place[1]


def _frame(text: str, boxes: Sequence[Box]) -> str:
    places = [_middle(box) for box in boxes]
    left, top = min(x for x, _ in places) - _W / 2 - 9, min(y for _, y in places) - _H / 2 - 22
    right, bottom = max(x for x, _ in places) + _W / 2 + 9, max(y for _, y in places) + _H / 2 + 9
    return (
        f'<rect x="{left:.0f}" y="{top:.0f}" width="{right - left:.0f}" height="{bottom - top:.0f}" rx="8" '
        f'fill="none" stroke="#999" stroke-dasharray="5 4"/>'
        f'<text x="{left + 12:.0f}" y="{top + 15:.0f}" class="group" style="text-anchor:start">{text}</text>'
    )


def _arrow(start: Box, end: Box) -> str:
    (x0, y0), (x1, y1) = _middle(start), _middle(end)
    if abs(x1 - x0) < 1:
        down = 1 if y1 > y0 else -1
        y0, y1 = y0 + down * _H / 2, y1 - down * _H / 2
        path = f"M{x0:.0f},{y0:.0f} L{x1:.0f},{y1:.0f}"
    else:
        x0, x1 = x0 + _W / 2, x1 - _W / 2
        bend = min(40.0, (x1 - x0) / 2)
        path = f"M{x0:.0f},{y0:.0f} C{x0 + bend:.0f},{y0:.0f} {x1 - bend:.0f},{y1:.0f} {x1:.0f},{y1:.0f}"
    return f'<path d="{path}" fill="none" stroke="#555" stroke-width="1.2" marker-end="url(#tip)"/>'


def _box(box: Box, target: str) -> str:
    x, y = _middle(box)
    drawn = (
        f'<rect x="{x - _W / 2:.0f}" y="{y - _H / 2:.0f}" width="{_W:.0f}" height="{_H:.0f}" rx="6" '
        f'fill="{box.color}" stroke="#555"/><text x="{x:.0f}" y="{y - 3:.0f}" class="name">{box.name}</text>'
        f'<text x="{x:.0f}" y="{y + 14:.0f}" class="note">{html.escape(box.note)}</text>'
    )
    return f'<a href="{html.escape(target)}">{drawn}</a>' if target else drawn


def main() -> None:
    """Write both schematics."""
    for name in SCHEMATICS:
        (IMAGES / f"{name}.svg").write_text(draw(name), encoding="utf-8")


if __name__ == "__main__":
    main()
