"""Which backend this installation uses, said by the environment.

``LEO_DECISION_BACKEND``  ``local`` (default) or ``completions``
``LEO_MODEL``             folder or hub id of a model; default: the one `leo model prepare` makes
``LEO_ADAPTER``           folder of the adapter, or ``none``; default: the one that is shipped
``LEO_MODEL_PRECISION``   ``float32`` (default) or ``bfloat16``, once `leo model compare` allows it
``LEO_MODEL_THREADS``     of the local model; default 1
``LEO_COMPLETIONS_URL``   such as ``http://vllm:8000/v1``
``LEO_COMPLETIONS_MODEL`` as the server calls it
``LEO_COMPLETIONS_KEY``   bearer token, when the server wants one
``LEO_COMPLETIONS_TIMEOUT_SECONDS``  for one attempt; default 10
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from leo_activation.decision.adoption import check_model, open_model
from leo_activation.decision.backends.base import Backend
from leo_activation.decision.backends.completions import CompletionsBackend, CompletionsServer
from leo_activation.decision.backends.local import LocalBackend
from leo_activation.decision.loading import load_engine
from leo_activation.errors import ConfigurationError
from leo_activation.paths import ADAPTER_FOLDER

Report = Callable[[str], None]


def open_backend(environ: Mapping[str, str], *, fetch: bool, report: Report) -> Backend:
    """Return the backend that the environment names, ready to answer.

    :param environ: the settings above.
    :param fetch: make the local model when it is not there yet, which takes two minutes.
    :param report: called with one line per step, for a person who waits.
    :raises ConfigurationError: when a setting is missing or unusable.
    """
    name = environ.get("LEO_DECISION_BACKEND") or "local"
    if name == "local":
        return _local(environ, fetch=fetch, report=report)
    if name == "completions":
        return _completions(environ)
    raise ConfigurationError(
        f"LEO_DECISION_BACKEND is {name!r}: set it to 'local' or 'completions'"
    )


def adapter_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the folder of the adapter to use, or none."""
    named = environ.get("LEO_ADAPTER", "")
    if named == "none":
        return None
    return Path(named).expanduser() if named else ADAPTER_FOLDER


def _local(environ: Mapping[str, str], *, fetch: bool, report: Report) -> Backend:
    prepared = open_model(environ, fetch=fetch, report=report)
    engine = load_engine(prepared, adapter_folder(environ))
    check_model(prepared, engine.tokenizer)
    return LocalBackend(engine)


def _completions(environ: Mapping[str, str]) -> Backend:
    missing = [name for name in ("LEO_COMPLETIONS_URL", "LEO_COMPLETIONS_MODEL")
               if not environ.get(name)]  # fmt: skip
    if missing:
        raise ConfigurationError(
            f"LEO_DECISION_BACKEND is 'completions', but {' and '.join(missing)} is not set: "
            "set the address, such as http://vllm:8000/v1, and the model as the server calls it"
        )
    url = environ["LEO_COMPLETIONS_URL"]
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        # It may hold a password, so it is not shown.
        raise ConfigurationError(
            "LEO_COMPLETIONS_URL is no address that can be used: it begins with http:// or "
            "https:// and a host, such as http://vllm:8000/v1; a key goes into LEO_COMPLETIONS_KEY"
        )
    return CompletionsBackend(
        CompletionsServer(
            url,
            environ["LEO_COMPLETIONS_MODEL"],
            environ.get("LEO_COMPLETIONS_KEY", ""),
            _seconds(environ.get("LEO_COMPLETIONS_TIMEOUT_SECONDS") or "10"),
        )
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise ConfigurationError(
            f"LEO_COMPLETIONS_TIMEOUT_SECONDS is {text!r}: set it to seconds, above 0 and at "
            "most 600"
        )
    return seconds
