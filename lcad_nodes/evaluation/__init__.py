"""Scenes with a known truth, and measures of how well a model colors them."""
