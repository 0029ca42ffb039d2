"""Training's figures as a table beside the checkpoint; accelerate has none for CSV."""

import csv
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker

from .config import ConfigError, FitConfig


class CSVTracker(GeneralTracker):
    """One line of figures for every entry; entries after the step gone on from are dropped.

    Where training goes on with other figures than before, the table gets their columns, and cells
    that have no figure stay empty.
    """

    name = "csv"
    requires_logging_directory = False

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.columns: list[str] = []

    @property
    def tracker(self) -> Path:
        """The file that is written."""
        return self.path

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        """Keep the entries up to step `values["step"]`, if there are any.

        Raises:
            ConfigError: if the file is no table with whole numbers for steps.
        """
        try:
            kept = [row for row in self._entries() if int(row["step"]) <= values["step"]]
        except (KeyError, ValueError, csv.Error) as error:
            raise ConfigError(
                f"{self.path} is not as training writes it: expected columns between commas, one "
                "of them step with whole numbers. Has another program saved it? Put it elsewhere, "
                f"and a new one begins ({type(error).__name__}: {error})"
            ) from error
        self.columns = list(kept[0]) if kept else []
        self._write(kept)

    def log(self, values: dict[str, Any], step: int | None = None, **_options: Any) -> None:
        """Add an entry."""
        row = {"step": step, **values}
        if new := [name for name in row if name not in self.columns]:
            entries = self._entries()
            self.columns += new
            self._write(entries)
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _entries(self) -> list[dict[str, str]]:
        """What the file holds, but for a last line that a kill cut short."""
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            whole = (line for line in file if line.endswith("\n"))
            return [row for row in csv.DictReader(whole) if None not in row.values()]

    def _write(self, entries: list[dict[str, str]]) -> None:
        """Write the file whole or not at all: it is all that is left of days."""
        partial = self.path.with_name(f"{self.path.name}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(entries)
        partial.replace(self.path)


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
