"""Made-up cut-outs and photographs, so that no package of pictures has to be installed."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("ball", "egg", "dump truck", "truck", "cup", "vase", "bell", "drum", "kite", "lamp shade")
TINTS = ((120, 120, 120), (200, 60, 50), (60, 90, 190), (90, 160, 80), (235, 215, 150))


def _shaded(tint: tuple[int, int, int], strength: float) -> Image.Image:
    """A ball lit from the upper left, with a highlight, on nothing."""
    y, x = np.mgrid[-1:1:96j, -1:1:96j]
    inside = x**2 + y**2 < 0.95
    light = np.clip(-0.5 * x - 0.6 * y + 0.6 * np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)), 0, 1)
    color = np.array(tint) * (1 - strength + strength * light)[..., None]
    color = np.where((light > 0.97)[..., None], 250, color)
    alpha = 255.0 * inside
    return Image.fromarray(np.dstack([color, alpha]).round().astype(np.uint8))


def write_stamps(folder: Path) -> None:
    """Write shaded balls of many tints, under ten names."""
    for index, name in enumerate(NAMES * 4):
        stem = f"{name.replace(' ', '_')}_{'abcdefgh'[index % 7]}x{index}y"
        _shaded(TINTS[index % 5], 0.4 + 0.05 * (index % 9)).save(folder / f"{stem}.png")
        (folder / f"{stem}.txt").write_text(f"A red {name}.\nfr=Un objet.\n", encoding="utf-8")


def write_people(folder: Path) -> None:
    """Write twelve men: skin, a jacket above trousers, and what covers them."""
    y, x = np.mgrid[0:96, 0:64]
    light = 90 + x + (y % 7)
    skin = np.stack([light * 1.1, light * 0.8, light * 0.65, light * 0 + 255], axis=-1)
    parts = np.zeros((96, 64, 3), np.uint8)
    parts[24:60, :, 0], parts[60:, :, 1] = 255, 255
    for number in range(12):
        Image.fromarray(skin.clip(0, 255).astype(np.uint8)).save(folder / f"man-{number:04d}.png")
        Image.fromarray(parts).save(folder / f"man-{number:04d}.parts.png")
        about = {"who": "man", "tone": 0, "frame": "bust", "worn": ["jacket", "trousers", "hair"]}
        (folder / f"man-{number:04d}.json").write_text(json.dumps(about), encoding="utf-8")


def write_photos(folder: Path) -> None:
    """Write twenty pictures of noise."""
    rng = np.random.default_rng(0)
    for index in range(20):
        noise = rng.integers(0, 256, (6, 9, 3), dtype=np.uint8)
        name = f"{'abcdefghijklmnopqrst'[index]}-view.png"
        Image.fromarray(noise).resize((480, 320)).save(folder / name)
