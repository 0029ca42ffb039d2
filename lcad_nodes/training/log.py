"""Training's figures as a table beside the checkpoint; accelerate has none for CSV."""

import csv
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from .config import ConfigError, FitConfig


class CSVTracker(GeneralTracker):
    """One line of figures for every entry; entries after the step gone on from are dropped."""

    name = "csv"
    requires_logging_directory = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def tracker(self) -> Path:
        """The file that is written."""
        return self.path

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Keep the entries up to step `values["step"]`, if there are any."""
        if self.path.exists():
            head, *lines = self.path.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if int(line.partition(",")[0]) <= values["step"]]
            text = "".join(f"{line}\n" for line in [head, *kept])
            self.path.write_text(text, encoding="utf-8")

    def log(self, values: dict[str, Any], step: int | None = None, **_options: Any) -> None:
        """Add an entry."""
        row = {"step": step, **values}
        fresh = not self.path.exists()
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if fresh:
                writer.writeheader()
            writer.writerow(row)


def trackers(config: FitConfig, name: str) -> list[Any]:
    """What `Accelerator` logs with."""
    return (
        [CSVTracker(Path(config.directory, f"{name}.csv"))] if config.log == "csv" else [config.log]
    )


def start_log(accelerator: Accelerator, config: FitConfig, name: str, step: int) -> None:
    """Begin the log, or go on with it after a step.

    Raises:
        ConfigError: if the package for the kind of log that was asked for is not installed.
    """
    if not accelerator.log_with:
        raise ConfigError(f"log = '{config.log}' needs the package {config.log}")
    if config.log == "csv":
        accelerator.init_trackers(name, config={"step": step})
    else:
        accelerator.init_trackers(name, init_kwargs={config.log: {"purge_step": step + 1}})
