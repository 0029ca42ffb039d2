"""Training's figures: a table beside the checkpoint, or what TensorBoard shows."""

import csv
from collections.abc import Callable
from pathlib import Path

from .config import ConfigError, FitConfig

Log = Callable[[dict[str, float], int], None]
"""Takes the figures of a step, and which it is."""


def start_log(config: FitConfig, name: str, step: int) -> Log:
    """Begin the log, or go on with it after a step; what it has of later ones is dropped."""
    if config.log == "csv":
        return Table(Path(config.directory, f"{name}.csv"), step).add
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(Path(config.directory, name)), purge_step=step + 1)

    def add(figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return add


class Table:
    """One line of figures for every entry.

    Where training goes on with other figures than before, the table gets their columns, and cells
    that have no figure stay empty.
    """

    def __init__(self, path: Path, step: int) -> None:
        """Keep the entries up to a step, if there are any.

        Raises:
            ConfigError: if the file is no table with whole numbers for steps.
        """
        self.path = path
        try:
            kept = [row for row in self._entries() if int(row["step"]) <= step]
        except (KeyError, ValueError, csv.Error) as error:
            raise ConfigError(
                f"{self.path} is not as training writes it: expected columns between commas, one "
                "of them step with whole numbers. Has another program saved it? Put it elsewhere, "
                f"and a new one begins ({type(error).__name__}: {error})"
            ) from error
        self.columns = list(kept[0]) if kept else []
        self._write(kept)

    def add(self, figures: dict[str, float], step: int) -> None:
        """Add an entry."""
        row = {"step": step, **figures}
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
