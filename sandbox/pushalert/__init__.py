"""A stand-in for PushAlert's REST API."""
