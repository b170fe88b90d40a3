"""The HTTP API: what a tenant's own programs, its providers and its customers may ask for."""
