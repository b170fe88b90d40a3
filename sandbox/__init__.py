"""Local stand-ins for outside systems, for the demo, tests and load tests; never deployed."""
