"""An answer in DingTalk's terms: plain text or its markdown, and files of the kinds that it takes.

https://open.dingtalk.com/document/orgapp/robot-message-type
"""

from __future__ import annotations

import io
import re
import zipfile
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

import msgspec

from bot.event import File

#: Kinds of files that DingTalk takes and shows; others travel in a zip.
_FILE_TYPES: Final = frozenset({"xlsx", "pdf", "zip", "rar", "doc", "docx"})
_TITLE_LENGTH: Final = 20

_MARKDOWN: Final = re.compile(
    r"""^[ ]{0,3}(?:\#{1,6}[ ]|>|[-*+][ ]|\d{1,9}[.)][ ])  # heading, quote, list
        |\*\*\S.*?\*\*                                       # bold
        |\[[^\]\n]+\]\([^()\s]+\)                             # link""",
    re.MULTILINE | re.VERBOSE,
)
_MARKS: Final = re.compile(r"^[\s#>*+-]+|\*\*|[\[\]`]")
# DingTalk joins lines of one paragraph unless two spaces stand before the break.
_SINGLE_BREAK: Final = re.compile(r"(?<=[^\n ]) *\n(?!\n)")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, for the session's address and for the API."""

    key: str
    params: dict[str, str]

    def for_session(self) -> dict[str, Any]:
        """The body for a session's address."""
        kind = "markdown" if self.key == "sampleMarkdown" else "text"
        return {"msgtype": kind, kind: self.params}

    def for_api(self) -> dict[str, str]:
        """The fields of the API's calls; DingTalk wants the parameters as JSON in a text."""
        return {"msgKey": self.key, "msgParam": msgspec.json.encode(self.params).decode()}


def text_message(text: str) -> Outgoing:
    """Markdown where the text has any, else plain: only there every sign shows as it is."""
    if _MARKDOWN.search(text) is None:
        return Outgoing("sampleText", {"content": text})
    return Outgoing("sampleMarkdown", {"title": _title(text), "text": _SINGLE_BREAK.sub("  \n", text)})


def file_message(file: File, media_id: str) -> Outgoing:
    """A file that was uploaded."""
    return Outgoing("sampleFile", {"mediaId": media_id, "fileName": file.name, "fileType": _ending(file.name)})


def fit_file(file: File) -> File:
    """The file itself, or a zip around it where DingTalk would not take its kind."""
    if _ending(file.name) in _FILE_TYPES:
        return file
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(file.name, file.content)
    return File(f"{PurePath(file.name).stem}.zip", "application/zip", packed.getvalue())


def _ending(name: str) -> str:
    return PurePath(name).suffix.removeprefix(".").lower()


def _title(text: str) -> str:
    """What the list of conversations shows of the message: the beginning of its first line."""
    first = next((line for line in text.splitlines() if _MARKS.sub("", line).strip()), "")
    return _MARKS.sub("", first).strip()[:_TITLE_LENGTH] or "回复"
