"""The decision engine, without model and database."""
