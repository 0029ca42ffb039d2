"""Which files are photos, by suffix and by what is in them."""

WRITABLE = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
READABLE = WRITABLE | {".bmp", ".gif", ".jfif", ".jp2", ".pgm", ".ppm", ".tga"}
LONGEST_SIDE = {".jpg": 65500, ".jpeg": 65500, ".webp": 16383}
"""What a side may be at most, in pixels, in those of the writable formats that have a limit."""
WITH_ALPHA = {".png", ".tif", ".tiff", ".webp"}
DECODERS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM", "TGA")
"""Pillow's names of these, and no other of its decoders: one of them starts a program."""
