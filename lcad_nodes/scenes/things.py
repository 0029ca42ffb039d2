"""Scenes of cut-out things on a background."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .arrangement import Arrangement, Layout, Placed, SceneError, draw_colors, places_in_line
from .backgrounds import Grounds, Size
from .cutouts import CutOut
from .recolor import Painter

Kinds = Literal["any", "same", "different"]

COLUMNS, MEASURED_COLUMNS = 0.4, 0.2
"""Shares of scenes of several objects that are columns, not rows: drawn freely, and measured."""

_BILINEAR = Image.Resampling.BILINEAR


class Things:
    """Arranges cut-outs.

    Args:
        cutouts: all there are.
        grounds: what they are put on.
        painter: paints them.
    """

    def __init__(self, cutouts: tuple[CutOut, ...], grounds: Grounds, painter: Painter) -> None:
        self._cutouts = cutouts
        self._grounds = grounds
        self._painter = painter

    def arrange(
        self,
        size: Size,
        count: int,
        kinds: Kinds,
        rng: np.random.Generator,
        *,
        basic: bool = False,
        painted: bool = False,
    ) -> Arrangement:
        """Put cut-outs on a background, in a row or a column.

        Args:
            size: of the scene.
            count: how many.
            kinds: whether several are of one kind; those of one are painted anyway.
            rng: draws.
            basic: in the eleven basic colors only, and on no backdrop.
            painted: all of them, and not most.

        Raises:
            SceneError: there are too few of different names.
        """
        ground, ground_color = self._grounds.draw(size, rng, natural=count == 0, basic=basic)
        columns = MEASURED_COLUMNS if basic else COLUMNS
        layout = Layout(size, count, axis=int(rng.random() < columns))
        cutouts, same = self._choose(count, kinds, rng)
        colors = draw_colors(count, rng, basic=basic, same=same, painted=painted)
        placed = [
            self._place(cutout, color, index, layout, rng)
            for index, (cutout, color) in enumerate(zip(cutouts, colors, strict=True))
        ]
        return Arrangement(ground, ground_color, placed, same, real=False)

    def _choose(
        self, count: int, kinds: Kinds, rng: np.random.Generator
    ) -> tuple[list[CutOut], bool]:
        """The cut-outs, and whether they are of one kind."""
        same = count > 1 and (kinds == "same" or (kinds == "any" and rng.random() < 0.45))
        if same:
            name = self._cutouts[rng.integers(len(self._cutouts))].name
            alike = [cutout for cutout in self._cutouts if cutout.name == name]
            return [alike[rng.integers(len(alike))] for _ in range(count)], True
        chosen: list[CutOut] = []

        def fits(cutout: CutOut) -> bool:
            """A name inside another ("truck", "dump truck") could not be told by its words."""
            return not any(cutout.name in c.name or c.name in cutout.name for c in chosen)

        while len(chosen) < count:
            if not any(map(fits, self._cutouts)):
                raise SceneError(
                    f"There are too few cut-outs of different names for {count} in a scene: no "
                    f"other goes with {', '.join(cutout.name for cutout in chosen)}."
                )
            cutout = self._cutouts[rng.integers(len(self._cutouts))]
            if fits(cutout):
                chosen.append(cutout)
        return chosen, False

    def _place(
        self,
        cutout: CutOut,
        color: str | None,
        index: int,
        layout: Layout,
        rng: np.random.Generator,
    ) -> Placed:
        """The cut-out painted, scaled, turned, and put into its part of the scene."""
        room = layout.room(rng)
        if color is None:
            image = _turn(cutout.natural, room, rng)
        else:
            shading = np.asarray(_turn(cutout.shading, room, rng))
            image = Image.fromarray(self._painter.paint(shading, color, rng))
        corner = layout.corner(index, image.size, rng)
        place = places_in_line(layout.count, layout.axis)[index]
        return Placed(image, corner, cutout.name, color, place)


def _turn(image: Image.Image, room: NDArray[np.float64], rng: np.random.Generator) -> Image.Image:
    """The image scaled to fit into `room` (width, height), mirrored and turned a little."""
    scale = float((room / np.array(image.size)).min())
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    image = image.resize(size, _BILINEAR)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-14, 14), _BILINEAR, expand=True)
    return image
