"""Training one network, sparse or dense: the same loop, the sparse one has a method that rewires it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tithe.cost.flop import FlopCount
from tithe.cost.memory import Peaks, footprint
from tithe.cost.rates import Rates
from tithe.errors import Diverged
from tithe.methods.health import WATCH_STEPS, Watch
from tithe.resize import fit_channels, remove_dead_channels
from tithe.train import checkpoint
from tithe.train.batches import epoch_batches, normalisation
from tithe.train.data import Dataset
from tithe.train.files import write_json_lines
from tithe.train.network import Network, dense_layers
from tithe.train.nonfinite import blame
from tithe.train.recipe import Recipe, timetable
from tithe.train.spending import Spending

EVALUATION_BATCH = 512
SECONDS_BETWEEN_TICKS = 0.1


@dataclass(frozen=True)
class Tick:
    """Where training is, for whoever watches."""

    half: str  # "sparse" or "dense"
    epoch: int  # 1..epochs
    epochs: int
    step: int  # 0..total_steps
    total_steps: int
    loss: float  # mean over the epoch so far; NaN before the first step
    accuracy: float | None  # on the test set, after the last finished epoch
    epoch_ended: bool = False


class StoppedEarly(Exception):
    """Raised by who is asked before an epoch: enough was seen of this run. No error; the last checkpoint stays."""


class Training:
    """One half of a run: a network, its data and recipe, and everything that grows while it trains."""

    def __init__(
        self,
        half: str,
        network: Network,
        dataset: Dataset,
        recipe: Recipe,
        folder: Path,
        identity: dict[str, Any],
        watch: Callable[[Tick], None],
        rates: Rates | None = None,
        before_epoch: "Callable[[Training], None]" = lambda training: None,
    ) -> None:
        self.half = half
        self.network = network
        self.dataset = dataset
        self.recipe = recipe
        self.folder = folder
        self.identity = identity
        self.watch = watch
        self.before_epoch = before_epoch
        self.timetable = timetable(recipe, len(dataset.y_train))
        self.normalise = normalisation(dataset.x_train)
        self.epoch = 0
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict[str, Any]] = []
        self.flop = FlopCount()
        self.peaks = Peaks()
        self.spending = Spending(rates)
        self._dense_layers = Watch(dense_layers(network.model), "weight")  # the method watches the sparse ones
        self._sampled: object = None
        self._ticked = -math.inf

    def run(self) -> None:
        """Train from the last checkpoint, or from the start, to the end; a checkpoint every epoch.

        Raises:
            Diverged: the loss is no longer finite; the last checkpoint stays.
            StoppedEarly: `before_epoch` wants no more of it.
            UsageError: a checkpoint is damaged or cannot be written.
        """
        self._resume()
        with self.spending.metered():
            if self.step == 0:
                self._prepare()
            while self.epoch < self.recipe.epochs:
                self.before_epoch(self)
                self._run_epoch()

    def _run_epoch(self) -> None:
        row = self._train_epoch(self.epoch + 1)
        self._remove_dead()
        test_loss, accuracy = self._evaluate()
        row |= {"test_loss": test_loss, "accuracy": accuracy}
        self.history.append(row)
        self.epoch += 1
        self.spending.note(self.flop.total)
        checkpoint.save(self.folder, self.epoch, self.identity, self._state())
        write_json_lines(self.folder / "metrics.jsonl", self.history)
        self._tick(row["loss"], epoch_ended=True)

    def rewirings(self) -> int:
        """How often the topology has changed."""
        history = self.network.method.history if self.network.method is not None else []
        return sum(rewiring.skipped is None for rewiring in history)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        self.network.model.train()
        loss_sum, correct, seen = 0.0, 0, 0
        start = time.perf_counter()
        for raw, labels in epoch_batches(self.dataset.x_train, self.dataset.y_train, self.recipe, epoch):
            loss, right = self.train_step(self.normalise(raw), labels, epoch)
            loss_sum, correct, seen = loss_sum + loss * len(labels), correct + right, seen + len(labels)
            self._tick(loss_sum / seen)
        self.seconds += time.perf_counter() - start
        nnz, logical = self.network.weights()
        return {
            "epoch": epoch,
            "loss": loss_sum / seen,
            "train_accuracy": correct / seen,
            "seconds": self.seconds,
            "training_flop": self.flop.total,
            "density": nnz / logical,
            "nnz": nnz,
            "lr": self._lr(),
        }

    def _remove_dead(self) -> None:
        """Once the topology stays, channels that nothing reads need not be computed."""
        method = self.network.method
        if self.recipe.remove_dead and method is not None and method.settled:
            remove_dead_channels(self.network.model, self.network.optimizer)

    def _lr(self) -> float:
        """The learning rate of this step."""
        method = self.network.method
        return self.timetable.lr(self.recipe.lr, method.schedule_step(self.step) if method is not None else self.step)

    def _prepare(self) -> None:
        """Let the method look at the first batch; what that costs is part of training."""
        method = self.network.method
        if method is None or not method.needs_loss:
            return
        start = time.perf_counter()
        raw, labels = next(epoch_batches(self.dataset.x_train, self.dataset.y_train, self.recipe, 1))
        x = self.normalise(raw)
        self.network.model.train()
        self.peaks.note(footprint(self.network.model, self.network.optimizer, method.prepare_bytes()))
        with self.flop.counted(self.network.nnz(), (len(labels), -1)):
            method.prepare(lambda: F.cross_entropy(self._outputs(x) / method.temperature, labels))
        self.seconds += time.perf_counter() - start

    def train_step(self, x: Tensor, labels: Tensor, epoch: int) -> tuple[float, int]:
        """One optimizer step; the loss and how many of the batch were classified rightly."""
        self.step += 1
        for group in self.network.optimizer.param_groups:
            group["lr"] = self._lr() * group.get("lr_scale", 1.0)
        situation = (len(labels), int(self.network.scouting))
        with self.flop.counted(self.network.nnz(), situation):
            return self._learn(x, labels, epoch)

    def _learn(self, x: Tensor, labels: Tensor, epoch: int) -> tuple[float, int]:
        optimizer, method = self.network.optimizer, self.network.method
        outputs = self._outputs(x)
        loss = F.cross_entropy(outputs, labels)
        if not math.isfinite(loss.item()):
            raise self._diverged(x, f"the training loss became {loss.item()} at step {self.step} (epoch {epoch})")
        loss.backward()
        if self.step <= WATCH_STEPS:
            self._dense_layers.step(self.step)
        self._sample_memory()
        optimizer.step()
        if method is not None:
            method.step()
        self._sample_memory()
        optimizer.zero_grad(set_to_none=True)
        return loss.item(), int((outputs.argmax(1) == labels).sum())

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bf16)

    def _outputs(self, x: Tensor) -> Tensor:
        """What the network says, in float32: losses are not for bfloat16."""
        with self._autocast():
            return self.network.model(x).float()

    def _sample_memory(self) -> None:
        """Measure when something may have changed size: in the first two steps, in which gradients and optimizer state
        appear, and around every start and end of scouting, so also before and after every rewiring."""
        method = self.network.method
        scout_bytes, held_bytes = (method.scout_bytes(), method.held_bytes()) if method is not None else (0, 0)
        situation = (scout_bytes, held_bytes, self.network.nnz())
        if situation != self._sampled or self.step < 3:
            self._sampled = situation
            self.peaks.note(footprint(self.network.model, self.network.optimizer, scout_bytes, held_bytes))

    @torch.no_grad()
    def _evaluate(self) -> tuple[float, float]:
        """Loss and accuracy on the test set."""
        self.network.model.eval()
        loss_sum, correct = 0.0, 0
        parts = zip(
            self.dataset.x_test.split(EVALUATION_BATCH),
            self.dataset.y_test.split(EVALUATION_BATCH),
            strict=True,
        )
        for raw, labels in parts:
            x = self.normalise(raw)
            outputs = self._outputs(x)
            loss = F.cross_entropy(outputs, labels, reduction="sum").item()
            if not math.isfinite(loss):
                raise self._diverged(x, f"the test loss became {loss} after step {self.step} (epoch {self.epoch + 1})")
            loss_sum, correct = loss_sum + loss, correct + int((outputs.argmax(1) == labels).sum())
        count = len(self.dataset.y_test)
        return loss_sum / count, correct / count

    def _diverged(self, x: Tensor, what: str) -> Diverged:
        kept = f"the checkpoint of epoch {self.epoch} stays in {self.folder}" if self.epoch else "no epoch was finished"
        with self._autocast():
            culprit = blame(self.network.model, x)
        return Diverged(f"{self.half}: {what}: {culprit}; {kept}; try a lower --lr.")

    def _tick(self, loss: float, epoch_ended: bool = False) -> None:
        now = time.perf_counter()
        if not epoch_ended and now - self._ticked < SECONDS_BETWEEN_TICKS:
            return
        self._ticked = now
        accuracy = self.history[-1]["accuracy"] if self.history else None
        epoch = self.epoch if epoch_ended else self.epoch + 1
        self.watch(
            Tick(
                self.half,
                epoch,
                self.recipe.epochs,
                self.step,
                self.timetable.total_steps,
                loss,
                accuracy,
                epoch_ended,
            )
        )

    def _state(self) -> dict[str, Any]:
        """Everything that training goes on from. Order and augmentation follow from the seed and the epoch."""
        network = self.network
        return {
            "model": network.model.state_dict(),
            "optimizer": network.optimizer.state_dict(),
            "method": network.method.state_dict() if network.method is not None else None,
            "torch_rng": torch.get_rng_state(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "history": self.history,
            "flop": self.flop.state_dict(),
            "peaks": self.peaks.state_dict(),
            "spending": self.spending.state_dict(),
        }

    def _resume(self) -> None:
        state = checkpoint.load(self.folder, self.identity)
        if state is None:
            return
        network = self.network
        fit_channels(network.model, state["model"], network.optimizer)
        network.model.load_state_dict(state["model"])
        network.optimizer.load_state_dict(state["optimizer"])
        if network.method is not None:
            network.method.load_state_dict(state["method"])
        torch.set_rng_state(state["torch_rng"])
        self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
        self.history = state["history"]
        self.flop.load_state_dict(state["flop"])
        self.peaks.load_state_dict(state["peaks"])
        self.spending.load_state_dict(state.get("spending"))  # older checkpoints have none
        write_json_lines(self.folder / "metrics.jsonl", self.history)
