"""TIFF files of kinds that Pillow reads and does not write."""

from collections.abc import Sequence

import numpy as np
from PIL import ExifTags, TiffImagePlugin, TiffTags

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = range(3)


def tiff(
    pixels: np.ndarray,
    photometric: int,
    *,
    by_channel: bool = False,
    more: Sequence[tuple[int, tuple[int, ...]]] = (),
) -> bytes:
    """An uncompressed TIFF file.

    Args:
        pixels: H x W x C, of any type.
        photometric: what its numbers mean.
        by_channel: each channel is stored by itself.
        more: further tags, and their values, which are whole numbers.
    """
    height, width, channels = pixels.shape
    parts = [*np.moveaxis(pixels, 2, 0)] if by_channel else [pixels]
    size = pixels.nbytes // len(parts)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength] = width, height
    tags[ExifTags.Base.BitsPerSample] = (8 * pixels.itemsize,) * channels
    tags[ExifTags.Base.Compression] = 1
    tags[ExifTags.Base.PhotometricInterpretation] = photometric
    # From the end of the tags on, as their writer takes it.
    tags[ExifTags.Base.StripOffsets] = tuple(size * number for number in range(len(parts)))
    tags[ExifTags.Base.StripByteCounts] = (size,) * len(parts)
    tags[ExifTags.Base.RowsPerStrip] = height
    tags[ExifTags.Base.SamplesPerPixel] = channels
    tags[ExifTags.Base.PlanarConfiguration] = 1 + by_channel
    tags[ExifTags.Base.SampleFormat] = ("_uif".index(pixels.dtype.kind),) * channels
    for tag, values in more:
        tags.tagtype[tag] = TiffTags.LONG
        tags[tag] = values
    return b"II*\0\x08\0\0\0" + tags.tobytes(8) + b"".join(part.tobytes() for part in parts)
