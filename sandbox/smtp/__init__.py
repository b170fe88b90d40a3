"""A mail server that keeps what it receives and delivers nothing."""
