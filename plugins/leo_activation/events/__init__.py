"""What arriving events set off: rules, the queue of tasks, and the worker that empties it."""
