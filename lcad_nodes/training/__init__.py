"""Training of both stages, on diffusers networks; never imported by a node."""
