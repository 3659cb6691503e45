"""Bodies as the classes of the official SDKs say them: whole, or with something wrong in them."""

from __future__ import annotations

import datetime
import importlib
import inspect
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from tests.front.api.fuzz import names
from tests.front.api.table.test_operations import calls

Draw: TypeAlias = Callable[[st.SearchStrategy[Any]], Any]

_DEPTH = 6
# What a part of ours may say, in whatever place of a body.
_OURS = (
    *("recoveryServicesProviderId", "store", "keyFile", "recoveryPointThresholdInMinutes", "retention"),
    *("resyncHours", "agent", "fabric", "memory", "cpus", "role", "lastsSeconds", "host", "password"),
)
_SHARED = ("properties", "tags", "sku", "location", "replicationProtectedItems", "groups", "role", "bascule")
_SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.floats(allow_nan=False, allow_infinity=False),
    names.TEXTS,
)
ANYTHING = st.recursive(
    _SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(_OURS + _SHARED) | st.text(max_size=10), inner, max_size=5),
    ),
    max_leaves=20,
)
_WRONG = st.one_of(
    _SIMPLE,
    st.sampled_from(
        ["", " ", "\x00", "\ud800", "ü" * 300, "x" * 70_000, "\u202e", [], {}, [[[]]], [None], {"": 1}]
    ),
    st.sampled_from([-1, 0, 10**9, 10**30, 1e308, -0.0, True]),
    ANYTHING,
)


@cache
def inputs() -> Mapping[str, type]:
    """Return the class of the body of each operation that has one, by the operation's name."""
    found = {}
    for name, call in calls():
        for parameter in inspect.signature(inspect.unwrap(call)).parameters.values():
            for kind in get_args(parameter.annotation):
                if _is_class(kind):
                    found[name] = kind
    return found


@cache
def fields(kind: type) -> Mapping[str, Any]:
    """Return the words of a class, and of what kind each is."""
    kind()  # else the SDK has not worked its fields out
    module = importlib.import_module(kind.__module__.rpartition(".")[0])
    hints = get_type_hints(kind, localns={"_models": module, "datetime": datetime})
    return {one._rest_name: hints[name] for name, one in kind._attr_to_rest_field.items()}


@st.composite
def bodies(draw: Draw, operation: str) -> Any:
    """Return a body for an operation: as its class says, nearly so, or anything at all."""
    kind = inputs().get(operation)
    if kind is None or draw(st.integers(0, 9)) == 0:
        return draw(st.dictionaries(st.sampled_from(_SHARED + _OURS), ANYTHING, max_size=4) | ANYTHING)
    body = _shape(draw, kind, 0)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        body = _damaged(draw, body)
    return body


def _shape(draw: Draw, kind: type, depth: int) -> Any:
    kinds = sorted(_kinds_of(kind), key=lambda one: one.__name__)
    ours = [one for one in kinds if "HyperV" in one.__name__] or kinds
    if kinds:
        kind = draw(st.sampled_from(ours if draw(st.integers(0, 3)) else kinds))
    known = fields(kind)
    inner = [word for word, one in known.items() if _has_class(one) or word == "instanceType"]
    wanted = draw(st.lists(st.sampled_from(sorted(known)), unique=True, max_size=8)) if known else []
    words = dict.fromkeys([*inner, *wanted]) if depth < _DEPTH else wanted
    body = {word: _value(draw, known[word], word, depth + 1) for word in words}
    if "instanceType" in body and draw(st.integers(0, 3)) == 0:
        body["bascule"] = draw(st.dictionaries(st.sampled_from(_OURS), _SIMPLE, max_size=4))
    return body


def _kinds_of(kind: type) -> set[type]:
    """Return the kinds of a class that says by a word which of them it is."""
    own = vars(kind).get("__mapping__") or {}
    return set(own.values())


def _is_class(kind: Any) -> bool:
    return isinstance(kind, type) and any(base.__name__ == "Model" for base in kind.__mro__)


def _has_class(kind: Any) -> bool:
    return any(_is_class(one) for one in (kind, *get_args(kind)))


def _value(draw: Draw, kind: Any, word: str, depth: int) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        likely = [one for one in inside if one is not type(None)]
        return _value(draw, draw(st.sampled_from(likely)), word, depth)
    if origin is Literal:
        return inside[0]
    if origin is list:
        return [_value(draw, inside[0], word, depth) for _ in range(draw(st.integers(0, 2)))]
    if origin is dict:
        return {
            draw(names.TEXTS): _value(draw, inside[1], word, depth) for _ in range(draw(st.integers(0, 2)))
        }
    if _is_class(kind):
        return _shape(draw, kind, depth) if depth < _DEPTH else {}
    return draw(_plain(kind, word))


def _plain(kind: Any, word: str) -> st.SearchStrategy[Any]:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from([one.value for one in kind]) | names.TEXTS
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(0, 10_000) | st.integers()
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False)
    if kind is datetime.datetime:
        return st.datetimes().map(lambda one: one.isoformat() + "Z")
    if word.casefold().endswith(("id", "ids")):
        return names.IDS
    return names.TEXTS


def _damaged(draw: Draw, body: Any) -> Any:
    """Return a body of which one thing is wrong, or not there."""
    if isinstance(body, dict) and body:
        word = draw(st.sampled_from(sorted(body)))
        rest = {one: value for one, value in body.items() if one != word}
        how = draw(st.sampled_from(["in", "in", "in", "gone", "wrong", "spelt"]))
        if how == "in":
            return {**body, word: _damaged(draw, body[word])}
        if how == "gone":
            return rest
        return {**rest, word.swapcase(): body[word]} if how == "spelt" else {**body, word: draw(_WRONG)}
    if isinstance(body, list) and body and draw(st.booleans()):
        return [_damaged(draw, body[0]), *body[1:]]
    return draw(_WRONG)
