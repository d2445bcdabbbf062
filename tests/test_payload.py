"""Strict JSON: the quick way and the strict way agree, and both agree with values that were never parsed."""

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot import payload
from bot.errors import Rejected

patient = settings(deadline=None)  # a busy machine is no failure
MALFORMED = "malformed"

Node = tuple[str, Any]
"""JSON source and the value it means, or MALFORMED (which no generated text spells)."""

SCALARS: list[Node] = [
    ("null", None),
    ("true", True),
    ("1", 1),
    ("-0", 0),
    ("1.0", 1.0),
    ("1e2", 100.0),
    ("18446744073709551616", 2**64),
    ("1e-999", 0.0),
    ('""', ""),
    ('"看图:\\n\\/"', "看图:\n/"),
    ('"[{"', "[{"),
    ('"\\u0061"', "a"),
    ('"\\\\u0000"', "\\u0000"),
    ('"\\u0000a"', "a"),
    ('"\\ud83d\\ude00"', "😀"),
    ('"\\ud83d"', "\ufffd"),
    ('"\\uDE00\\ud83d"', "\ufffd\ufffd"),
    ("NaN", MALFORMED),
    ("-Infinity", MALFORMED),
    ("1e999", MALFORMED),
    ("01", MALFORMED),
    ("1" * 5000, MALFORMED),
    ('"\t"', MALFORMED),
    ('"\\x"', MALFORMED),
    ("nul", MALFORMED),
]
NAMES: list[tuple[str, str]] = [
    ('"a"', "a"),
    ('"\\u0061"', "a"),
    ('"a\\u0000"', "a"),
    ('"b"', "b"),
    ('"看"', "看"),
    ('"\\ud800"', "\ufffd"),
    ('""', ""),
]


def is_malformed(value: Any) -> bool:
    return isinstance(value, str) and value == MALFORMED


def array(nodes: list[Node], gap: str) -> Node:
    source = f"[{gap}{f'{gap},{gap}'.join(source for source, _ in nodes)}{gap}]"
    values = [value for _, value in nodes]
    return source, MALFORMED if any(map(is_malformed, values)) else values


def mapping(pairs: list[tuple[tuple[str, str], Node]], gap: str) -> Node:
    source = ",".join(f"{gap}{name[0]}{gap}:{gap}{node[0]}{gap}" for name, node in pairs)
    value = {name[1]: node[1] for name, node in pairs}
    broken = len(value) != len(pairs) or any(is_malformed(node[1]) for _, node in pairs)
    return f"{{{source}}}", MALFORMED if broken else value


gaps = st.sampled_from(["", "", " ", "\r\n\t"])
nodes = st.recursive(
    st.sampled_from(SCALARS[:17]) | st.sampled_from(SCALARS),
    lambda inner: (
        st.builds(array, st.lists(inner, max_size=4), gaps)
        | st.builds(mapping, st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=4), gaps)
    ),
    max_leaves=12,
)


def outcome(body: bytes) -> str:
    """Types matter: 1, 1.0 and true are different values, so they are compared as written by `repr`."""
    try:
        return repr(payload.decode(body))
    except Rejected as error:
        assert (error.reason, error.status) == ("malformed", 400)
        return MALFORMED


def strict_outcome(body: bytes) -> str:
    try:
        return repr(payload._decode_strictly(body))
    except Rejected:
        return MALFORMED


@patient
@given(nodes)
def test_sources_mean_what_they_were_made_from(node: Node):
    source, value = node
    expected = MALFORMED if is_malformed(value) else repr(value)
    body = source.encode()
    assert outcome(body) == expected
    assert strict_outcome(body) == expected
    assert outcome(b"\xef\xbb\xbf" + body) == expected


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=15,
)


@patient
@given(values)
def test_every_spelling_of_a_value_is_the_same(value: Any):
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    spellings = [compact, json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)]
    found = {outcome(spelling.encode()) for spelling in spellings}
    assert found == {strict_outcome(compact.encode())}
    assert "\\x00" in compact or "\\u0000" in compact or found == {repr(json.loads(compact))}


@patient
@given(st.binary())
@example(b"\xff")
@example(b'{"a":"\xed\xa0\x80"}')
def test_any_bytes(body: bytes):
    assert outcome(body) == strict_outcome(body.removeprefix(b"\xef\xbb\xbf"))


@patient
@given(values, st.data())
def test_one_changed_byte(value: Any, data: st.DataObject):
    body = bytearray(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert outcome(bytes(body)) == strict_outcome(bytes(body))


@patient
@given(values)
def test_what_comes_out_can_be_stored(value: Any):
    text = outcome(json.dumps(value).encode())
    assert "\\x00" not in text.replace("\\\\", "")
    assert "\\ud8" not in text.replace("\\\\", "")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"":', "}]")])
def test_64_levels_and_no_more(opening: str, closing: str):
    levels = opening.count("[") + opening.count("{")
    inner = "{}" if opening.startswith("{") else "[]"

    def nested(depth: int) -> bytes:
        count = (depth - 1) // levels
        return f"{opening * count}{inner}{closing * count}".encode()

    deepest = 64 if levels == 1 else 63
    assert outcome(nested(deepest)) != MALFORMED
    assert outcome(nested(deepest + levels)) == MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000,
        b"[{" * 40 + b"}]" * 40 + b"[" * 9,
        b"]" * 10 + b"[" * 90,
        b'"\\' + b"[" * 100,
        b'"' + b'\\"' * 200_000 + b"[" * 100 + b"\\",
        b"[}" * 200,
    ],
)
def test_brackets_that_lead_nowhere(body: bytes):
    assert outcome(body) == MALFORMED


