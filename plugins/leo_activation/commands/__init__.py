"""Subcommands of ``leo``, one module each; see :mod:`leo_activation.cli`."""
