r"""How keys, numbers and tables are written for readers: one label per key, honest digits, one HTML table.

Every room writes through these functions, so that a metric has one name in figures, tables and reports, and
nothing that comes from a file reaches a page unescaped.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Collection, Mapping, Sequence
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple

_GREEK = "alpha beta gamma delta Delta epsilon eta theta lambda mu nu pi rho sigma tau phi chi omega Omega"
_SYMBOLS = dict(zip(_GREEK.split(), "αβγδΔεηθλμνπρστφχωΩ", strict=True)) | {
    "ln": "ln ",
    "sqrt": "√",
    "times": "×",
    "to": "→",
    "pm": "±",
    "mathrm": "",
    "mathbf": "",
    "ell": "ℓ",
    " ": " ",
    ",": " ",
}
_LOW, _HIGH = (str.maketrans("0123456789+-", digits) for digits in ("₀₁₂₃₄₅₆₇₈₉₊₋", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻"))
_REJECTION = re.compile(r"(?P<what>rejection|efficiency)_at_(?P<at>[\d.]+)(?:\[(?P<of>.+)\])?")
_OF = re.compile(r"(?P<what>.+)\[(?P<of>.+)\]")
_MISSING = "–"

LABELS: Mapping[str, tuple[str, str]] = {
    # observables of jets
    "mass": ("$m$", "GeV"),
    "multiplicity": ("$N$", ""),
    "width": ("$w$", ""),
    "ln_rho": (r"$\ln\rho$", ""),
    "z_g": ("$z_g$", ""),
    "pt": (r"$p_\mathrm{T}$", "GeV"),
    "eta": (r"$\eta$", ""),
    "phi": (r"$\phi$", "rad"),
    "energy": ("$E$", "GeV"),
    "soft_drop_mass": (r"$m_\mathrm{SD}$", "GeV"),
    "groomed_pt": (r"$p_\mathrm{T,SD}$", "GeV"),
    "groomed_radius": ("$R_g$", ""),
    "les_houches": (r"$\lambda_{0.5}$", ""),
    "thrust": (r"$\lambda_{2}$", ""),
    "pt_dispersion": (r"$p_\mathrm{T}^D$", ""),
    **{f"tau_{k}": (rf"$\tau_{{{k}}}$", "") for k in (1, 2, 3, 4, 21, 32, 43)},
    # classifiers
    "accuracy": ("Accuracy", ""),
    "auc": ("AUC", ""),
    "auc_one_vs_one": ("AUC, one against one", ""),
    "auc_b_light": ("AUC, b against light", ""),
    "auc_data_against_reference": ("AUC, data against reference", ""),
    "auc_data_against_generated": ("AUC, data against made background", ""),
    "auc_true_against_made": ("AUC, true against made background", ""),
    "sic": (r"Largest $\epsilon_S/\sqrt{\epsilon_B}$", ""),
    "max_sic": (r"Largest $\epsilon_S/\sqrt{\epsilon_B}$", ""),
    # haloes
    "r2_omega_m": (r"$R^2$ of $\Omega_m$", ""),
    "r2_sigma_8": (r"$R^2$ of $\sigma_8$", ""),
    "r2_velocity": ("$R^2$ of velocities", ""),
    "collider": ("jets", ""),
    "coarse": ("coarse mesh", ""),
    "lpt": ("2LPT", ""),
    # molecules
    "energy_mae": ("Energy MAE", "meV/atom"),
    "force_mae": ("Force MAE", "meV/Å"),
    "turning": ("Turning error", "meV/Å"),
    "adapters": ("jets, adapters", ""),
    "direct": ("direct head", ""),
    "unturned": ("direct head, never turned", ""),
    "gradient": ("minus the gradient", ""),
    "schnet": ("SchNet-like", ""),
    # generators
    "w1_mass": ("$W_1$-M", ""),
    "w1_particles": ("$W_1$-P", ""),
    "w1_efp": ("$W_1$-EFP", ""),
    "fpnd": ("FPND", ""),
    "fpd": ("FPD", ""),
    "kpd": ("KPD", ""),
    "coverage": ("Coverage", ""),
    "mmd": ("MMD", ""),
    # trainings
    "loss": ("Loss", ""),
    "val_loss": ("Validation loss", ""),
    "best_val_loss": ("Best validation loss", ""),
    "calibration_error": ("Calibration error", ""),
    "epochs": ("Epochs", ""),
    "steps": ("Optimizer step", ""),
    "seconds": ("Training time", "s"),
    "seconds_training": ("Training time", "s"),
    "seconds_evaluation": ("Evaluation time", "s"),
    "ms_per_jet": ("Time for a jet", "ms"),
    "jets": ("Jets seen", ""),
    # kinds of training
    "scratch": ("scratch", ""),
    "finetuned": ("fine-tuned", ""),
    "frozen": ("frozen body", ""),
    "trees": ("boosted trees", ""),
    "converged": ("scratch, converged", ""),
}
"""Mathtext and unit by key; see `label`."""


class Link(NamedTuple):
    """A cell of a table that leads somewhere, by a relative address or https."""

    text: str
    target: str


def label(key: str, *, is_math: bool = False, has_unit: bool = False) -> str:
    r"""Return how a key of a result or an observable is written; a key without an entry is its own label.

    Parameters
    ----------
    key
        Such as ``"ln_rho"`` or ``"rejection_at_0.5"``, with ``[class]`` behind it where there are classes.
    is_math
        Mathtext, for figures; else Unicode, for tables.
    has_unit
        With the unit behind it, as on an axis.

    Examples
    --------
    >>> label("ln_rho"), label("mass", has_unit=True), label("rejection_at_0.5"), label("my number")
    ('ln ρ', 'm [GeV]', '1/ε_B at ε_S = 50 %', 'my number')
    >>> label("rejection_at_0.5[Hbb]", is_math=True)
    'Hbb: $1/\\epsilon_B$ at $\\epsilon_S$ = 50 %'
    """
    text, unit = _entry(key)
    text = f"{text} [{unit}]" if has_unit and unit else text
    return text if is_math else plain(text)


def _entry(key: str) -> tuple[str, str]:
    if key in LABELS:
        return LABELS[key]
    if rejection := _REJECTION.fullmatch(key):
        measured = {"rejection": r"$1/\epsilon_B$", "efficiency": r"$\epsilon_B$"}[rejection["what"]]
        text = rf"{measured} at $\epsilon_S$ = {100 * float(rejection['at']):g} %"
        return (f"{rejection['of']}: {text}" if rejection["of"] else text), ""
    if (of := _OF.fullmatch(key)) and of["what"] in LABELS:
        return f"{of['of']}: {LABELS[of['what']][0]}", LABELS[of["what"]][1]
    return key, ""


def plain(text: str) -> str:
    r"""Return a text without mathtext: formulas in Unicode, for tables and for readers who cannot see.

    Examples
    --------
    >>> plain(r"Background rejection $1/\epsilon_B$, $\tau_{21}$, $p_\mathrm{T}$ > $10^3$")
    'Background rejection 1/ε_B, τ₂₁, p_T > 10³'
    """
    return re.sub(r"\$(.*?)\$", lambda formula: _plain_formula(formula[1]), text)


def _plain_formula(formula: str) -> str:
    formula = re.sub(r"\\([A-Za-z]+|[ ,])", lambda m: _SYMBOLS.get(m[1], m[1]), formula)
    for sign, digits in (("_", _LOW), ("^", _HIGH)):
        script = re.compile(rf"{re.escape(sign)}(?:{{([\d+-]+)}}|(\d))")
        formula = script.sub(lambda m, to=digits: (m[1] or m[2]).translate(to), formula)  # type: ignore[misc]
    return re.sub(r"[{}]", "", formula).strip()


def number(value: float, error: float = math.nan) -> str:
    """Return a number with its uncertainty, to the digits that the uncertainty allows.

    Two digits of the uncertainty are kept, or its whole part, and the value to the same place. Without an
    uncertainty, or with one that is only rounding, the value has four digits. Not-a-number is a dash.

    Examples
    --------
    >>> number(318.6, 182.0), number(0.98123, 0.00042), number(3.326, 5.4e-16), number(float("nan"))
    ('319 ± 182', '0.98123 ± 0.00042', '3.326', '–')
    """
    if math.isnan(value):
        return _MISSING
    if not math.isfinite(value) or not error > 1e-9 * max(abs(value), 1e-300) or math.isinf(error):
        return f"{value:.4g}"
    place = math.floor(math.log10(float(f"{error:.1e}"))) - 1  # of the second digit, after rounding
    if abs(place) > 6:
        return f"{value:.4g} ± {error:.2g}"
    decimals = max(0, -place)
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def signed(value: float, error: float | None = None) -> str:
    """Return a difference with its sign and its uncertainty, as `number` does.

    Examples
    --------
    >>> signed(0.0553, 0.0071), signed(-2.0), signed(0.5, None)
    ('+0.0553 ± 0.0071', '-2', '+0.5')
    """
    return "+" * (value > 0) + number(value, math.nan if error is None else error)


def html_table(
    rows: Sequence[Sequence[Any]],
    *,
    head: bool = True,
    caption: str = "",
    titles: Sequence[str] = (),
    classes: Mapping[str, str] | None = None,
    bold: Collection[int] = (),
) -> str:
    """Return rows as an HTML table; whatever stands in them is escaped.

    Parameters
    ----------
    rows
        Cells row by row: texts, numbers (four digits), or `Link`.
    head
        Whether the first row is the head.
    caption
        Above the table.
    titles
        A text for each row below the head, shown when the mouse rests on it.
    classes
        Class of the cells with a certain text, for the page's style.
    bold
        Which rows below the head stand out.

    Examples
    --------
    >>> html_table([("mass", 80.37925, "<b>")], head=False)
    '<table><tr><td>mass</td><td>80.38</td><td>&lt;b&gt;</td></tr></table>'
    >>> html_table([[Link("first", "01.ipynb")]], head=False)
    '<table><tr><td><a href="01.ipynb">first</a></td></tr></table>'
    """
    lines = [_row("th", rows[0])] if head and rows else []
    for i, row in enumerate(rows[len(lines) :]):
        title = titles[i] if titles else ""
        lines.append(_row("td", row, title=title, classes=classes or {}, is_bold=i in bold))
    above = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{above}{''.join(lines)}</table>"


def _row(
    tag: str,
    cells: Sequence[Any],
    *,
    title: str = "",
    classes: Mapping[str, str] = MappingProxyType({}),
    is_bold: bool = False,
) -> str:
    line = "".join(_cell(tag, cell, classes, is_bold) for cell in cells)
    return f'<tr title="{html.escape(title)}">{line}</tr>' if title else f"<tr>{line}</tr>"


def _cell(tag: str, cell: Any, classes: Mapping[str, str], is_bold: bool) -> str:
    is_fraction = isinstance(cell, Real) and not isinstance(cell, Integral)
    text = number(float(cell)) if is_fraction else str(cell)
    mark = f' class="{html.escape(classes[text])}"' if text in classes else ""
    shown = _anchor(cell) if isinstance(cell, Link) else html.escape(text)
    return f"<{tag}{mark}>{f'<b>{shown}</b>' if is_bold else shown}</{tag}>"


def _anchor(link: Link) -> str:
    """Return a link; an address that could run something is left out and its text stays."""
    scheme = re.match(r"\s*([A-Za-z][\w+.-]*):", link.target)
    if scheme and scheme[1].lower() != "https":
        return html.escape(link.text)
    return f'<a href="{html.escape(link.target)}">{html.escape(link.text)}</a>'
