"""How messages leave: one file a provider, one protocol for all."""
