"""Color: CIE Lab, the luminance lock, the artifact map and the basic color names."""
