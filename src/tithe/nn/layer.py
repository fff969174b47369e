"""What every sparse layer is: a vector of values, a topology, and a state_dict that carries both."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from tithe.budget import counts
from tithe.errors import UsageError
from tithe.nn.choice import kernel_for
from tithe.nn.record import Record
from tithe.topology import Topology

INDEX_KEYS = ("indptr", "indices")  # how a state_dict holds a topology: CSR; the transpose is made anew


class SparseLayer(nn.Module):
    """Base of SparseLinear and SparseConv2d.

    `kernel` says what computes it: "sparse", "dense" (a dense weight is made for each pass), or "auto", the faster one
    where more than 15 % of the weights exist and "sparse" below; `kernel_used` says which ran last.

    `values` is an ordinary parameter, so optimizers, clipping, averaging and all-reduce cost what the nonzeros cost.
    They go by place in the vector: an average over steps or models is one over a single topology, so none spans a
    rewiring.
    Only `tithe.rewire` and `load_state_dict` change which weights exist.
    """

    values: nn.Parameter  # [nnz], in the topology's row-major order
    bias: nn.Parameter | None  # [rows]
    packed: Tensor  # the topology's int32 buffer; follows the module to its device

    def __init__(
        self,
        weight_shape: tuple[int, ...],  # [out, in] or [out, in / groups, kh, kw]
        topology: Topology,
        bias: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.weight_shape = tuple(weight_shape)
        if topology.shape != self.matrix_shape:
            raise UsageError(
                f"a topology of {topology.shape[0]} x {topology.shape[1]} was given for a weight of shape "
                f"{self.weight_shape}; it must be {self.matrix_shape[0]} x {self.matrix_shape[1]}"
            )
        self.values = nn.Parameter(torch.empty(topology.nnz, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.empty(weight_shape[0], device=device, dtype=dtype)) if bias else None
        self.register_buffer("packed", topology.packed.to(self.values.device), persistent=False)
        self.record: Record | None = None  # while a method scouts
        self.kernel = "auto"  # or "sparse", "dense"
        self.kernel_used: str | None = None  # in the last forward pass
        self._positions: tuple[Tensor, Tensor] | None = None  # of the dense kernel: a topology's weights in the matrix

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(rows, cols) of the weight as a matrix."""
        return self.weight_shape[0], math.prod(self.weight_shape[1:])

    @property
    def topology(self) -> Topology:
        """Which weights exist."""
        return Topology(self.matrix_shape, self.packed) if self.packed.numel() else self._full_topology()

    @property
    def nnz(self) -> int:
        """Number of existing weights."""
        return self.values.shape[0]

    @property
    def density(self) -> float:
        """Fraction of the logical weights that exist."""
        return self.nnz / math.prod(self.weight_shape)

    def dense_weight(self) -> Tensor:
        """The weight with its zeros, [out, in, ...], detached; costs dense memory."""
        topology = self.topology
        weight = self.values.new_zeros(self.matrix_shape)
        weight[topology.rows(), topology.indices.long()] = self.values.detach()
        return weight.view(self.weight_shape)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Uniform in +-1/sqrt(fan-in), torch's default, with the fan-in that each neuron really has."""
        topology = self.topology
        fan_in = topology.fan_in().clamp(min=1)
        with torch.no_grad():
            unit = torch.rand(self.nnz, generator=generator).to(self.values) * 2 - 1
            self.values.copy_(unit * fan_in.to(self.values.dtype).rsqrt()[topology.rows()])
            if self.bias is not None:
                unit = torch.rand(self.bias.shape, generator=generator).to(self.bias) * 2 - 1
                self.bias.copy_(unit * fan_in.to(self.bias.dtype).rsqrt())

    def replace(self, topology: Topology, values: Tensor) -> None:
        """Take another topology and its values [nnz]; the parameter stays the same object, its gradient goes."""
        self.packed = topology.packed.to(self.values.device)
        self.values.grad = None
        swap_data(self.values, values)

    @abstractmethod
    def to_dense(self) -> nn.Module:
        """An ordinary torch layer that computes the same."""

    @abstractmethod
    def weight_gradient(self, x: Tensor, dy: Tensor, rows: slice) -> Tensor:
        """The dense gradient [len(rows), cols] of these rows' weights, from a recorded input and output gradient."""

    @abstractmethod
    def gradient_at(self, x: Tensor, dy: Tensor, topology: Topology) -> Tensor:
        """[nnz]: the gradient of the weights that another topology has, from the layer's input and output gradient."""

    @property
    @abstractmethod
    def rows_are_separate(self) -> bool:
        """Whether `weight_gradient` can be asked for a few rows at a time."""

    @abstractmethod
    def sparse_forward(self, x: Tensor) -> Tensor:
        """x [N, ...] through the sparse operators."""

    @abstractmethod
    def dense_forward(self, x: Tensor) -> Tensor:
        """The same through torch's dense operator, on a dense weight that is made for this call."""

    @property
    @abstractmethod
    def geometry(self) -> tuple[object, ...]:
        """What, beside density and input, decides which kernel is faster."""

    # What the passes share.

    def _compute(self, x: Tensor) -> Tensor:
        """x [N, ...] through the chosen kernel; the scout, if there is one, sees it."""
        self.hold_what_is_needed()
        self.kernel_used = kernel_for(self, x)
        y = self.dense_forward(x) if self.kernel_used == "dense" else self.sparse_forward(x)
        return self._observed(x, y)

    def _kernel_repr(self) -> str:
        if self.kernel == "auto" and self.kernel_used in (None, "sparse"):
            return ""
        return f", kernel={self.kernel}" + (f" ({self.kernel_used})" if self.kernel == "auto" else "")

    def hold_what_is_needed(self) -> None:
        """A full layer on the dense kernel needs no topology: without it dense training costs what it does in torch."""
        needless = self.kernel in ("dense", "by-density") and self.nnz == math.prod(self.weight_shape)
        if needless and self.packed.numel():
            self.packed = self.packed.new_empty(0)
        elif not needless and not self.packed.numel():
            self.packed = self._full_topology().packed

    def _full_topology(self) -> Topology:
        everywhere = torch.arange(math.prod(self.weight_shape))
        return Topology.from_positions(everywhere, self.matrix_shape).to(self.packed.device)

    def _scattered(self) -> Tensor:
        """The dense weight, differentiable in the values."""
        if self.nnz == math.prod(self.weight_shape):
            return self.values.view(self.weight_shape)
        if self._positions is None or self._positions[0] is not self.packed:
            self._positions = (self.packed, self.topology.positions())
        flat = self.values.new_zeros(math.prod(self.weight_shape))
        return flat.scatter(0, self._positions[1], self.values).view(self.weight_shape)

    def _matching(self, x: Tensor) -> Tensor:
        """Under autocast the input in the dtype that the operators take; without autocast it has to have it.

        bfloat16 on the CPU: float32 values meet activations stored in bfloat16. Else the values' own.
        """
        if self.values.dtype == torch.float32 and stores_bfloat16(x.device):
            return x.to(torch.bfloat16)
        if x.dtype != self.values.dtype and torch.is_autocast_enabled(x.device.type):
            return x.to(self.values.dtype)
        if x.dtype == torch.bfloat16 and self.values.dtype == torch.float32:  # other pairs torch refuses by itself
            raise UsageError(
                "an input of dtype torch.bfloat16 was given to a layer with torch.float32 values; convert one of them, "
                'or call the model under torch.autocast("cpu", torch.bfloat16)'
            )
        return x

    def _observed(self, x: Tensor, y: Tensor) -> Tensor:
        if self.record is not None and y.requires_grad:
            self._observe(x, y)  # pyright: ignore[reportCallIssue]  # torch types `disable` for functions only
        return y

    @torch.compiler.disable
    def _observe(self, x: Tensor, y: Tensor) -> None:
        if self.record is not None:
            self.record.watch(x, y)

    # Copies and pickles do not take a scouting record along: nobody would ever empty it.

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"record": None, "_positions": None}

    # state_dict: values, bias, indptr, indices. A rewired layer loads into one with another topology.

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)  # type: ignore[misc]
        topology = self.topology
        for key in INDEX_KEYS:  # copies: torch.save would write a view's whole storage, the transpose with it
            destination[prefix + key] = getattr(topology, key).clone()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        keys = [prefix + key for key in (*INDEX_KEYS, "values")]
        if all(key in state_dict for key in keys):
            try:
                indptr, indices, values = (state_dict[key] for key in keys)
                topology = self._read_topology(indptr, indices, values)
            except UsageError as error:
                error_msgs.append(f"{prefix.rstrip('.')}: {error}")
                return
            self.replace(topology, self.values.new_empty(topology.nnz))
            if local_metadata.get("assign_to_params_buffers"):  # the values come with their device: off meta, say
                self.packed = topology.packed.to(values.device)
        elif strict:
            missing_keys.extend(key for key in keys[:2] if key not in state_dict)
            if prefix + "weight" in state_dict:
                error_msgs.append(f"{prefix}weight is dense; load it into the dense model first, then sparsify that")
            if keys[2] in state_dict:  # an error even where missing keys are not: elsewhere the values mean nothing
                error_msgs.append(f"{keys[2]} comes without {keys[0]} and {keys[1]}, which say where the values sit")
                return
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )
        unexpected_keys[:] = [key for key in unexpected_keys if key not in keys]

    def _read_topology(self, indptr: Tensor, indices: Tensor, values: Tensor) -> Topology:
        if indices.shape != values.shape:
            raise UsageError(f"{indices.numel()} indices and {values.numel()} values were given; each value needs one")
        return Topology.from_csr(indptr.cpu(), indices.cpu(), self.matrix_shape)


