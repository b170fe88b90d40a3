"""The decision engine with its real parts: model, processes, database."""
