"""The notice under whatever reads like a medical finding: added by rule, whatever the model wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.report import Section
from bot.templates import Template

MEDICAL = "仅供参考，不能代替医生诊断。请带上原始检查单，由医生结合症状和病史判断。"

# One of these says it.
_CERTAIN = re.compile(
    r"化验单|检验报告单|血常规|尿常规|肝功能|肾功能|甲功|血生化|病理(?:报告|诊断|切片)|心电图|超声(?:所见|提示|检查)|[BＢ]超|彩超"
    r"|CT(?:值|检查|平扫|报告|影像|片)|核磁|磁共振|MRI|胃镜|肠镜|影像所见|影像诊断|临床诊断|确诊|诊断(?:为|结果|意见)|处方|病历|出院小结"
    r"|肿瘤标志物|糖化血红蛋白",
    re.IGNORECASE,
)
# Two different ones of these do.
_LIKELY = re.compile(
    r"白细胞|红细胞|血小板|血红蛋白|中性粒|淋巴细胞|转氨酶|胆固醇|甘油三酯|尿酸|肌酐|血糖|血压|C反应蛋白|CRP|结节|炎症|感染|贫血"
    r"|参考范围|参考区间|患者|医嘱|就医|复查|用药|剂量|症状|体检|诊断|医院|科室|病变|阳性",
    re.IGNORECASE,
)


def needed(template: Template, asked: str, sections: Sequence[Section]) -> str:
    """The notice that a report must end with; empty where none is due."""
    if template.notice:
        return template.notice
    text = "\n".join([asked, *(f"{one.title}\n{one.text}" for one in sections)])
    likely = {found.lower() for found in _LIKELY.findall(text)}
    return MEDICAL if _CERTAIN.search(text) or len(likely) > 1 else ""


def apart(sections: Sequence[Section], notice: str) -> tuple[Section, ...]:
    """The sections without lines that repeat the notice, which has a place of its own."""
    words = re.escape(notice.split("，", maxsplit=1)[0].split("。", maxsplit=1)[0])
    line = re.compile(rf"^[\s>*_（(]*{words}[^\n]{{0,80}}$\n?", re.MULTILINE)
    kept = (replace(one, text=line.sub("", one.text).strip()) for one in sections) if notice else sections
    return tuple(one for one in kept if one.text or one.title)
