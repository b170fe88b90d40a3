"""Whether a model folder speaks the format that this package writes, checked at every start.

Three things are compared: where the control tokens are, how the folder's own chat template writes
five fixed prompts, and how one known call is cut into tokens. A model that fails would still
answer, only wrongly; so it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from leo_activation.decision.catalogue import parse_catalogue
from leo_activation.decision.parser import Call, parse_calls, parse_declarations, render_calls
from leo_activation.decision.prompt import PromptTokenizer, render_prompt
from leo_activation.decision.toolset import ToolSpec, functions_document
from leo_activation.errors import ConfigurationError

CONTROL_TOKENS = {
    46: "<start_function_declaration>",
    47: "<end_function_declaration>",
    48: "<start_function_call>",
    49: "<end_function_call>",
    50: "<start_function_response>",
    51: "<end_function_response>",
    52: "<escape>",
}
TURN_TOKENS = {1: "<eos>", 2: "<bos>", 105: "<start_of_turn>", 106: "<end_of_turn>"}
KNOWN_CALL = Call("get_weather", {"location": "Paris"})
# call:get_weather{location:<escape>Paris<escape>}
KNOWN_IDS = (
    48,
    6639,
    236787,
    828,
    236779,
    19323,
    236782,
    7125,
    236787,
    52,
    50429,
    52,
    236783,
    49,
    50,
)
_SENTENCES = (
    "Gửi Zalo nếu là khách VIP",
    "Gửi email cho khách chi tiêu trên 3 triệu, còn lại gửi Zalo",
    "Chờ 2 giờ rồi gửi email nhắc nhở",
    "send a push to customers in Hà Nội who haven't bought for 60 days",
    "Thời tiết hôm nay thế nào?",
)
_SPECIAL = {"bos_token": "<bos>", "eos_token": "<eos>"}
# An object of which nothing is declared: some renderers write that down, ours does not.
_NOTHING_DECLARED = "properties:{},"


def check_tokenizer(tokenizer: PromptTokenizer, folder: Path) -> None:
    """Refuse a tokenizer that cuts the format's tokens in another way.

    :param folder: for the message.
    :raises ConfigurationError: naming the first difference.
    """
    for token_id, name in (CONTROL_TOKENS | TURN_TOKENS).items():
        found = tokenizer.encode(name)
        if found != [token_id]:
            _refuse(folder, f"its tokenizer reads {name} as {found}, not as token {token_id}")
    text = render_calls([KNOWN_CALL])
    ids = tokenizer.encode(text)
    if tuple(ids) != KNOWN_IDS:
        _refuse(folder, f"its tokenizer reads the known call as {ids}, not as {list(KNOWN_IDS)}")
    written = tokenizer.decode(ids)
    if parse_calls(written) != [KNOWN_CALL]:
        _refuse(folder, f"it writes the known call as {written!r}, not as {text!r}")


def check_template(folder: Path) -> None:
    """Refuse a folder whose chat template writes a prompt that differs from ours.

    :raises ConfigurationError: showing where the two part.
    """
    source = _template(folder)
    try:
        template = _environment().from_string(source)
        for spec, sentence in _prompts():
            theirs = template.render(
                messages=[
                    {"role": "developer", "content": spec.functions["trigger"]},
                    {"role": "user", "content": sentence},
                ],
                tools=parse_declarations(spec.declarations),
                add_generation_prompt=True,
                **_SPECIAL,
            )
            _compare(folder, render_prompt(spec, sentence), theirs)
    except TemplateError as error:
        _refuse(folder, f"its chat template cannot be used ({type(error).__name__}: {error})")


def _prompts() -> Iterator[tuple[ToolSpec, str]]:
    """Yield the five fixed prompts: the functions never change, the catalogue grows."""
    for count, sentence in enumerate(_SENTENCES, start=1):
        document = {
            "templates": [
                {"template_id": f"template_{number}", "channels": ["email", "zalo"][:number],
                 "label": f"Thư số {number}"}
                for number in range(1, count + 1)
            ],
            "attributes": [
                {"name": f"attribute_{number}", "type": "text", "label": "thuộc tính",
                 "values": ["Hà Nội", "vip"]}
                for number in range(count)
            ],
        }  # fmt: skip
        yield ToolSpec(parse_catalogue(document), functions_document()), sentence


def _template(folder: Path) -> str:
    """Return the chat template of a model folder, wherever its format keeps it."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    try:
        document = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    source = document.get("chat_template") if isinstance(document, dict) else None
    if not isinstance(source, str):
        _refuse(folder, "it has no chat template, neither chat_template.jinja nor the entry in "
                "tokenizer_config.json")  # fmt: skip
    return source


def _environment() -> ImmutableSandboxedEnvironment:
    """Return what chat templates are written for: transformers' settings, in a sandbox."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime(2026, 1, 1).strftime(form)  # noqa: DTZ001
    environment.filters["tojson"] = _to_json
    return environment


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=options.get("indent"))


def _compare(folder: Path, ours: str, theirs: str) -> None:
    theirs = theirs.replace(_NOTHING_DECLARED, "")
    if ours == theirs:
        return
    pairs = zip(ours, theirs, strict=False)
    same = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    at = min(len(ours), len(theirs)) if same is None else same
    start = max(0, at - 30)
    _refuse(
        folder,
        f"its chat template writes {theirs[start : at + 40]!r} where this package writes "
        f"{ours[start : at + 40]!r} (character {at} of the prompt)",
    )


def _refuse(folder: Path, problem: str) -> NoReturn:
    raise ConfigurationError(
        f"the model in {folder} is no FunctionGemma that this package can talk to: {problem}. "
        "Set LEO_MODEL to a complete copy of google/functiongemma-270m-it, or leave it unset to "
        "use the model that `leo model prepare` makes"
    )
