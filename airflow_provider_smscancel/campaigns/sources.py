"""Message ids as people and templates hand them over: a list, or a text that holds one.

One bad item never holds up the rest: it is rejected by its position. Only a source that is unusable as a whole is an error.
"""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from airflow_provider_smscancel.campaigns.messages import Campaign, MessageRef

TWO_IDS = "the object has the key message_id more than once: which one is meant can't be told"
NOT_AN_ID = "the text None, null or NaN: whatever wrote it had no id here"
_NO_VALUE = frozenset({"none", "null", "nan"})
_UNREADABLE = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)
"""What the parsers raise, also about a million brackets or a number of a million digits."""


class SourceError(ValueError):
    """A source of ids that can't be used at all: nothing must be sent. The text is one line and echoes no row.

    What to do: mend the source that the text names, and run the task again.
    """


class SourceUnavailable(Exception):
    """A source that can't be read now, and may be later: the store or the network failed. Nothing was sent.

    What to do: run the task again.
    """


class TwoIds(dict[str, Any]):
    """A JSON object that names two messages. Python would take the last one, and lose the other."""


def json_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs, for ``json.loads``: a :class:`TwoIds` if the key ``message_id`` comes twice."""
    found = dict(pairs)
    if len(found) == len(pairs) or [name for name, _ in pairs].count("message_id") < 2:
        return found
    return TwoIds(found)


def is_blank(value: object) -> bool:
    """Say whether a source counts as not given: ``None``, or a text of nothing but blanks.

    An empty list *is* given: a query or a task that found nothing. What follows from that is the caller's choice.
    """
    return value is None or (isinstance(value, str) and not value.strip())


def is_no_value(value: object) -> bool:
    """Say whether a value is the text that programs write when they have none.

    Clickatell's ids may be any word, so it would be asked for, and several rows would count as one message.
    """
    return isinstance(value, str) and len(value) < 20 and value.strip().casefold() in _NO_VALUE


def add_ids(campaign: Campaign, value: object, field: str = "message_ids") -> None:
    """Add the ids of a list, or of a text, to a campaign. Items without a well-formed id are rejected as ``item N``, from 1.

    :param campaign: takes the ids.
    :param value: a list, tuple, set or other iterable of ids, mappings (``message_id``, optional ``scheduled_at``) or
        :class:`MessageRef`; or a text: a JSON list, a Python list or tuple literal, or ids separated by newlines, commas or
        blanks.
    :param field: what the person who gave it calls this source: errors name it.
    :raises SourceError: when the value is none of these, or is the text ``None``. Mend what feeds the field.
    """
    items = _items_of_text(value, field) if isinstance(value, str) else _items_of(value, field)
    for number, item in enumerate(items, start=1):
        if isinstance(item, TwoIds):
            campaign.reject(f"item {number}", TWO_IDS)
        elif is_no_value(item.get("message_id") if isinstance(item, Mapping) else item):
            campaign.reject(f"item {number}", NOT_AN_ID)
        else:
            campaign.add_item(item, f"item {number}")


def check_list(campaign: Campaign, *, label: str, max_messages: int | None) -> None:
    """Refuse a list that is probably the wrong one.

    :param label: of the gateway, for an error.
    :param max_messages: how many are allowed, or ``None``.
    :raises SourceError: there are more, or not one of the ids is well-formed. Look at the list and at the connection.
    :raises SourceUnavailable: not one is, but the list was not read to its end. Read it again.
    """
    if max_messages is not None and campaign.total > max_messages:
        raise SourceError(
            f"{campaign.total} messages are more than max_messages allows ({max_messages}): is it the right list?"
        )
    if not campaign.total or len(campaign):
        return
    if campaign.incomplete is not None:
        raise SourceUnavailable(f"The {campaign.incomplete}.")
    first = campaign.rejected[0]
    text = f"None of the {campaign.total} ids is one of {label}'s ({first.position}: {first.reason})."
    if campaign.look_alikes:
        other, count = campaign.look_alikes.most_common(1)[0]
        text += f" {count} look like {other}'s: is it the wrong connection?"
    raise SourceError(text)


def before_anything(text: str) -> str:
    """Let an error that comes before the first request say so."""
    if "othing was sent" in text:
        return text
    return f"{text if text.endswith(('.', '?')) else f'{text}.'} Nothing was sent."


def _items_of(value: object, field: str) -> Iterable[object]:
    if hasattr(value, "columns"):
        # Going through a table gives the names of its columns, each of which would pass for an id of Clickatell's.
        raise SourceError(
            f"{field} is a table of type {type(value).__name__}: give its column of ids as a list, or its rows as mappings"
        )
    # Each of these can be iterated over, or nearly, into something that nobody meant.
    if isinstance(value, Mapping | MessageRef | bytes | bytearray | memoryview) or not isinstance(
        value, Iterable
    ):
        kind = "None" if value is None else f"a value of type {type(value).__name__}"
        raise SourceError(
            f"{field} is {kind}: give a list of message ids, or a text with one (ids in quotes, also a single one)"
        )
    return value


def _items_of_text(text: str, field: str) -> Iterable[object]:
    text = text.strip().lstrip("\ufeff")
    if is_no_value(text):
        raise SourceError(
            f"{field} rendered to None: the task or variable that its template reads has no value. "
            "Check the names in the template, and that the task upstream returned something"
        )
    if text.startswith("{"):
        raise SourceError(
            f'{field} is a text that begins with a brace: give a list of ids, such as ["id", …], not an object '
            "or a template that was not rendered"
        )
    if text.startswith(("[", "(")):
        return _items_of_literal(text, field)
    # Quotes come along when a person pastes ids out of a program or a table; no id has them.
    return [word.strip("'\"") for word in text.replace(",", " ").split()]


def _items_of_literal(text: str, field: str) -> list[object] | tuple[object, ...]:
    found = _json(text)
    if found is None and not ('"' in text or "\\" in text):
        # What str() makes of a list, read at a fraction of the memory that Python's own parser needs for a million ids.
        found = _json(text.replace("'", '"'))
    if found is None:
        found = _python(text, field)
    if not isinstance(found, list | tuple):
        _refuse_literal(field)
    return found


def _json(text: str) -> object:
    try:
        found: object = json.loads(text, object_pairs_hook=json_object if "{" in text else None)
    except _UNREADABLE:
        return None
    return found


def _python(text: str, field: str) -> object:
    found: object = None
    joined = False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd spellings in somebody's text, which they would quote
            tree = ast.parse(text, mode="eval").body
        joined = any(map(_is_joined, tree.elts)) if isinstance(tree, ast.List | ast.Tuple) else False
        found = ast.literal_eval(tree)
    except _UNREADABLE:
        found = None
    if joined:
        raise SourceError(
            f"{field} holds quoted ids without a comma between them (as numpy prints its arrays): "
            "separate them by commas, or pass the list itself"
        )
    return found


def _is_joined(node: ast.expr) -> bool:
    """Say whether a text was put together from several literals: Python makes one id of two that lack their comma."""
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return False
    if node.end_col_offset is None or node.lineno != node.end_lineno:
        return True
    # Two quotes, and perhaps the prefix that Python 2 printed. Two literals have two quotes more.
    return node.end_col_offset - node.col_offset > len(node.value.encode("utf-8", "surrogatepass")) + 3


def _refuse_literal(field: str) -> NoReturn:
    raise SourceError(
        f"{field} begins like a list but can't be read as one, neither as JSON nor as Python "
        "(was it cut off, or are quotes or commas missing?): nothing of it was taken"
    )