def swap_data(parameter: nn.Parameter, data: Tensor) -> None:
    """Give a parameter data of another size; it stays the same object."""
    # torch remembers a parameter's size for as long as any old graph is alive (the user's last loss, say); only a
    # change of dtype makes it forget.
    other = torch.float64 if data.dtype != torch.float64 else torch.float32
    parameter.data = data.new_empty(0, dtype=other)
    parameter.data = data


def stores_bfloat16(device: torch.device) -> bool:
    """Whether autocast to bfloat16 is on and the kernels for it are there: on the CPU."""
    autocast = device.type == "cpu" and torch.is_autocast_enabled("cpu")
    return autocast and torch.get_autocast_dtype("cpu") == torch.bfloat16


def topology_for(
    weight: Tensor, mask: Tensor | None, density: float | None, generator: torch.Generator | None
) -> Topology:
    """The topology of `from_dense`: a mask of the weight's shape, or a density to draw at random.

    Raises:
        UsageError: neither or both were given, a wrong mask shape, or a density that leaves no weight.
    """
    if (mask is None) == (density is None):
        raise UsageError("from_dense takes either mask= (True where a weight stays) or density=, exactly one of them")
    if mask is not None:
        if mask.shape != weight.shape:
            raise UsageError(f"a mask of shape {tuple(mask.shape)} was given for a weight of {tuple(weight.shape)}")
        return Topology.from_mask(mask)
    assert density is not None
    shape = tuple(weight.shape)
    nnz = counts({"layer": shape}, density, "uniform")["layer"]
    return Topology.random((shape[0], math.prod(shape[1:])), nnz, generator)
