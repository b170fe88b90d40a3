"""Who writes the model's turn: the local model, or a completions server.

Whoever it is, the prompt is ours, the output passes the same parser and validator, and a
:class:`~leo_activation.decision.engine.Decision` comes out.
"""
