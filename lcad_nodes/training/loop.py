"""The optimization loop that both stages share."""

import csv
import logging
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from ..model.checkpoint import StateDict
from .config import FitConfig

Figures = dict[str, Tensor]


class Stage(Protocol):
    """What the loop asks of a stage of training, beside being an `nn.Module`."""

    def __call__(self, batch: Any) -> tuple[Tensor, Figures]:
        """Return the loss and figures for the log, scalars all."""
        ...

    def checkpoint(self) -> StateDict:
        """Return every tensor of the stage's networks in the checkpoint's layout."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Return all parameters; those that require no gradient stay as they are."""
        ...


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and why."""


def save_checkpoint(tensors: StateDict, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a checkpoint whole or not at all."""
    partial = path.with_suffix(".partial")
    save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, partial, metadata)
    partial.replace(path)


class Progress:
    """The step that has been reached, saved with the state of the optimizer."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        """Return what `load_state_dict` takes."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a saved step."""
        self.step = state["step"]


class Fit:
    """Optimize a stage, log its figures, and save its average weights as a checkpoint."""

    def __init__(self, stage: Stage, config: FitConfig, name: str) -> None:
        """Prepare.

        Args:
            stage: an `nn.Module`.
            config: see `FitConfig`.
            name: the checkpoint is `<directory>/<name>.safetensors`.
        """
        self.config, self.name, self.stage = config, name, stage
        self.directory = Path(config.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(mixed_precision=config.mixed_precision)
        self.trained = [p for p in stage.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(self.trained, lr=config.learning_rate)
        warmup = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(1.0, (step + 1) / max(config.warmup, 1))
        )
        self.module, self.optimizer = self.accelerator.prepare(stage, optimizer)
        self.warmup = warmup
        self.average = EMAModel(self.trained, decay=config.ema, use_ema_warmup=True, power=0.75)
        self.progress = Progress()
        self.accelerator.register_for_checkpointing(self.progress, self.average, self.warmup)

    @property
    def state(self) -> Path:
        """Where everything lies that is needed to go on."""
        return self.directory / f"{self.name}.state"

    def run(self, batches: Callable[[int], Iterator[Any]]) -> Path:
        """Train until the steps or minutes are over; from the saved state, where there is one.

        Args:
            batches: gives what the stage takes, from a step on.

        Returns:
            The checkpoint's path.

        Raises:
            TrainingError: if the loss is not finite.
        """
        if self.state.exists():
            self.accelerator.load_state(str(self.state))
            self.average.to(self.accelerator.device)
            logging.getLogger(__name__).info("going on from step %d", self.progress.step)
        source = batches(self.progress.step)
        started = time.monotonic()
        bar = tqdm(total=self.config.steps, initial=self.progress.step, desc=self.name)
        while self.progress.step < self.config.steps:
            figures = self._step(next(source))
            bar.update()
            if self.progress.step % self.config.log_every == 0:
                self._log(figures, time.monotonic() - started)
            minutes = (time.monotonic() - started) / 60
            if self.config.minutes and minutes > self.config.minutes:
                break
            if self.progress.step % self.config.save_every == 0:
                self.save()
        bar.close()
        return self.save()

    def _step(self, batch: Any) -> Figures:
        loss, figures = self.module(batch)
        if not math.isfinite(loss.item()):
            raise TrainingError(
                f"the loss is {loss.item()} at step {self.progress.step}: lower the learning rate "
                f"and go on from the last state in {self.state}"
            )
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.trained, 1.0)
        self.optimizer.step()
        self.warmup.step()
        self.optimizer.zero_grad()
        self.average.step(self.trained)
        self.progress.step += 1
        return {"loss": loss.detach(), **figures}

    def _log(self, figures: Figures, seconds: float) -> None:
        if not self.accelerator.is_main_process:
            return
        row = {"step": self.progress.step, "seconds": round(seconds, 1)}
        row |= {name: round(float(value), 6) for name, value in figures.items()}
        path = self.directory / f"{self.name}.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def save(self) -> Path:
        """Save the state to go on from, and the checkpoint of the averaged weights."""
        path = self.directory / f"{self.name}.safetensors"
        self.accelerator.save_state(str(self.state))
        if self.accelerator.is_main_process:
            self.average.store(self.trained)
            self.average.copy_to(self.trained)
            save_checkpoint(self.stage.checkpoint(), path)
            self.average.restore(self.trained)
        self.accelerator.wait_for_everyone()
        return path
