"""Measures of how well a model colors scenes whose truth is known, and folders of results."""
