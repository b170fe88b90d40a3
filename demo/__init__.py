"""The demonstration: every part of the platform as processes of one machine, and a client's run."""
