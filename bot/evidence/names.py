"""Names that a text gives as facts: in quotation marks, or behind a label that announces one."""

from __future__ import annotations

import re
from collections.abc import Iterator

_QUOTED = re.compile(
    r"“([^“”\n]{2,24})”|「([^「」\n]{2,24})」|『([^『』\n]{2,24})』|《([^《》\n]{2,30})》|(?<![\w=])\"([^\"\n]{2,24})\"(?!\w)"
)
_LABELS = (
    "姓名|客户|客户名称|供应商|联系人|单位|公司|公司名称|品牌|型号|地址|品名|甲方|乙方|收款人|付款人|检查员|检验员|"
    "医院|科室|医生|医师|负责人|购买方|销售方|商品名称|店名|车牌号?|患者"
)
_LABELLED = re.compile(
    rf"(?<![\u4e00-\u9fff])(?:{_LABELS})(?:\*\*)?\s*[:：]\s*(?:\*\*)?\s*([\w\u4e00-\u9fff（）()·\-]{{2,30}})"
)
#: a quotation that ends a sentence is speech, not a name
_SPEECH = re.compile(r"[。！？!?…，,；;]|\[图")


def names(text: str) -> Iterator[tuple[int, int]]:
    """The span of each name, without its quotation marks."""
    for match in [*_QUOTED.finditer(text), *_LABELLED.finditer(text)]:
        group = next(number for number, found in enumerate(match.groups(), 1) if found)
        if not _SPEECH.search(match[group]) and any(char.isalnum() for char in match[group]):
            yield match.span(group)
