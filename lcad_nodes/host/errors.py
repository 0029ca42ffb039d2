"""What is raised where inputs do not fit each other."""


class ConditioningError(ValueError):
    """The conditioning does not fit the model or the latent; the message says what is wrong."""
