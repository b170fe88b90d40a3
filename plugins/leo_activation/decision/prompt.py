"""The prompt, exactly as FunctionGemma was trained to read it, as token ids.

The developer turn is the same for every sentence of one tool set, so its ids are kept apart: the
model reads them once and every decision continues from there. What people wrote is encoded with
special tokens switched off, so it can never close a turn or open a call.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer

from leo_activation.decision.parser import plain_text
from leo_activation.decision.toolset import ToolSpec
from leo_activation.errors import DecisionError

PROMPT_VERSION = "v2"
MAX_INSTRUCTION_CHARACTERS = 1_000


def developer_turn(spec: ToolSpec) -> str:
    """Return the part of the prompt that all sentences of a tool set share."""
    trigger = spec.functions["trigger"]
    return f"<bos><start_of_turn>developer\n{trigger}{spec.declarations}<end_of_turn>\n"


def clean_instruction(instruction: str) -> str:
    """Return a sentence on one line, as it goes into the prompt.

    :raises DecisionError: when it is empty, too long, or holds a control token.
    """
    cleaned = " ".join(plain_text(instruction).split())
    if not cleaned:
        raise DecisionError("the instruction is empty: write what should be sent, and to whom")
    if len(cleaned) > MAX_INSTRUCTION_CHARACTERS:
        raise DecisionError(
            f"the instruction has {len(cleaned)} characters; "
            f"shorten it to {MAX_INSTRUCTION_CHARACTERS}"
        )
    return cleaned


USER_TURN_OPENS = "<start_of_turn>user\n"
MODEL_TURN_OPENS = "<end_of_turn>\n<start_of_turn>model\n"


def render_prompt(spec: ToolSpec, instruction: str) -> str:
    """Return the whole prompt as text, for backends that take text and for the trace's hash."""
    user = clean_instruction(instruction)
    return f"{developer_turn(spec)}{USER_TURN_OPENS}{user}{MODEL_TURN_OPENS}"


class PromptTokenizer:
    """The tokenizer of a prepared model, with and without special tokens.

    :param folder: of a prepared model.
    """

    def __init__(self, folder: Path) -> None:
        """Load ``tokenizer.json``; takes about a second."""
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # Switching special tokens off is a property of the tokenizer, not of a call.
        self._lock = threading.Lock()

    def encode(self, text: str) -> list[int]:
        """Return the ids of text that this package wrote, control tokens included."""
        with self._lock:
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def encode_plain(self, text: str) -> list[int]:
        """Return the ids of text from outside; nothing in it becomes a control token."""
        with self._lock:
            self._tokenizer.encode_special_tokens = True
            try:
                return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
            finally:
                self._tokenizer.encode_special_tokens = False

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, control tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def prefix_ids(self, spec: ToolSpec) -> list[int]:
        """Return the ids of the developer turn."""
        return self.encode(developer_turn(spec))

    def suffix_ids(self, instruction: str) -> list[int]:
        """Return the ids of the user's turn and the opening of the model's."""
        user = self.encode_plain(clean_instruction(instruction))
        return [*self._opens_user, *user, *self._opens_model]

    @cached_property
    def _opens_user(self) -> list[int]:
        return self.encode(USER_TURN_OPENS)

    @cached_property
    def _opens_model(self) -> list[int]:
        return self.encode(MODEL_TURN_OPENS)
