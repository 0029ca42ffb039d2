"""L-CAD for ComfyUI: colorization of black-and-white photos from words."""
