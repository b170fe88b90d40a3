"""The load test: ``make load``."""
