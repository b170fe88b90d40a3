"""A local server that speaks ArangoDB's HTTP API, for demos, tests and load tests.

It covers what a client that reads a LEO CDP installation needs, holds its data in SQLite files, and
refuses every AQL construct outside its subset, so a test can never pass on a query that it only
pretended to understand. Start it with ``python -m sandbox.arangodb --port 8529 --data DIR``.
"""
