"""A report as a PDF, by WeasyPrint (`pip install 'kantu[pdf]'`, and the library Pango). Nothing is fetched."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, Final

from bot.documents import apart
from bot.documents.pictures import LoadPicture, load, shrunk
from bot.errors import DocumentFailed
from bot.report import Report

_MISSING: Final = (
    "这台服务器没有安装生成 PDF 的组件（管理员可以运行 pip install 'kantu[pdf]'）。可以改要 Word 或 Markdown。"
)
_NO_PANGO: Final = "这台服务器缺少生成 PDF 要用的系统库 Pango（管理员可以安装 libpango-1.0-0 和 libpangoft2-1.0-0）。"
_SCHEME: Final = "picture:"


async def write(report: Report, load_picture: LoadPicture) -> bytes:
    """A4 pages with numbers, the list of evidence at the end. Raises DocumentFailed."""
    if importlib.util.find_spec("weasyprint") is None:
        raise DocumentFailed(_MISSING)
    return await apart.run(__name__, report, await load(report, load_picture))


def build(report: Report, pictures: Mapping[int, bytes]) -> bytes:
    """The file. Blocks; raises DocumentFailed."""
    try:
        from weasyprint import HTML  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
    except OSError as error:  # Pango is opened when the module is imported
        raise DocumentFailed(_NO_PANGO) from error

    page: Any = HTML(string=page_of(report, pictures), url_fetcher=_fetcher(pictures), base_url="")
    # Where a numbered list starts is an attribute.
    return page.write_pdf(presentational_hints=True)


def page_of(report: Report, pictures: Mapping[int, bytes]) -> str:
    """The HTML that is typeset; pictures that are gone are left out with a line."""
    from dataclasses import replace

    from bot.documents.html import evidence, render
    from bot.documents.marked import cleaned

    kept = {number: image for number, image in report.pictures.items() if number in pictures}
    shown = replace(report, pictures=kept)
    gone = "".join(f"<p>图{number} 已经不在了。</p>" for number in sorted(set(report.pictures) - set(kept)))
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    title = escape(cleaned(report.title))
    return (
        f'<!doctype html><html lang="zh-CN"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head><body><h1>{title}</h1>"
        f"{render(shown, lambda number: f'{_SCHEME}{number}')}{gone}"
        f'<div class="evidence">{evidence(shown)}</div></body></html>'
    )


def _fetcher(pictures: Mapping[int, bytes]) -> Any:
    """Serves the report's own pictures and refuses everything else."""
    from weasyprint.urls import (  # pyright: ignore[reportMissingTypeStubs]
        URLFetcher,  # pyright: ignore[reportUnknownVariableType]
        URLFetcherResponse,  # pyright: ignore[reportUnknownVariableType]
    )

    class Own(URLFetcher):
        def fetch(self, url: str, headers: object = None) -> Any:
            number = url.removeprefix(_SCHEME)
            if not url.startswith(_SCHEME) or not number.isdigit() or int(number) not in pictures:
                raise ValueError("only the report's own pictures")
            return URLFetcherResponse(url, shrunk(pictures[int(number)]))

    return Own()