@pytest.mark.parametrize("body", [b'["' + b"[" * 500 + b'"]', b'["\\"' + b"{" * 500 + b'\\\\"]'])
def test_brackets_in_texts_are_no_levels(body: bytes):
    assert outcome(body) == repr(json.loads(body))


def test_many_shallow_brackets():
    assert payload.decode(b"[" + b"[],{}," * 1000 + b"[]]") == [*[[], {}] * 1000, []]


@pytest.mark.parametrize(
    ("dirty", "clean"),
    [
        ("", ""),
        ("a\0b\0", "ab"),
        ("\ud800", "\ufffd"),
        ("\udfff\ud800x", "\ufffd\ufffdx"),
        ("😀\u200b\x01", "😀\u200b\x01"),
    ],
)
def test_clean(dirty: str, clean: str):
    assert payload.clean(dirty) == clean


DATA: dict[str, Any] = {"a": {"text": " \u3000x\ty\n ", "n": 5, "yes": True, "list": [1], "b64": "aGk=", "null": None}}


def test_fields():
    assert payload.text(DATA, "a", "text") == DATA["a"]["text"]
    assert payload.utterance(DATA, "a", "text") == "x\ty"
    assert payload.optional_text(DATA, "a", "null") == payload.optional_text(DATA, "none", "deeper") == ""
    assert payload.integer(DATA, "a", "n", least=5, most=5) == 5
    assert payload.flag(DATA, "a", "yes") is True
    assert payload.items(DATA, "a", "list") == payload.optional_items(DATA, "a", "list") == [1]
    assert payload.optional_items(DATA, "a", "null") == []
    assert payload.fields(DATA, "a") == payload.optional_fields(DATA, "a") == DATA["a"]
    assert payload.optional_fields(DATA, "a", "absent") is None
    assert payload.base64_bytes(DATA, "a", "b64") == b"hi"
    assert payload.optional_identifier(DATA, "a", "absent") == ""


def rejected(read: Any, data: Any, *path: str, **bounds: int) -> bool:
    try:
        read(data, *path, **bounds)
    except Rejected as error:
        return error.reason == "malformed" and error.status == 400
    return False


@pytest.mark.parametrize("value", [None, 0, 1, 1.5, True, False, "", "x", [], [1], {}, {"a": 1}])
def test_a_field_has_one_type(value: Any):
    data = {"a": {"b": value}}
    assert rejected(payload.text, data, "a", "b") == (type(value) is not str)
    assert rejected(payload.optional_text, data, "a", "b") == (type(value) is not str and value is not None)
    assert rejected(payload.integer, data, "a", "b", least=0, most=9) == (type(value) is not int)
    assert rejected(payload.flag, data, "a", "b") == (type(value) is not bool)
    assert rejected(payload.items, data, "a", "b") == (type(value) is not list)
    assert rejected(payload.optional_items, data, "a", "b") == (type(value) is not list and value is not None)
    assert rejected(payload.fields, data, "a", "b") == (type(value) is not dict)
    assert rejected(payload.optional_fields, data, "a", "b") == (type(value) is not dict and value is not None)


READERS = [payload.text, payload.identifier, payload.flag, payload.items, payload.fields, payload.base64_bytes]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("data", [{}, {"a": {}}, {"a": None}, {"a": []}, {"a": "b"}, [], "a", 1, None])
def test_a_required_field_is_missing(read: Any, data: Any):
    assert rejected(read, data, "a", "b")


@pytest.mark.parametrize("data", [{"a": []}, {"a": "b"}, {"a": 1}, [], "a", 1])
def test_an_optional_field_still_lies_in_an_object(data: Any):
    assert rejected(payload.optional_text, data, "a", "b")


@pytest.mark.parametrize("value", ["x", "x" * 512, "字" * 170])
def test_identifiers(value: str):
    assert payload.identifier({"id": value}, "id") == value


@pytest.mark.parametrize("value", ["", "x" * 513, "字" * 171, 1, None])
def test_identifiers_that_no_index_holds(value: Any):
    assert rejected(payload.identifier, {"id": value}, "id")


@pytest.mark.parametrize("value", ["", "a", "aGk", "aGk=\n", "a Gk=", "aGk==", "=aGk", "_-==", "图图图图", "aGk=aGk="])
def test_base64_that_is_none(value: str):
    assert rejected(payload.base64_bytes, {"b": value}, "b")


@patient
@given(st.binary(min_size=1))
def test_base64_round_trip(content: bytes):
    assert payload.base64_bytes({"b": b64encode(content).decode()}, "b") == content
