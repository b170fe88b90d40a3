"""Where the values of a template land in its markup.

A value is escaped, and yet does harm in the wrong place: in a tag, a script, the start of an
address, or between two underscores of MarkdownV2. So the fixed text of a template is read once,
when it is compiled, through all its branches and loops. A value in a place that no escaping makes
safe is refused, one that begins an address gets a check of its own, and markup that could break for
some customer never reaches one.
"""

from __future__ import annotations

import re
from typing import Protocol, TypeVar

from jinja2 import nodes
from jinja2.exceptions import TemplateSyntaxError

# The filter that lets only addresses through which a message may lead to.
LINK_FILTER = "link"
# How deep the marks of Telegram's markup may nest.
MAX_DEPTH = 32
_SAFE_ADDRESS = re.compile(r"\s*(?:https?://|mailto:|tel:|sms:|tg://|cid:|#)", re.IGNORECASE)


class MarkupError(Exception):
    """The fixed text is wrong at a position.

    :param position: characters of the text that was read before it.
    """

    def __init__(self, message: str, position: int = 0) -> None:
        """Keep the position for the line number."""
        super().__init__(message)
        self.position = position


def is_safe_address(address: str) -> bool:
    """Tell whether an address leads to the web, a mailbox, a phone or Telegram.

    :param address: absolute address.
    """
    return _SAFE_ADDRESS.match(address) is not None


S = TypeVar("S")


class Dialect(Protocol[S]):
    """A markup language, read piece by piece."""

    def start(self) -> S:
        """Return where a message begins."""
        ...

    def read(self, state: S, text: str) -> S:
        """Return where a piece of fixed text leads.

        :raises MarkupError: it is not valid.
        """
        ...

    def place(self, state: S) -> tuple[S, str, bool]:
        """Return what follows a value, what must stand before it, and whether it is an address.

        :raises MarkupError: no value may stand here.
        """
        ...

    def meet(self, one: S, other: S) -> S:
        """Return where two branches go on together.

        :raises MarkupError: they end in different places.
        """
        ...

    def finish(self, state: S) -> None:
        """Check the end of the message.

        :raises MarkupError: something is left open.
        """
        ...


def place_values(tree: nodes.Template, dialect: Dialect[S]) -> None:
    """Check a template's markup, and make every value fit its place.

    :param tree: parsed template; changed in place.
    :param dialect: its markup language.
    :raises TemplateSyntaxError: naming the fault and its line.
    """
    state = _walk(tree.body, dialect, dialect.start())
    try:
        dialect.finish(state)
    except MarkupError as error:
        raise TemplateSyntaxError(str(error), _last_line(tree)) from None


def _last_line(tree: nodes.Template) -> int:
    return max((node.lineno for node in tree.find_all(nodes.Output)), default=1)


def _walk(body: list[nodes.Node], dialect: Dialect[S], state: S) -> S:
    for node in body:
        if isinstance(node, nodes.Output):
            state = _write(node, dialect, state)
            continue
        try:
            if isinstance(node, nodes.If):
                state = _branch(node, dialect, state)
            elif isinstance(node, nodes.For):
                turned = dialect.meet(state, _walk(node.body, dialect, state))
                _walk(node.body, dialect, turned)
                state = dialect.meet(turned, _walk(node.else_, dialect, state))
        except MarkupError as error:
            raise TemplateSyntaxError(str(error), node.lineno) from None
    return state


def _branch(node: nodes.If, dialect: Dialect[S], state: S) -> S:
    end = _walk(node.body, dialect, state)
    for other in node.elif_:
        end = dialect.meet(end, _walk(other.body, dialect, state))
    return dialect.meet(end, _walk(node.else_, dialect, state))


def _write(node: nodes.Output, dialect: Dialect[S], state: S) -> S:
    pieces: list[nodes.Expr] = []
    for piece in node.nodes:
        line = piece.lineno
        try:
            if isinstance(piece, nodes.TemplateData):
                state = dialect.read(state, piece.data)
            else:
                state, before, is_address = dialect.place(state)
                if before:
                    pieces.append(nodes.TemplateData(before, lineno=line))
                if is_address:
                    piece = nodes.Filter(piece, LINK_FILTER, [], [], None, None, lineno=line)
        except MarkupError as error:
            if isinstance(piece, nodes.TemplateData):
                line += piece.data.count("\n", 0, max(error.position, 0))
            raise TemplateSyntaxError(str(error), line) from None
        pieces.append(piece)
    # A loop's body is walked twice; what the first walk put in is fixed text for the second.
    node.nodes = pieces
    return state
