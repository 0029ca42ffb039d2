"""The optimization loop that both stages share."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from filelock import FileLock, Timeout
from torch import Tensor
from tqdm import tqdm

from ..model.checkpoint import StateDict
from .checkpoints import UNREADABLE, save_checkpoint
from .config import ConfigError, FitConfig
from .log import Log, start_log
from .sheet import Row, save_sheet

Figures = dict[str, Tensor]

logger = logging.getLogger(__name__)


class Stage(Protocol):
    """What the loop asks of a stage of training, beside being an `nn.Module`."""

    def __call__(self, batch: Any, step: int) -> tuple[Tensor, Figures]:
        """Return the loss and figures for the log, scalars all."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return AdamW's groups of what is trained; all else stays as it is."""
        ...

    def checkpoint(self) -> StateDict:
        """Return every tensor of the stage's networks in the checkpoint's layout."""
        ...


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which step and why."""


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

    def __init__(self, stage: Stage, config: FitConfig, name: str, size: int) -> None:
        """Prepare.

        Args:
            stage: an `nn.Module`.
            config: see `FitConfig`.
            name: the checkpoint is `<directory>/<name>.safetensors`.
            size: side of the pictures in px, for the checkpoint to tell.

        Raises:
            ConfigError: if the device cannot compute in the precision asked for.
        """
        self.config, self.name, self.stage, self.size = config, name, stage, size
        self.directory = Path(config.directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.accelerator = Accelerator(
            mixed_precision=config.mixed_precision,
            gradient_accumulation_steps=config.accumulate,
        )
        check_precision(config.mixed_precision, self.accelerator.device)
        optimizer = torch.optim.AdamW(stage.parameter_groups(), lr=config.learning_rate)
        self.groups: list[list[torch.nn.Parameter]] = [g["params"] for g in optimizer.param_groups]
        self.trained = [parameter for group in self.groups for parameter in group]
        self.rate = get_scheduler(
            config.schedule,
            optimizer,
            num_warmup_steps=config.warmup,
            num_training_steps=config.steps,
        )
        self.module, self.optimizer = self.accelerator.prepare(stage, optimizer)
        self.average = EMAModel(self.trained, decay=config.ema, use_ema_warmup=True, power=0.75)
        self.progress = Progress()
        self.accelerator.register_for_checkpointing(self.progress, self.average, self.rate)
        self.accelerator.register_save_state_pre_hook(self._save_unwrapped)
        self.accelerator.register_load_state_pre_hook(self._load_unwrapped)

    def _save_unwrapped(self, models: list[Any], weights: list[Any], _folder: str) -> None:
        """Name weights as they are in one process, so that any number of them can go on."""
        if weights:
            weights[:] = [self.accelerator.unwrap_model(model).state_dict() for model in models]

    def _load_unwrapped(self, models: list[Any], _folder: str) -> None:
        models[:] = [self.accelerator.unwrap_model(model) for model in models]

    @property
    def state(self) -> Path:
        """Where everything lies that is needed to go on."""
        return self.directory / f"{self.name}.state"

    @property
    def _before(self) -> Path:
        """Where the state lies while another takes its place."""
        return self.state.with_suffix(".before")

    def run(
        self, batches: Callable[[int], Iterator[Any]], samples: Callable[[], Sequence[Row]]
    ) -> Path:
        """Train until the steps or minutes are over; from the saved state, where there is one.

        Args:
            batches: gives what the stage takes, from a batch on.
            samples: makes the rows of a sheet of sample pictures.

        Returns:
            The checkpoint's path.

        Raises:
            ConfigError: if processes do not share the folder that they save to, or another
                training has it.
            TrainingError: if the loss is not finite, or the saved state cannot be read or is of
                another configuration.
        """
        with self._alone():
            self._go_on()
            self._train(batches, samples)
            path = self.save()
            self.accelerator.end_training()
        return path

    def _train(
        self, batches: Callable[[int], Iterator[Any]], samples: Callable[[], Sequence[Row]]
    ) -> None:
        config, progress = self.config, self.progress
        is_main = self.accelerator.is_main_process
        log = start_log(config, self.name, progress.step) if is_main else None
        source = batches(progress.step * config.accumulate)
        started = time.monotonic()
        bar = tqdm(
            total=config.steps,
            initial=progress.step,
            desc=self.name,
            disable=not self.accelerator.is_local_main_process,
        )
        while progress.step < config.steps and not self._late(started):
            figures = self._step(source)
            bar.update()
            if progress.step % config.log_every == 0:
                self._log(log, figures, time.monotonic() - started)
            if config.sample_every and progress.step % config.sample_every == 0:
                self._sample(samples)
            if config.keep_every and progress.step % config.keep_every == 0:
                self._write(f"{self.name}-{progress.step}")
            if progress.step % config.save_every == 0 and progress.step < config.steps:
                self.save()
        bar.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other trainings out; the main process holds the lock for all, who must see it."""
        file = self.directory / f"{self.name}.lock"
        lock, taken = FileLock(file), False
        if self.accelerator.is_main_process:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                taken = True
        if self._count(taken):
            raise ConfigError(
                f"directory = {self.config.directory}: another training of {self.name} is running "
                "there. Wait for it to end, or give this one a directory of its own"
            )
        try:
            if unseen := self._count(not file.exists()):
                raise ConfigError(
                    f"directory = {self.config.directory}: {unseen} of "
                    f"{self.accelerator.num_processes} processes do not see what the first one "
                    "writes there. Several machines need one folder that all of them share"
                )
            yield
        finally:
            lock.release()

    def _count(self, so: bool) -> int:
        """On how many processes something is so."""
        one = torch.tensor(float(so), device=self.accelerator.device)
        total: Any = self.accelerator.reduce(one)
        return int(total)

    def _go_on(self) -> None:
        if self.accelerator.is_main_process and self._before.exists():
            # Killed while the state was replaced: what was put aside is whole.
            if self.state.exists():
                shutil.rmtree(self._before)
            else:
                self._before.rename(self.state)
        self.accelerator.wait_for_everyone()
        if self.state.exists():
            self._check_plain()
            self._load()
            self._as_configured()
            logger.info("going on from step %d", self.progress.step)
        self.average.to(self.accelerator.device)

    def _check_plain(self) -> None:
        """Refuse what could run code, which accelerate lets what is registered with it do."""
        for file in (*self.state.glob("*.bin"), *self.state.glob("custom_checkpoint_*.pkl")):
            try:
                torch.load(file, map_location="meta", weights_only=True)
            except UNREADABLE as error:
                raise TrainingError(
                    f"{file} is cut short, or holds more than tensors and numbers and could run "
                    f"code. Put the folder elsewhere to begin anew: {error}"
                ) from error

    def _load(self) -> None:
        try:
            self.accelerator.load_state(str(self.state))
        except torch.cuda.OutOfMemoryError:  # a RuntimeError, but not the state's fault
            raise
        except UNREADABLE as error:
            raise TrainingError(
                f"{self.state} is broken, or of another configuration: undo what was changed "
                f"there, or name another directory ({shorten(str(error), 200)})"
            ) from error

    def _as_configured(self) -> None:
        """Let hold what the configuration says now, not what it said when the state was saved."""
        rate: Any = self.rate
        self.accelerator.step = self.progress.step * self.config.accumulate
        self.average.decay = self.config.ema
        rate.base_lrs = [self.config.learning_rate] * len(rate.base_lrs)
        for group, share in zip(self.optimizer.param_groups, rate.lr_lambdas, strict=True):
            group["lr"] = self.config.learning_rate * share(rate.last_epoch)

    def _late(self, started: float) -> bool:
        """Whether the time is over; the main process's clock decides for all."""
        minutes = torch.tensor((time.monotonic() - started) / 60, device=self.accelerator.device)
        spent: Any = broadcast(minutes)
        return 0 < self.config.minutes < float(spent)

    def _step(self, source: Iterator[Any]) -> Figures:
        """Take one step on as many batches as a step has; figures are their means."""
        passes: list[Figures] = []
        for _ in range(self.config.accumulate):
            with self.accelerator.accumulate(self.module):
                loss, figures = self.module(next(source), self.progress.step)
                self._check("loss", loss)
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self._clip()
                self.optimizer.step()
                self.optimizer.zero_grad()
                passes.append({"loss": loss.detach(), **figures})
        self.rate.step()
        self.average.step(self.trained)
        self.progress.step += 1
        return {name: torch.stack([p[name] for p in passes]).mean() for name in passes[0]}

    def _check(self, what: str, value: Tensor) -> None:
        if not math.isfinite(value.item()):
            raise TrainingError(
                f"the {what} is {value.item()} at step {self.progress.step}: lower the learning "
                f"rate and go on from the last state in {self.state}"
            )

    def _clip(self) -> None:
        """Clip each group's gradient by itself: a discriminator's must not shrink the others'."""
        self.accelerator.unscale_gradients()
        for group in self.groups:
            norm = torch.nn.utils.clip_grad_norm_(group, 1.0)
            if self.accelerator.scaler is None:  # which leaves such steps out by itself
                self._check("norm of the gradient", norm)

    def _log(self, log: Log | None, figures: Figures, seconds: float) -> None:
        means: Any = self.accelerator.reduce(figures, "mean")
        row = {"seconds": round(seconds, 1)}
        row |= {name: round(float(value), 6) for name, value in means.items()}
        if log:
            log(row, self.progress.step)

    def _sample(self, samples: Callable[[], Sequence[Row]]) -> None:
        if self.accelerator.is_main_process:
            with self._averaged():
                rows = samples()
            folder = self.directory / f"{self.name}-samples"
            save_sheet(rows, folder / f"{self.progress.step:07d}.png")
        self.accelerator.wait_for_everyone()

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Use the averaged weights for as long as the context lasts."""
        self.average.store(self.trained)
        self.average.copy_to(self.trained)
        try:
            yield
        finally:
            self.average.restore(self.trained)

    def save(self) -> Path:
        """Save the state to go on from, and the checkpoint of the averaged weights."""
        partial = self.state.with_suffix(".partial")
        self.accelerator.save_state(str(partial))
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            # Whoever is killed while saving goes on from the state before.
            if self.state.exists():
                self.state.rename(self._before)
            partial.rename(self.state)
            shutil.rmtree(self._before, ignore_errors=True)
        return self._write(self.name)

    def _write(self, name: str) -> Path:
        """Write a checkpoint of the averaged weights."""
        path = self.directory / f"{name}.safetensors"
        if self.accelerator.is_main_process:
            with self._averaged():
                save_checkpoint(self.stage.checkpoint(), path, self.size)
        self.accelerator.wait_for_everyone()
        return path


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that a device does not compute in, and warn of one that is slow there.

    Raises:
        ConfigError: if accelerate would take another one without a word, or emulate it.
    """
    if precision == "fp16" and device.type == "cpu":
        raise ConfigError('mixed_precision = "fp16" needs a GPU: set "no" on a CPU')
    if precision != "bf16":
        return
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ConfigError('mixed_precision = "bf16": this GPU does not have it; set "fp16" or "no"')
    if device.type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2":
        logger.warning(
            'mixed_precision = "bf16": this CPU has no instructions for it; "no" is many times '
            "faster here"
        )
