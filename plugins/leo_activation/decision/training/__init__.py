"""Training data, trainer and evaluation of the project's own adapter."""
