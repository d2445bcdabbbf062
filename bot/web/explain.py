"""msgspec's complaints about a request, in Chinese, with the nearest right key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Final

_PLACE: Final = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>[^`]*)`)?$", re.DOTALL)
_UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING: Final = re.compile(r"Object missing required field `(?P<name>[^`]*)`")
_EXPECTED: Final = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<given>[^`]*)`")
_LONG: Final = re.compile(r"Expected `array` of length <= (?P<most>\d+)")
_NAMES: Final = {
    "str": "文字",
    "bool": "true 或 false",
    "int": "数字",
    "float": "数字",
    "array": "数组",
    "object": "对象",
    "null": "null",
}
_LONGEST_NAME: Final = 40


def explain(message: str, top: Sequence[str], nested: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """Reason and sentence. top: the outermost keys; nested: the keys of the objects below one of them."""
    match = _PLACE.match(message)
    what, path = (match["what"], match["path"] or "") if match else (message, "")
    unknown = _UNKNOWN.fullmatch(what)
    if unknown:
        known = nested.get(re.split(r"[.\[]", path)[0], ()) if path else top
        return "unknown_key", unknown_key(unknown["name"], known, path)
    return "bad_value", f"{path or '请求'}：{_complaint(what)}"


def unknown_key(name: str, known: Sequence[str], path: str = "") -> str:
    """Names the nearest right key, or all of them when none is near."""
    near = difflib.get_close_matches(name[:_LONGEST_NAME], known, n=1, cutoff=0.5)
    hint = f"是不是想写 {near[0]}？" if near else f"可以用的有：{'、'.join(known)}。"
    shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
    return f"{path + ' 里' if path else ''}没有 {shown} 这个字段，{hint}"


def _complaint(what: str) -> str:
    if found := _EXPECTED.fullmatch(what):
        return f"要的是{_kind(found['wanted'])}，给的是{_kind(found['given'])}。"
    if found := _MISSING.fullmatch(what):
        return f"缺少 {found['name']}。"
    if found := _LONG.fullmatch(what):
        return f"最多 {found['most']} 项。"
    return "这个值不在允许的范围内。"


def _kind(types: str) -> str:
    return "或".join(_NAMES.get(name, name) for name in types.split(" | "))
