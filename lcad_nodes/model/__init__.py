"""The method's own networks and arithmetic, in plain torch."""
