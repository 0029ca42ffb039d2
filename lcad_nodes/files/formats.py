"""Which files are photos, by suffix and by what is in them."""

WRITABLE = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"}
READABLE = WRITABLE | {".bmp", ".gif", ".jfif", ".jp2", ".pgm", ".ppm", ".tga"}
WITH_ALPHA = {".png", ".tif", ".tiff", ".webp"}
DECODERS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM", "TGA")
"""Pillow's names of these, and no other of its decoders: one of them starts a program."""
