"""Which weights of one layer exist: an immutable CSR matrix of positions together with its transpose.

All the index work is done once, when a topology is made; kernels only read. The five index arrays live in one
int32 tensor, so a topology crosses every border (device, op call, thread) as a single object.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from tithe.errors import UsageError

INT32_MAX = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Topology:
    """The existing weights of a [rows, cols] matrix, in row-major order.

    A convolution's weight [out, in, kh, kw] is the matrix [out, in * kh * kw].
    Make one with `from_mask`, `from_indices`, `from_positions` or `random`; the plain constructor trusts its arguments.
    """

    shape: tuple[int, int]
    packed: Tensor  # int32 [rows + 1 + nnz + cols + 1 + 2 nnz]: indptr, indices, t_indptr, t_indices, t_perm

    @property
    def nnz(self) -> int:
        """Number of existing weights."""
        return nnz_of(self.packed.shape[0], *self.shape)

    @property
    def density(self) -> float:
        """Fraction of the logical weights that exist."""
        return self.nnz / (self.shape[0] * self.shape[1])

    @cached_property
    def _parts(self) -> Sequence[Tensor]:
        return unpack(self.packed, *self.shape)

    @property
    def indptr(self) -> Tensor:
        """int32 [rows + 1]: row r owns the weights indptr[r] .. indptr[r + 1]."""
        return self._parts[0]

    @property
    def indices(self) -> Tensor:
        """int32 [nnz]: the column of each weight, ascending within a row."""
        return self._parts[1]

    @property
    def t_indptr(self) -> Tensor:
        """int32 [cols + 1]: column c owns the transposed entries t_indptr[c] .. t_indptr[c + 1]."""
        return self._parts[2]

    @property
    def t_indices(self) -> Tensor:
        """int32 [nnz]: the row of each transposed entry, ascending within a column."""
        return self._parts[3]

    @property
    def t_perm(self) -> Tensor:
        """int32 [nnz]: transposed entry q is weight t_perm[q]."""
        return self._parts[4]

    def rows(self) -> Tensor:
        """int64 [nnz]: the row of each weight."""
        counts = self.indptr.diff().long()
        return torch.repeat_interleave(counts, output_size=self.nnz)

    def positions(self) -> Tensor:
        """int64 [nnz], ascending: row * cols + column of each weight."""
        return self.rows() * self.shape[1] + self.indices.long()

    def fan_in(self) -> Tensor:
        """int64 [rows]: how many weights each row (neuron, output channel) has."""
        return self.indptr.diff().long()

    def to_mask(self) -> Tensor:
        """Bool [rows, cols]: True where a weight exists."""
        mask = torch.zeros(self.shape, dtype=torch.bool, device=self.packed.device)
        mask[self.rows(), self.indices.long()] = True
        return mask

    def to(self, device: torch.device | str) -> Topology:
        """The same topology on another device."""
        return Topology(self.shape, self.packed.to(device))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Topology):
            return NotImplemented
        return self.shape == other.shape and torch.equal(self.packed, other.packed.to(self.packed.device))

    __hash__ = None  # type: ignore[assignment]  # equality by content: a mutable-looking key would mislead

    def __repr__(self) -> str:
        return f"Topology({self.shape[0]} x {self.shape[1]}, nnz={self.nnz}, density={self.density:.4g})"

    # Each way to make one ends in `from_csr`, where everything is checked.

    @staticmethod
    def from_mask(mask: Tensor) -> Topology:
        """From a mask [rows, ...]: a weight exists where it is non-zero; trailing dimensions are flattened.

        Raises:
            UsageError: the mask has no dimension to flatten or no element.
        """
        if mask.dim() < 2 or mask.numel() == 0:
            raise UsageError(
                f"a mask of shape {tuple(mask.shape)} was given; it needs a row and a column dimension "
                "of at least 1 each, as the layer's weight has"
            )
        flat = mask.reshape(mask.shape[0], -1)
        return Topology.from_positions(flat.reshape(-1).nonzero().reshape(-1), (flat.shape[0], flat.shape[1]))

    @staticmethod
    def from_indices(rows: Tensor, cols: Tensor, shape: tuple[int, int]) -> Topology:
        """From the row and the column of each weight (integers [nnz], any order, no position twice).

        Raises:
            UsageError: lengths differ, or an index is no integer, out of range or there twice.
        """
        if rows.shape != cols.shape or rows.dim() != 1:
            raise UsageError(
                f"row indices of shape {tuple(rows.shape)} and column indices of shape {tuple(cols.shape)} were "
                "given; both must be vectors of one length, an entry for each weight"
            )
        _check_shape(shape, rows.numel())
        for name, index, size in (("row", rows, shape[0]), ("column", cols, shape[1])):
            _check_integers(name, index)
            _check_range(name, index.long(), size)
        rows, cols = rows.long(), cols.long()
        return Topology.from_positions((rows * shape[1] + cols).sort().values, shape)

    @staticmethod
    def from_positions(positions: Tensor, shape: tuple[int, int]) -> Topology:
        """From ascending positions row * cols + column (integers [nnz]).

        Raises:
            UsageError: not a vector of integers, or a position is out of range, out of order or there twice.
        """
        _check_shape(shape, positions.numel())
        _check_integers("position", positions)
        positions = positions.long()  # narrow integers would wrap in the differences below
        _check_range("position", positions, shape[0] * shape[1])
        _check_ascending(positions)
        rows = positions.div(shape[1], rounding_mode="floor").to(torch.int32)
        return _assemble(rows, positions.remainder(shape[1]).to(torch.int32), shape)

    @staticmethod
    def from_csr(indptr: Tensor, indices: Tensor, shape: tuple[int, int]) -> Topology:
        """From CSR arrays (integers [rows + 1] and [nnz]), as a state_dict holds them.

        Raises:
            UsageError: the arrays do not describe sorted, unique positions within the shape.
        """
        _check_shape(shape, indices.numel())
        for name, index in (("row pointer", indptr), ("column", indices)):
            _check_integers(name, index)
        indptr, indices = indptr.long(), indices.long()
        if (
            indptr.shape != (shape[0] + 1,)
            or indptr[0] != 0
            or indptr[-1] != indices.numel()
            or bool((indptr.diff() < 0).any())
        ):
            raise UsageError(
                f"row pointers of shape {tuple(indptr.shape)} and {indices.numel()} column indices do not describe "
                f"a matrix of {shape[0]} rows; pointers must rise from 0 to the number of indices"
            )
        _check_range("column", indices, shape[1])
        rows = torch.repeat_interleave(indptr.diff(), output_size=indices.numel())
        return Topology.from_positions(rows * shape[1] + indices, shape)

    @staticmethod
    def random(
        shape: tuple[int, int],
        nnz: int,
        generator: torch.Generator | None = None,
    ) -> Topology:
        """Exactly nnz positions, every set of that size equally likely; on the CPU.

        Raises:
            UsageError: nnz is below 0 or above rows * cols.
        """
        _check_shape(shape, nnz)
        logical = shape[0] * shape[1]
        if not 0 <= nnz <= logical:
            raise UsageError(f"{nnz} weights were asked for; a {shape[0]} x {shape[1]} layer holds 0 to {logical}")
        return Topology.from_positions(distinct(logical, nnz, generator), shape)


def nnz_of(packed_length: int, rows: int, cols: int) -> int:
    """Number of weights of a packed topology of that length."""
    return (packed_length - rows - cols - 2) // 3


def packed_length(nnz: int, rows: int, cols: int) -> int:
    """Length of a packed topology with that many weights."""
    return 3 * nnz + rows + cols + 2


def unpack(packed: Tensor, rows: int, cols: int) -> Sequence[Tensor]:
    """Views of a packed topology: indptr, indices, t_indptr, t_indices, t_perm."""
    nnz = nnz_of(packed.shape[0], rows, cols)
    return packed.split((rows + 1, nnz, cols + 1, nnz, nnz))


def _assemble(rows: Tensor, cols: Tensor, shape: tuple[int, int]) -> Topology:
    """From int32 rows and columns in row-major order; int32, since a rewiring comes here near its memory's peak."""
    t_perm = cols.argsort(stable=True).to(torch.int32)  # stable: rows stay ascending within a column
    parts = (_pointers(rows, shape[0]), cols, _pointers(cols, shape[1]), rows.index_select(0, t_perm), t_perm)
    return Topology(shape, torch.cat(parts))


