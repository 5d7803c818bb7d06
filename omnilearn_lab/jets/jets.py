"""Jets: N point clouds of different sizes, held as flat arrays plus offsets."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from omnilearn_lab.display import html_table
from omnilearn_lab.errors import JetsError, nearest
from omnilearn_lab.jets.columns import (
    JET_FIELDS,
    PARTICLE_FIELDS,
    cast,
    check_arrays,
    check_names,
    check_offsets,
    jet_kinematics,
    sorted_by_pt,
    take_rows,
    wrap,
)
from omnilearn_lab.settings import settings

if TYPE_CHECKING:
    import awkward as ak


_PREVIEW_ROWS = 5


@dataclass(frozen=True, eq=False, repr=False)
class Jets:
    """A batch of N jets with T particles in all.

    Particles of jet i are the rows ``offsets[i]:offsets[i + 1]`` of every particle array,
    sorted by falling pt. Use `build` for arrays in another order.

    Parameters
    ----------
    particles : mapping of name to array, shape (T,)
        At least ``deta`` and ``dphi`` (pseudorapidity and azimuth relative to the jet axis,
        ``dphi`` in (-pi, pi]), ``pt`` and ``energy`` [GeV]. Optional: ``pid`` (reduced PDG code,
        see `omnilearn_lab.jets.SPECIES`), ``charge``, ``d0``, ``d0_err``, ``dz``, ``dz_err``
        [mm], ``origin``, and anything else by name.
    offsets : int64 array, shape (N + 1,)
    jet : mapping of name to array, shape (N,)
        At least ``pt``, ``mass`` [GeV], ``eta``, ``phi`` and ``multiplicity``. Optional: ``label``
        (int, position in ``class_names``), ``weight``, and anything else by name; integers stay
        integers.
    class_names : tuple of str
    provenance : mapping
        Where the jets come from: source, recipe, seed, versions.

    Raises
    ------
    JetsError
        For missing fields, wrong lengths, empty jets, not-a-number, non-positive pt,
        negative energy, unsorted particles, or labels outside ``class_names``.

    Examples
    --------
    >>> jets = Jets.build(
    ...     {"deta": [0.1, 0.0, 0.2], "dphi": [0.0, 0.1, 0.0], "pt": [20.0, 80.0, 50.0],
    ...      "energy": [30.0, 90.0, 55.0]},
    ...     offsets=[0, 2, 3],
    ...     jet={"pt": [99.0, 50.0], "eta": [1.0, 0.3], "phi": [0.0, 2.0], "mass": [10.0, 0.1]},
    ... )
    >>> len(jets), jets.jet["multiplicity"].tolist(), jets.particles["pt"].tolist()
    (2, [2.0, 1.0], [80.0, 20.0, 50.0])
    """

    particles: Mapping[str, np.ndarray]
    offsets: np.ndarray
    jet: Mapping[str, np.ndarray]
    class_names: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names("particle", self.particles, PARTICLE_FIELDS)
        check_names("jet", self.jet, JET_FIELDS)
        check_offsets(self.offsets)
        check_arrays("particle", self.particles, int(self.offsets[-1]))
        check_arrays("jet", self.jet, len(self))
        _check_physics(self)

    @classmethod
    def build(
        cls,
        particles: Mapping[str, Any],
        offsets: Any,
        jet: Mapping[str, Any],
        *,
        class_names: Sequence[str] = (),
        provenance: Mapping[str, Any] | None = None,
    ) -> Jets:
        """Make jets from arrays of any number type, in any order of particles.

        Casts to float32 and leaves integers integers (event numbers have more digits than float32 holds),
        wraps ``dphi``, sorts particles by falling pt within each jet, and counts ``multiplicity`` when it is
        not given.
        """
        offsets = np.asarray(offsets, dtype=np.int64)
        check_offsets(offsets)
        columns = {name: cast(name, values) for name, values in particles.items()}
        jet_columns = {name: cast(name, values) for name, values in jet.items()}
        jet_columns.setdefault("multiplicity", np.diff(offsets).astype(np.float32))
        check_names("particle", columns, PARTICLE_FIELDS)
        check_arrays("particle", columns, int(offsets[-1]))
        columns["dphi"] = wrap(columns["dphi"])
        columns = sorted_by_pt(columns, offsets)
        return cls(columns, offsets, jet_columns, tuple(class_names), dict(provenance or {}))

    @classmethod
    def from_four_momenta(
        cls,
        momenta: np.ndarray,
        offsets: Any,
        *,
        particles: Mapping[str, Any] | None = None,
        jet: Mapping[str, Any] | None = None,
        **labels: Any,
    ) -> Jets:
        """Make jets from particle four-momenta; the jet is their sum (E scheme).

        Parameters
        ----------
        momenta : float array, shape (T, 4)
            (px, py, pz, E) [GeV].
        offsets : int array, shape (N + 1,)
        particles, jet
            Further columns, such as ``pid`` or ``label``; ``jet`` may replace ``pt``, ``eta``,
            ``phi`` or ``mass`` (a calibrated jet, say).
        **labels
            ``class_names`` and ``provenance``, as in `build`.
        """
        momenta = np.asarray(momenta, dtype=np.float64)
        offsets = np.asarray(offsets, dtype=np.int64)
        check_offsets(offsets)
        if momenta.shape != (offsets[-1], 4):
            raise JetsError(
                f"momenta have shape {momenta.shape}; ({offsets[-1]}, 4) is needed by the offsets"
            )
        px, py, pz, energy = momenta.T
        pt = np.hypot(px, py)
        total = np.add.reduceat(momenta, offsets[:-1], axis=0)
        axis = jet_kinematics(total) | {k: np.asarray(v) for k, v in (jet or {}).items()}
        # relative to the axis as it will be stored, so that the two add up to the particle's direction
        eta, phi = (np.repeat(axis[n].astype(np.float32), np.diff(offsets)) for n in ("eta", "phi"))
        with np.errstate(divide="ignore", invalid="ignore"):
            deta = np.arcsinh(pz / pt) - eta
        dphi = np.arctan2(py, px) - phi
        columns = {"deta": deta, "dphi": dphi, "pt": pt, "energy": energy, **(particles or {})}
        return cls.build(columns, offsets, axis, **labels)

    # ---- size and access -------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_particles(self) -> int:
        """Total number of particles, T."""
        return int(self.offsets[-1])

    @property
    def counts(self) -> np.ndarray:
        """Particles held per jet, shape (N,); smaller than ``multiplicity`` after truncation."""
        return np.diff(self.offsets)

    @property
    def jet_index(self) -> np.ndarray:
        """Jet number of every particle, shape (T,)."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def label(self) -> np.ndarray:
        """Class labels, int64, shape (N,)."""
        if "label" not in self.jet:
            raise JetsError("these jets carry no 'label'; add one with with_jet(label=...)")
        return self.jet["label"]

    @property
    def weight(self) -> np.ndarray:
        """Jet weights, shape (N,); ones when none are stored."""
        return self.jet["weight"] if "weight" in self.jet else np.ones(len(self), dtype=np.float32)

    def __getitem__(self, key: Any) -> Jets:
        """Select jets by slice, integer array or boolean mask (a single integer keeps a batch of one)."""
        chosen: Any = [key] if isinstance(key, int | np.integer) else key
        rows = np.arange(len(self))[chosen]
        take, offsets = take_rows(self.offsets, rows)
        return self._like({k: v[take] for k, v in self.particles.items()}, offsets, rows)

    def truncate(self, max_particles: int) -> Jets:
        """Keep the hardest ``max_particles`` of every jet; jet quantities stay as they are."""
        if max_particles < 1:
            raise JetsError(f"max_particles is {max_particles}; at least 1 is needed")
        rank = np.arange(self.n_particles) - np.repeat(self.offsets[:-1], self.counts)
        keep = rank < max_particles
        offsets = np.concatenate([[0], np.cumsum(np.minimum(self.counts, max_particles))])
        return self._like({k: v[keep] for k, v in self.particles.items()}, offsets, slice(None))

    def shuffle(self, seed: int) -> Jets:
        """Return the jets in a random order fixed by ``seed``."""
        return self[np.random.default_rng(seed).permutation(len(self))]

    def with_jet(self, **columns: Any) -> Jets:
        """Return a copy with jet columns added or replaced."""
        return replace(self, jet=dict(self.jet) | {k: cast(k, v) for k, v in columns.items()})

    def with_classes(self, names: Sequence[str]) -> Jets:
        """Return the jets with labels that count in the order of ``names``: classes are matched by name.

        Parameters
        ----------
        names
            Every class that these jets have, and possibly more.

        Raises
        ------
        JetsError
            When a class of these jets is not among the names, or the jets do not name their classes.

        Examples
        --------
        >>> cloud = {"deta": [0.0], "dphi": [0.0], "pt": [9.0], "energy": [9.0]}
        >>> jet = {"pt": [9.0], "eta": [0.0], "phi": [0.0], "mass": [0.0], "label": [0]}
        >>> Jets.build(cloud, [0, 1], jet, class_names=("top", "QCD")).with_classes(("QCD", "top")).label
        array([1])
        """
        names = tuple(names)
        if names == self.class_names:
            return self
        held = set(np.unique(self.label).tolist()) if "label" in self.jet else set()
        missing = [name for i, name in enumerate(self.class_names) if name not in names and i in held]
        if missing or not self.class_names:
            raise JetsError(
                f"jets of the classes {self.class_names} cannot be taken for {names}: "
                f"{missing or 'their names'} are not among these; give class_names when reading them"
            )
        if "label" not in self.jet:
            return replace(self, class_names=names)
        place = np.array([names.index(name) if name in names else 0 for name in self.class_names])
        return replace(self, jet={**self.jet, "label": place[self.label]}, class_names=names)

    def split(
        self, fractions: Sequence[float] = (0.8, 0.1, 0.1), *, seed: int, together: str = ""
    ) -> tuple[Jets, ...]:
        """Split into parts at random, with the same mixture of classes in each.

        Parameters
        ----------
        fractions
            Shares of the parts; they add up to 1 or less.
        seed
        together
            Jet column whose equal values stay in one part: ``"event"``, where events have several jets.
            The classes then are mixed as well as whole groups allow.

        Returns
        -------
        tuple of Jets
            Each part in random order.

        Raises
        ------
        JetsError
            For fractions that are not shares, or a column that is not there.
        """
        shares = np.asarray(fractions, dtype=np.float64)
        if not len(shares) or np.any(shares < 0) or shares.sum() > 1 + 1e-9:
            raise JetsError(f"fractions are {tuple(fractions)}; shares that add up to 1 are needed")
        if together and together not in self.jet:
            raise JetsError(f"there is no jet column '{together}'; {nearest(together, self.jet)}")
        group = np.unique(self.jet[together], return_inverse=True)[1] if together else np.arange(len(self))
        label = np.zeros(group.max(initial=-1) + 1, dtype=np.int64)
        if "label" in self.jet:
            label[group[::-1]] = self.label[::-1]  # of the first jet of each group
        random = np.random.default_rng(seed)
        part = np.full(len(label), len(shares))
        for kind in np.unique(label):
            rows = random.permutation(np.flatnonzero(label == kind))
            edges = np.rint(np.cumsum(shares) * len(rows)).astype(int)
            for number, (start, stop) in enumerate(zip(np.append(0, edges[:-1]), edges, strict=True)):
                part[rows[start:stop]] = number
        order = random.permutation(len(self))
        return tuple(self[order[part[group[order]] == number]] for number in range(len(shares)))

    @classmethod
    def concatenate(cls, batches: Iterable[Jets]) -> Jets:
        """Join batches that have the same class names; keeps the columns all of them have."""
        parts = list(batches)
        if not parts:
            raise JetsError("nothing to concatenate: the list of batches is empty")
        names = {part.class_names for part in parts}
        if len(names) > 1:
            raise JetsError(f"cannot join jets of different class names: {sorted(names)}")
        shared = [n for n in parts[0].particles if all(n in p.particles for p in parts)]
        shared_jet = [n for n in parts[0].jet if all(n in p.jet for p in parts)]
        counts = np.concatenate([p.counts for p in parts])
        return cls(
            {n: np.concatenate([p.particles[n] for p in parts]) for n in shared},
            np.concatenate([[0], np.cumsum(counts)]),
            {n: np.concatenate([p.jet[n] for p in parts]) for n in shared_jet},
            parts[0].class_names,
            parts[0].provenance,
        )

    # ---- other shapes ----------------------------------------------------------------------

    def to_padded(
        self, max_particles: int | None = None, fields: Sequence[str] = PARTICLE_FIELDS
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return rectangular arrays, zero where a jet has fewer particles.

        Returns
        -------
        particles : float32 array, shape (N, P, len(fields))
        mask : bool array, shape (N, P)
            True for real particles.
        """
        jets = self if max_particles is None else self.truncate(max_particles)
        slots = int(jets.counts.max(initial=1)) if max_particles is None else max_particles
        for name in fields:
            if name not in jets.particles:
                raise JetsError(f"no particle field '{name}'; {nearest(name, jets.particles)}")
        mask = np.arange(slots) < jets.counts[:, None]
        padded = np.zeros((len(jets), slots, len(fields)), dtype=np.float32)
        for column, name in enumerate(fields):
            padded[..., column][mask] = jets.particles[name]
        return padded, mask

    @classmethod
    def from_padded(
        cls,
        particles: np.ndarray,
        mask: np.ndarray,
        fields: Sequence[str],
        jet: Mapping[str, Any],
        **labels: Any,
    ) -> Jets:
        """Make jets from rectangular arrays; ``mask`` says which slots are real (gaps are fine)."""
        mask = np.asarray(mask, dtype=bool)
        if np.shape(particles) != (*mask.shape, len(fields)):
            raise JetsError(
                f"particles have shape {np.shape(particles)}; {(*mask.shape, len(fields))} is needed"
            )
        columns = {name: np.asarray(particles)[..., i][mask] for i, name in enumerate(fields)}
        offsets = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
        return cls.build(columns, offsets, jet, **labels)

    def to_awkward(self) -> ak.Array:
        """Return an Awkward Array of records: jet fields plus ``particles`` (zero-copy)."""
        import awkward as ak

        layout = ak.contents.RecordArray(
            [ak.contents.NumpyArray(v) for v in self.particles.values()], list(self.particles)
        )
        jagged = ak.contents.ListOffsetArray(ak.index.Index64(self.offsets), layout)
        return ak.zip({**self.jet, "particles": ak.Array(jagged)}, depth_limit=1)

    def cartesian(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return (px, py, pz, energy) of all particles in double precision, each shape (T,) [GeV]."""
        pt = self.particles["pt"].astype(np.float64)
        eta = self.particles["deta"].astype(np.float64) + np.repeat(self.jet["eta"], self.counts)
        phi = self.particles["dphi"].astype(np.float64) + np.repeat(self.jet["phi"], self.counts)
        energy = self.particles["energy"].astype(np.float64)
        return pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy

    def four_momenta(self) -> ak.Array:
        """Return the particles as a jagged Awkward Array of ``vector`` Momentum4D records [GeV]."""
        import awkward as ak
        import vector

        vector.register_awkward()
        px, py, pz, energy = (ak.unflatten(c, self.counts) for c in self.cartesian())
        return ak.zip({"px": px, "py": py, "pz": pz, "E": energy}, with_name="Momentum4D")

    # ---- display ---------------------------------------------------------------------------

    def summary(self) -> str:
        """One line: how many jets of which class, from where."""
        source = self.provenance.get("source", "unknown source")
        text = f"{len(self):,} jets, {self.n_particles:,} particles, {source}"
        if "label" in self.jet and self.class_names:
            counts = np.bincount(self.label, minlength=len(self.class_names))
            text += (
                " (" + ", ".join(f"{n} {c:,}" for n, c in zip(self.class_names, counts, strict=True)) + ")"
            )
        return text

    def __repr__(self) -> str:
        return f"<Jets: {self.summary()}>"

    def _repr_html_(self) -> str:
        names = [n for n in ("label", "pt", "eta", "phi", "mass", "multiplicity", "weight") if n in self.jet]
        columns: list[Any] = [self.jet[n][:_PREVIEW_ROWS] for n in names]
        if "label" in names and self.class_names:
            columns[names.index("label")] = [self.class_names[i] for i in columns[names.index("label")]]
        return f"<p>{html.escape(self.summary())}</p>{html_table([names, *zip(*columns, strict=True)])}"

    def _like(self, particles: dict[str, np.ndarray], offsets: np.ndarray, rows: Any) -> Jets:
        jet = {k: v[rows] for k, v in self.jet.items()}
        return replace(self, particles=particles, offsets=offsets.astype(np.int64), jet=jet)


@dataclass(frozen=True)
class PairedJets:
    """The same jets before and after the detector.

    Parameters
    ----------
    truth, detector : Jets
        Of equal length; row i of both comes from the event ``truth.jet["event"][i]``.
    """

    truth: Jets
    detector: Jets

    def __len__(self) -> int:
        return len(self.truth)

    def __getitem__(self, rows: Any) -> PairedJets:
        """Return some events, at both levels."""
        return PairedJets(self.truth[rows], self.detector[rows])


def _check_physics(jets: Jets) -> None:
    pt, energy = jets.particles["pt"], jets.particles["energy"]
    if len(pt) and (pt.min() <= 0 or energy.min() < 0):
        row = int(np.argmax((pt <= 0) | (energy < 0)))
        raise JetsError(
            f"particle {row} has pt {pt[row]} and energy {energy[row]} GeV; both must be positive"
        )
    rising = np.diff(pt) > 0
    rising[jets.offsets[1:-1] - 1] = False
    if rising.any():
        row = int(np.argmax(rising)) + 1
        raise JetsError(f"particle {row} has a larger pt than the one before it; Jets.build sorts particles")
    labels = jets.jet.get("label")
    if labels is not None and jets.class_names and len(labels):
        bad = (labels < 0) | (labels >= len(jets.class_names))
        if bad.any():
            row = int(np.argmax(bad))
            raise JetsError(
                f"jet {row} has label {labels[row]}; the {len(jets.class_names)} classes {jets.class_names} "
                f"allow 0 to {len(jets.class_names) - 1}"
            )


_DISPLACEMENT = ("d0", "d0_err", "dz", "dz_err")


@settings
class InputSpec:
    """The inputs of a network, as a saved model remembers them.

    Attributes
    ----------
    species
        Whether particle species are an input.
    displacement
        Whether impact parameters are.
    class_names
        Classes, in the order of the network's outputs.
    label_map
        Which value of the file was called which class, where one was given.
    energy_unit, length_unit
        Of momenta and of impact parameters in `Jets`.

    Examples
    --------
    >>> InputSpec(species=True, class_names=("QCD", "top")).length_unit
    'mm'
    """

    species: bool = False
    displacement: bool = False
    class_names: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    energy_unit: Literal["GeV"] = "GeV"
    length_unit: Literal["mm"] = "mm"

    @classmethod
    def of(cls, jets: Jets, *, species: bool | None = None, displacement: bool | None = None) -> InputSpec:
        """Describe jets; what is not said is taken when the jets have it.

        Raises
        ------
        JetsError
            When an input is asked for that the jets do not have.
        """
        spec = cls(
            species=_has_species(jets) if species is None else species,
            displacement=_has_displacement(jets) if displacement is None else displacement,
            class_names=jets.class_names,
            label_map={str(value): name for value, name in jets.provenance.get("label_map", {}).items()},
        )
        spec.check(jets)
        return spec

    def fit(self, jets: Jets) -> Jets:
        """Return jets as the network expects them: with its classes in its order.

        Raises
        ------
        JetsError
            When an input is missing, or a class has another name.
        """
        self.check(jets)
        if not self.class_names or "label" not in jets.jet or jets.class_names == self.class_names:
            return jets
        if not jets.class_names:
            return Jets(jets.particles, jets.offsets, jets.jet, self.class_names, jets.provenance)
        return jets.with_classes(self.class_names)

    def check(self, jets: Jets) -> None:
        """Refuse jets that lack an input.

        Raises
        ------
        JetsError
            Naming the input and what to do.
        """
        if self.species and not _has_species(jets):
            raise JetsError(
                "the network was trained with particle species, and these jets have none; map 'pid' when "
                "reading them, or train with species=False"
            )
        if self.displacement and not _has_displacement(jets):
            missing = [name for name in _DISPLACEMENT if name not in jets.particles]
            raise JetsError(
                f"the network was trained with impact parameters [mm], and these jets have no {missing}; "
                "map them when reading, or train with displacement=False"
            )


def _has_species(jets: Jets) -> bool:
    return "pid" in jets.particles


def _has_displacement(jets: Jets) -> bool:
    return all(name in jets.particles for name in _DISPLACEMENT)