def _pointers(index: Tensor, size: int) -> Tensor:
    counts = torch.bincount(index, minlength=size)
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)]).to(torch.int32)


def distinct(logical: int, count: int, generator: torch.Generator | None) -> Tensor:
    """Ascending int64 [count], a uniform draw without replacement from range(logical), on the CPU."""
    if 2 * count <= logical:
        return _few_distinct(logical, count, generator)
    present = torch.ones(logical, dtype=torch.bool)
    present[_few_distinct(logical, logical - count, generator)] = False
    return present.nonzero().reshape(-1)


def _few_distinct(logical: int, count: int, generator: torch.Generator | None) -> Tensor:
    """As `distinct`, for count <= logical / 2."""
    device = generator.device if generator is not None else "cpu"
    chosen = torch.empty(0, dtype=torch.int64, device=device)
    while chosen.numel() < count:
        # Draws that repeat are thrown away; the surplus goes by a random choice, so every set stays equally likely.
        more = torch.randint(logical, (count - chosen.numel() + 16,), generator=generator, device=device)
        chosen = torch.cat([chosen, more]).unique()
    keep = torch.randperm(chosen.numel(), generator=generator, device=device)[:count]
    return chosen[keep].sort().values.cpu()


def _check_shape(shape: tuple[int, int], nnz: int) -> None:
    if not (1 <= shape[0] < INT32_MAX and 1 <= shape[1] < INT32_MAX):
        raise UsageError(f"a layer of {shape[0]} x {shape[1]} was given; each side must be 1 to {INT32_MAX - 1}")
    if nnz > INT32_MAX:
        raise UsageError(f"{nnz} weights were given; one layer holds at most {INT32_MAX}: lower its density")


def _check_integers(name: str, index: Tensor) -> None:
    if index.dim() != 1 or index.dtype == torch.bool or index.is_floating_point() or index.is_complex():
        raise UsageError(
            f"{name} indices of shape {tuple(index.shape)} and {index.dtype} were given; "
            "they must be a vector of integers, e.g. of torch.int64"
        )


def _check_range(name: str, index: Tensor, size: int) -> None:
    if index.numel() and (index.min() < 0 or index.max() >= size):
        raise UsageError(
            f"a {name} index of {int(index.min())} to {int(index.max())} was given; allowed is 0 to {size - 1}"
        )


def _check_ascending(positions: Tensor) -> None:
    if positions.numel() > 1 and bool((positions.diff() <= 0).any()):
        where = int((positions.diff() <= 0).nonzero()[0])
        raise UsageError(
            f"weight {where + 1} has position {int(positions[where + 1])} after {int(positions[where])}; "
            "positions must ascend and none may be there twice"
        )
