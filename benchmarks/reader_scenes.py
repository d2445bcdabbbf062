"""Draws pictures of the kinds people send (error pages, orders, lab reports …) with known contents.

Every run with one seed draws the same pictures; other seeds change names, numbers, layouts and how questions are
put. Written to a folder with a `facts.json` of the form that `reader.py` runs. Needs Pillow and a Noto CJK font.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")
SURNAMES, GIVEN = "赵钱孙李周吴郑王冯陈褚卫蒋沈韩杨", ("子涵", "雨桐", "明远", "思齐", "佳怡", "浩然", "婉清", "立言")
CITIES = ("宁州", "安河", "清溪", "南屏", "云岭", "白沙")
Question = tuple[str, Sequence[str | Sequence[str]]]


@dataclass
class Scene:
    """One picture with its facts. quality: JPEG quality, 0 for PNG."""

    name: str
    kind: str
    picture: Image.Image
    must_read: list[str] = field(default_factory=list[str])
    questions: list[Question] = field(default_factory=list[Question])
    quality: int = 0

    def facts(self, file: str) -> dict[str, Any]:
        qa = [{"q": question, "must": list(must)} for question, must in self.questions]
        return {"file": file, "scene": self.kind, "must_read": self.must_read, "qa": qa}


def font(size: int) -> ImageFont.FreeTypeFont:
    """Raises OSError where the font is not installed (Debian: fonts-noto-cjk)."""
    return ImageFont.truetype(str(FONT), size, index=2)


class Canvas:
    """A picture and a pen."""

    def __init__(self, width: int, height: int, paper: str = "white") -> None:
        self.picture = Image.new("RGB", (width, height), paper)
        self.pen = ImageDraw.Draw(self.picture)

    def write(self, x: float, y: float, text: str, size: int = 32, ink: str = "#222", anchor: str = "la") -> float:
        """Returns the width written, pixels."""
        self.pen.text((x, y), text, ink, font(size), anchor)
        return self.pen.textlength(text, font(size))

    def wrap(self, x: float, y: float, text: str, size: int, width: int, ink: str = "#222") -> float:
        """Write a paragraph; returns the y below it."""
        row = ""
        for char in text:
            if self.pen.textlength(row + char, font(size)) > width and char not in "，。！？、；：":
                self.write(x, y, row, size, ink)
                y, row = y + size * 1.6, ""
            row += char
        self.write(x, y, row, size, ink)
        return y + size * 1.6


def person(rng: random.Random) -> str:
    return rng.choice(SURNAMES) + rng.choice(GIVEN)


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("123456789") for _ in range(count))


def date(rng: random.Random) -> tuple[str, int, int]:
    month, day = rng.randint(1, 12), rng.randint(1, 28)
    return f"2025-{month:02}-{day:02}", month, day


def error_page(rng: random.Random) -> Scene:
    canvas = Canvas(1080, 1900, "#f5f5f5")
    action, cause, hint = rng.choice(
        [
            ("登录失败", "密码连续输错五次，账号已被锁定", "请30分钟后再试"),
            ("上传失败", "文件超过单次20MB的上限", "请压缩后重新上传"),
            ("提现失败", "开户行信息与实名不一致", "请修改后再提交"),
            ("网络连接失败", "服务器响应超时", "请检查网络设置"),
            ("预约失败", "当前号源已被约满", "请选择其他日期"),
        ]
    )
    code, phone, trace = (
        f"{rng.choice(['E', 'ERR', 'SYS'])}-{digits(rng, 4)}",
        f"400-{digits(rng, 3)}-{digits(rng, 4)}",
        digits(rng, 12),
    )
    day = date(rng)[0]
    canvas.write(540, 150, rng.choice(["系统提示", "操作结果", "温馨提示"]), 46, anchor="ma")
    canvas.pen.ellipse((460, 300, 620, 460), "#e33")
    canvas.write(540, 520, action, 60, anchor="ma")
    canvas.write(540, 620, f"{cause}，{hint}", 36, "#888", "ma")
    rows = [
        (rng.choice(["错误代码", "错误码", "异常码"]), code),
        ("请求编号", trace),
        ("发生时间", f"{day} 09:41:22"),
        ("当前版本", "8.2.15"),
    ]
    for index, (key, value) in enumerate(rows):
        canvas.write(60, 800 + 90 * index, key, 36, "#777")
        canvas.write(1020, 800 + 90 * index, value, 36, anchor="ra")
    canvas.write(540, 1700, f"客服热线：{phone}（9:00-21:00）", 32, "#888", "ma")
    asked: list[Question] = [
        (rng.choice(["错误代码是什么？", "报错码多少", "这个错误码是啥？"]), [code]),
        (rng.choice([f"为什么{action}？", f"{action}的原因是什么", f"怎么{action}了，什么原因？"]), [cause[-5:]]),
        (rng.choice(["客服电话多少？", "打哪个电话找客服", "客服热线是多少"]), [phone]),
        (rng.choice(["什么时候出错的？", "发生时间是几点"]), ["09:41"]),
    ]
    return Scene("error_page", "app报错", canvas.picture, [action, code, trace, phone, day], asked)


def order_page(rng: random.Random) -> Scene:
    dark = rng.random() < 0.5
    paper, ink, grey = ("#121212", "#eee", "#999") if dark else ("#f4f4f4", "#222", "#777")
    canvas = Canvas(1080, 2100, paper)
    name, price, count = person(rng), rng.randint(40, 400), rng.randint(1, 3)
    off, freight = rng.randint(5, 30), rng.randint(3, 12)
    paid, number, parcel = (
        price * count - off + freight,
        digits(rng, 16),
        f"{rng.choice(['SF', 'YT', 'ZT'])}{digits(rng, 12)}",
    )
    company, city = rng.choice(["顺达速递", "远航快运", "飞燕物流"]), rng.choice(CITIES)
    day, month, date_ = date(rng)
    canvas.write(540, 120, "订单详情", 46, ink, "ma")
    canvas.write(60, 230, rng.choice(["运输中", "待发货", "已签收"]), 56, "#f60")
    canvas.write(60, 310, f"预计{month}月{date_}日 20:00 前送达", 32, grey)
    canvas.write(330, 420, rng.choice(["青禾 陶瓷马克杯 350ml 墨绿", "木格 桌面收纳盒 大号 原木色"]), 36, ink)
    canvas.write(330, 500, f"数量 ×{count}", 32, grey)
    canvas.write(1020, 500, f"¥{price}.00", 36, ink, "ra")
    money = [
        ("商品总价", f"¥{price * count}.00"),
        ("优惠", f"-¥{off}.00"),
        ("运费", f"¥{freight}.00"),
        (rng.choice(["实付款", "实付金额"]), f"¥{paid}.00"),
    ]
    info = [
        ("订单编号", number),
        ("下单时间", f"{day} 13:05:46"),
        ("支付方式", "微信支付"),
        ("收货人", f"{name} 136****{digits(rng, 4)}"),
        ("收货地址", f"{city}市新华路{rng.randint(2, 90)}号"),
        ("快递公司", company),
        ("运单号", parcel),
    ]
    for index, (key, value) in enumerate(money + info):
        y = 640 + 85 * index + (60 if index >= 4 else 0)
        canvas.write(70, y, key, 34, grey)
        canvas.write(1010, y, value, 34, ink, "ra")
    asked: list[Question] = [
        (rng.choice(["实际付了多少钱？", "实付多少", "一共付了多少钱？"]), [str(paid)]),
        (rng.choice(["收货人是谁？寄到哪里？", "谁收货，地址在哪"]), [name, city]),
        (rng.choice(["用的哪家快递，单号多少？", "快递公司和快递单号"]), [company, parcel]),
        (rng.choice(["优惠了多少？", "减了多少钱"]), [str(off)]),
        (rng.choice(["运费多少钱？", "邮费是多少"]), [str(freight)]),
        (rng.choice(["哪天能送到？", "预计几号到货"]), [f"{month}月{date_}日"]),
    ]
    return Scene("order_page", "订单页", canvas.picture, [number, name, parcel, company, f"{paid}.00"], asked)


def product_card(rng: random.Random) -> Scene:
    canvas = Canvas(1080, 1500)
    brand, colour, city = (
        rng.choice(["山野", "北屿", "拾光"]),
        rng.choice(["墨绿", "雾霾蓝", "奶白", "石墨灰"]),
        rng.choice(CITIES),
    )
    now, sold, good = rng.randint(60, 400), rng.randint(2, 9), rng.randint(92, 99)
    old, goods = now + rng.randint(30, 200), rng.choice(["保温杯", "双肩包", "羽绒服"])
    canvas.pen.rectangle((0, 0, 1080, 900), "#dfe6ee")
    canvas.pen.rectangle((380, 200, 700, 800), "#2f6b5b")
    width = canvas.write(40, 930, f"¥{now}", 72, "#e4393c")
    canvas.write(60 + width, 965, f"¥{old}", 36, "#999")
    canvas.write(1040, 950, rng.choice(["到手价", "活动价", "券后价"]), 32, "#e4393c", "ra")
    y = canvas.wrap(40, 1050, f"{brand} 轻便耐用{goods} {colour} 学生通勤男女同款大容量", 42, 1000)
    pairs = [("品牌", brand), ("颜色", colour), ("材质", "尼龙牛津布"), ("容量", f"{rng.randint(2, 9) * 100}ml")]
    for index, (key, value) in enumerate(pairs):
        canvas.write(60 + 520 * (index % 2), y + 30 + 80 * (index // 2), f"{key}：{value}", 34)
    canvas.write(40, y + 220, f"月销{sold}000+   好评率{good}%   {city}发货", 30, "#888")
    asked: list[Question] = [
        (rng.choice(["什么牌子，什么颜色？", "品牌和颜色分别是什么"]), [brand, colour]),
        (rng.choice(["多少钱？", "现在卖多少钱", "到手价多少？"]), [str(now)]),
        (rng.choice(["原价是多少？", "划线价多少"]), [str(old)]),
        (rng.choice(["什么材质的？", "用什么材料做的？"]), ["尼龙"]),
        (rng.choice(["好评率多少？", "好评有多少"]), [str(good)]),
        (rng.choice(["月销多少？", "一个月卖了多少"]), [f"{sold}000"]),
        (rng.choice(["容量多大？"]), [pairs[3][1]]),
    ]
    return Scene("product_card", "商品卡", canvas.picture, [brand, colour, str(now), goods], asked)


#: item, bounds of the reference range, unit, decimals
LAB = (
    ("谷丙转氨酶 ALT", 9, 50, "U/L", 0),
    ("谷草转氨酶 AST", 15, 40, "U/L", 0),
    ("总胆红素 TBIL", 5.0, 21.0, "umol/L", 1),
    ("白蛋白 ALB", 40.0, 55.0, "g/L", 1),
    ("肌酐 CREA", 57, 97, "umol/L", 0),
    ("尿酸 UA", 208, 428, "umol/L", 0),
    ("葡萄糖 GLU", 3.9, 6.1, "mmol/L", 2),
    ("总胆固醇 TC", 2.8, 5.2, "mmol/L", 2),
    ("甘油三酯 TG", 0.56, 1.7, "mmol/L", 2),
)


def lab_report(rng: random.Random) -> Scene:
    canvas = Canvas(1240, 1300)
    name, tester, checker, hospital = person(rng), person(rng), person(rng), f"{rng.choice(CITIES)}市中心医院"
    day = date(rng)[0]
    canvas.write(620, 50, hospital, 44, anchor="ma")
    canvas.write(620, 115, "生化检验报告单", 36, anchor="ma")
    canvas.write(60, 200, f"姓名：{name}", 28)
    canvas.write(450, 200, f"性别：{rng.choice('男女')}", 28)
    canvas.write(840, 200, f"年龄：{rng.randint(20, 80)}岁", 28)
    canvas.write(60, 255, "科室：内分泌科", 28)
    canvas.write(450, 255, f"报告日期：{day}", 28)
    swap = rng.random() < 0.5
    columns = (
        [("项目名称", 60), ("结果", 450), ("单位", 620), ("参考区间", 900)]
        if swap
        else [("检验项目", 60), ("测定值", 450), ("参考值", 650), ("单位", 980)]
    )
    for title, x in columns:
        canvas.write(x, 340, title, 30)
    results: list[tuple[str, str, str, str]] = []
    for index, (item, low, high, unit, places) in enumerate(rng.sample(LAB, 7)):
        state = rng.choice(["low", "high", "ok", "ok"])
        value = low * 0.8 if state == "low" else high * 1.3 if state == "high" else (low + high) / 2
        shown, y = f"{value:.{places}f}", 410 + 70 * index
        span = f"{low}{'～' if swap else '-'}{high}"
        results.append((item, shown, {"low": "偏低", "high": "偏高", "ok": "正常"}[state], f"{low}"))
        for text, (_, x) in zip((item, shown, unit, span) if swap else (item, shown, span, unit), columns, strict=True):
            canvas.write(x, y, text, 30)
    canvas.write(60, 1000, f"检验者：{tester}    审核者：{checker}", 28)
    one, two = results[0], results[1]
    odd = [item.split()[0] for item, _, verdict, _ in results if verdict != "正常"]
    high = [item.split()[0] for item, _, verdict, _ in results if verdict == "偏高"]
    asked: list[Question] = [
        (rng.choice([f"{one[0].split()[0]}是多少，正常吗？", f"{one[0].split()[1]}的结果高还是低"]), [one[1], one[2]]),
        (f"{two[0].split()[0]}的参考范围是多少", [two[3]]),
        (rng.choice(["哪些项目异常？", "有哪几项不正常"]), odd or [["没有", "正常"]]),
        (rng.choice(["哪些偏高？", "哪几项超标偏高"]), high or [["没有"]]),
        (rng.choice(["检验者和审核者是谁？", "谁检验，谁审核的"]), [tester, checker]),
        (rng.choice(["报告是哪天出的？", "报告日期？"]), [day]),
    ]
    return Scene(
        "lab_report",
        "化验单",
        canvas.picture,
        [hospital, name, tester, checker, *(value for _, value, _, _ in results)],
        asked,
    )


def comic(rng: random.Random) -> Scene:
    canvas = Canvas(1200, 1250)
    title, lines, why, reason = rng.choice(
        [
            (
                "小狗散步记",
                (
                    "主人，今天能去公园吗？",
                    "外面下雨，路上全是泥。",
                    "那我不去了，我刚洗完澡。",
                    "（打呼噜）梦里也能散步",
                ),
                "小狗为什么不去公园了？",
                "洗完澡",
            ),
            (
                "企鹅打工人",
                ("老板，我想请三天假。", "冰块卖不完，不批！", "因为冰箱坏了，冰块全化了。", "那……放你一个月假吧"),
                "冰块为什么没了，说的原因是？",
                "冰箱坏了",
            ),
            (
                "番茄减肥",
                ("我要减掉两斤！", "可你是一颗番茄呀。", "所以我决定变成番茄汁。", "完了，更重了"),
                "最后结果怎么样？",
                "更重",
            ),
        ]
    )
    canvas.write(600, 20, title, 48, anchor="ma")
    for index, text in enumerate(lines):
        x, y = 30 + 580 * (index % 2), 100 + 570 * (index // 2)
        canvas.pen.rectangle((x, y, x + 560, y + 550), ["#fff3d6", "#e3f2ff", "#eef7e6", "#26304f"][index], "#222", 5)
        canvas.pen.rounded_rectangle((x + 40, y + 40, x + 480, y + 190), 30, "white", "#222", 4)
        canvas.wrap(x + 65, y + 65, text, 36, 380)
        canvas.pen.ellipse((x + 180, y + 280, x + 380, y + 500), "#d98b3a")
    order = "一二三四"
    pick = rng.randrange(3)
    asked: list[Question] = [
        (
            rng.choice([f"第{order[pick]}格说了什么？", f"第{pick + 1}格里写的是什么", f"第{order[pick]}格的台词"]),
            [lines[pick].strip("。！？")[-4:]],
        ),
        ("最后一格说了什么", [lines[3][-3:]]),
        (why, [reason]),
        (rng.choice(["漫画标题是什么？", "这个漫画叫什么名字"]), [title]),
        ("一共有几格？", ["4"]),
    ]
    return Scene("comic", "四格漫画", canvas.picture, [title, *(line.strip("（）。！？")[:5] for line in lines)], asked)


def chart(rng: random.Random, way: str) -> Scene:
    canvas = Canvas(1280, 860)
    labels = rng.choice(
        [
            ["一月", "二月", "三月", "四月", "五月", "六月"],
            ["手机", "电脑", "家电", "服饰", "食品"],
            ["东城区", "西城区", "南湖区", "北岭区"],
        ]
    )
    values = rng.sample(range(20, 199), len(labels))
    title, unit = rng.choice([("2025年上半年销售额", "万元"), ("各类商品销量统计", "件"), ("年度投诉量对比", "件")])
    canvas.write(640, 30, title, 42, anchor="ma")
    canvas.write(70, 120, f"单位：{unit}", 26, "#555")
    draw = {"bar": _bars, "lying": _lying, "line": _curve, "pie": _pie}[way]
    draw(canvas, labels, values)
    canvas.write(126, 800, "数据来源：市场部", 26, "#777")
    order = sorted(zip(values, labels, strict=True))
    (low, low_name), (high, high_name) = order[0], order[-1]
    one, two = rng.sample(range(len(labels)), 2)
    gap = abs(values[one] - values[two])
    word = "多" if values[one] > values[two] else "少"
    asked: list[Question] = [
        (rng.choice(["哪个最高，是多少？", "数值最大的是哪个？", "最多的是哪一个，多少"]), [high_name, str(high)]),
        (rng.choice(["最低的是哪个？", "最少的是谁"]), [low_name, str(low)]),
        (f"{labels[one]}是多少？", [str(values[one])]),
        (
            rng.choice([f"{labels[one]}比{labels[two]}{word}多少？", f"{labels[one]}和{labels[two]}相差多少"]),
            [str(gap)],
        ),
        (rng.choice(["总共多少？", "加起来一共多少"]), [str(sum(values))]),
        ("数据来源是哪里？", ["市场部"]),
    ]
    return Scene(f"chart_{way}", f"图表·{way}", canvas.picture, [title, *labels, *map(str, values)], asked)


def _bars(canvas: Canvas, labels: list[str], values: list[int]) -> None:
    for tick in range(0, 201, 50):
        canvas.write(120, 690 - tick * 2.6, str(tick), 24, "#555", "rm")
    pitch = 1060 / len(labels)
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        x = 160 + pitch * (index + 0.5)
        canvas.pen.rectangle((x - 45, 690 - value * 2.6, x + 45, 690), "#3a7bd5")
        canvas.write(x, 683 - value * 2.6, str(value), 28, anchor="mb")
        canvas.write(x, 715, label, 28, anchor="ma")


def _lying(canvas: Canvas, labels: list[str], values: list[int]) -> None:
    pitch = 580 / len(labels)
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = 170 + pitch * (index + 0.5)
        canvas.write(190, y, label, 28, anchor="rm")
        canvas.pen.rectangle((210, y - 24, 210 + value * 4.6, y + 24), "#e08a3c")
        canvas.write(225 + value * 4.6, y, str(value), 28, anchor="lm")


def _curve(canvas: Canvas, labels: list[str], values: list[int]) -> None:
    for tick in range(0, 201, 40):
        canvas.write(120, 690 - tick * 2.5, str(tick), 24, "#555", "rm")
    pitch = 1060 / len(labels)
    points = [(160 + pitch * (i + 0.5), 690 - value * 2.5) for i, value in enumerate(values)]
    canvas.pen.line(points, "#2a9d55", 5)
    for (x, y), label, value in zip(points, labels, values, strict=True):
        canvas.pen.ellipse((x - 8, y - 8, x + 8, y + 8), "#2a9d55")
        canvas.write(x, y - 16, str(value), 28, anchor="mb")
        canvas.write(x, 715, label, 28, anchor="ma")


def _pie(canvas: Canvas, labels: list[str], values: list[int]) -> None:
    start = 0.0
    for index, (label, value) in enumerate(zip(labels, values, strict=True)):
        end = start + 360 * value / sum(values)
        colour = ["#3a7bd5", "#e08a3c", "#2a9d55", "#c0392b", "#8e44ad", "#7f8c8d"][index]
        canvas.pen.pieslice((160, 220, 660, 720), start, end, colour)
        canvas.pen.rectangle((780, 240 + 75 * index, 820, 280 + 75 * index), colour)
        canvas.write(850, 260 + 75 * index, f"{label} {value}", 30, anchor="lm")
        start = end


def chat_page(rng: random.Random) -> Scene:
    canvas = Canvas(670, 1150, "#ebebeb")
    place, hour, fee, room, bags = (
        rng.choice(["南门地铁口", "图书馆门口", "二号停车场"]),
        rng.randint(7, 10),
        rng.randint(3, 9) * 100,
        digits(rng, 4),
        rng.randint(3, 9),
    )
    month, day = rng.randint(2, 12), rng.randint(2, 28)
    talk = rng.choice(
        [
            [
                ("左", "周六去爬山，一共来了12个人"),
                ("右", "在哪里集合？"),
                ("左", f"{place}，早上{hour}点"),
                ("右", f"费用每人{fee}块对吧"),
                ("左", f"对，{month}月{day}号前交给我就行"),
                ("右", f"那我带{bags}瓶水"),
            ],
            [
                ("左", f"房租每月{fee}元，押一付三"),
                ("右", "什么时候可以看房？"),
                ("左", f"{month}月{day}号上午{hour}点都行"),
                ("右", "钥匙放哪里"),
                ("左", f"门锁密码{room}，看完记得关灯"),
                ("右", "好的，谢谢"),
            ],
        ]
    )
    canvas.write(335, 75, rng.choice(["户外-小周", "房东刘姐"]), 30, anchor="ma")
    canvas.write(335, 145, "昨天 18:20", 20, "#999", "ma")
    y = 200
    for side, text in talk:
        width = canvas.pen.textlength(text, font(24))
        left = 100 if side == "左" else 570 - width - 20
        canvas.pen.rounded_rectangle(
            (left, y - 12, left + width + 20, y + 42), 8, "white" if side == "左" else "#95ec69"
        )
        canvas.write(left + 10, y, text, 24)
        canvas.pen.rectangle((25, y - 10, 75, y + 40) if side == "左" else (595, y - 10, 645, y + 40), "#7aa", width=0)
        y += 95
    hike = "爬山" in talk[0][1]
    asked: list[Question] = (
        [
            ("在哪集合？", [place]),
            ("几点集合？", [str(hour)]),
            ("每人多少钱？", [str(fee)]),
            ("一共去几个人？", ["12"]),
            ("费用什么时候前交？", [f"{month}月{day}"]),
            ("我说要带几瓶水？", [str(bags)]),
        ]
        if hike
        else [
            ("房租多少？", [str(fee)]),
            ("什么时候看房？", [f"{month}月{day}"]),
            ("门锁密码是多少？", [room]),
            ("押几付几？", ["押一付三"]),
            ("对方说了什么？", [str(fee), room]),
        ]
    )
    small = canvas.picture.filter(ImageFilter.GaussianBlur(0.6))
    return Scene("chat_page", "聊天截图·低画质", small, [text[:4] for _, text in talk], asked, quality=30)


def invoice(rng: random.Random) -> Scene:
    canvas = Canvas(1400, 950)
    buyer, seller = (
        f"{rng.choice(CITIES)}{rng.choice(['信息技术', '教育咨询'])}有限公司",
        f"{rng.choice(CITIES)}{rng.choice(['文具', '五金', '食品'])}批发部",
    )
    number, day, tax_buy, tax_sell = (
        digits(rng, 12),
        date(rng)[0],
        "91" + digits(rng, 15) + "K",
        "92" + digits(rng, 15) + "M",
    )
    year, month, date_ = day.split("-")
    goods = rng.sample(
        [("打印纸", "A4", 25.5), ("墨盒", "黑色", 88.0), ("文件夹", "20页", 6.8), ("订书机", "中号", 18.9)], 3
    )
    canvas.write(700, 40, "电子发票（普通发票）", 48, "#7a3b1d", "ma")
    canvas.write(960, 130, f"发票号码：{number}", 28)
    canvas.write(960, 175, f"开票日期：{year}年{month}月{date_}日", 28)
    for x, who, name, tax in ((60, "购买方", buyer, tax_buy), (720, "销售方", seller, tax_sell)):
        canvas.write(x, 240, f"{who}：{name}", 28)
        canvas.write(x, 290, f"纳税人识别号：{tax}", 28)
    columns = [60, 460, 650, 820, 1000, 1200]
    for x, text in zip(columns, ("项目名称", "规格型号", "数量", "单价", "金额", "税率"), strict=True):
        canvas.write(x, 370, text, 28)
    total, counts = 0.0, [rng.randint(2, 40) for _ in goods]
    for index, ((name, spec, price), count) in enumerate(zip(goods, counts, strict=True)):
        total += price * count
        cells = (f"*办公用品*{name}", spec, str(count), f"{price:.2f}", f"{price * count:.2f}", "13%")
        for x, text in zip(columns, cells, strict=True):
            canvas.write(x, 430 + 60 * index, text, 28)
    canvas.write(60, 680, "价税合计（大写）：人民币金额见小写", 28)
    canvas.write(960, 680, f"（小写）¥{total:.2f}", 28)
    issuer = person(rng)
    canvas.write(60, 770, f"收款人：{person(rng)}    复核：{person(rng)}    开票人：{issuer}", 28)
    name, _, price = goods[1]
    asked: list[Question] = [
        (rng.choice(["价税合计是多少？", "总金额多少", "这张发票一共多少钱？"]), [f"{total:.2f}"]),
        (rng.choice(["发票号码？", "发票号是多少"]), [number]),
        (rng.choice(["销售方是哪家？", "谁开的发票，卖方是谁"]), [seller]),
        (rng.choice(["开票日期是哪天？", "什么时候开的票"]), [[f"{month}月{date_}日"]]),
        (f"{name}的单价是多少？", [f"{price:.2f}"]),
        (f"{name}买了多少？数量是几", [str(counts[1])]),
        ("购买方的税号是多少？", [tax_buy]),
        ("开票人是谁", [issuer]),
    ]
    return Scene("invoice", "发票", canvas.picture, [number, buyer, seller, tax_buy, f"{total:.2f}"], asked)


def homework(rng: random.Random) -> Scene:
    canvas = Canvas(1200, 1400, "#f7f3e8")
    name, score = person(rng), rng.randint(6, 9) * 10
    two = rng.random() < 0.5
    canvas.write(160, 90, f"计算练习   四（{rng.randint(1, 6)}）班   {name}", 44, "#234")
    wrong: list[int] = []
    answers: list[tuple[str, int, int]] = []
    for index in range(10):
        sign = rng.choice("+-×÷")
        a, b = rng.randint(12, 99), rng.randint(2, 11)
        left, right = (
            (f"{a * b}÷{b}", a) if sign == "÷" else (f"{a}{sign}{b}", {"+": a + b, "-": a - b, "×": a * b}[sign])
        )
        shown = right if rng.random() < 0.7 else right + rng.choice([-10, -1, 1, 10])
        if shown != right:
            wrong.append(index + 1)
        answers.append((left, right, shown))
        x, y = (160 + 520 * (index % 2), 230 + 130 * (index // 2)) if two else (160, 220 + 95 * index)
        canvas.write(x, y, f"{index + 1}. {left}={shown}", 46, "#225")
    canvas.write(800, 1260, f"{score}分", 64, "#d22")
    pick = wrong[0] if wrong else 4
    left, right, _ = answers[pick - 1]
    asked: list[Question] = [
        (rng.choice(["哪几题做错了？", "哪些题不对", "帮我检查一下有没有错的"]), [str(n) for n in wrong] or ["正确"]),
        (
            rng.choice([f"第{pick}题的正确答案是多少？", f"第{pick}题对吗？答案应该是几"]),
            [str(right) if wrong else "正确"],
        ),
        (rng.choice(["得了多少分？", "考了几分"]), [str(score)]),
        ("做对了几道题？", [str(10 - len(wrong))]),
        (rng.choice(["这是谁的作业？", "学生叫什么名字"]), [name]),
    ]
    return Scene(
        "homework",
        "口算作业",
        canvas.picture,
        ["计算练习", name, f"{score}分", *(f"{left}={shown}" for left, _, shown in answers)],
        asked,
    )


def photo(rng: random.Random) -> Scene:
    canvas = Canvas(1500, 1000)
    sky = rng.choice([(90, 140, 220), (240, 170, 110), (60, 60, 110)])
    for y in range(1000):
        shade = tuple(min(255, round(c * (0.6 + 0.5 * y / 1000))) for c in sky)
        canvas.pen.line((0, y, 1500, y), shade)
    for _ in range(6):
        x, top = rng.randint(0, 1500), rng.randint(350, 650)
        canvas.pen.polygon([(x - 300, 1000), (x, top), (x + 300, 1000)], (40, rng.randint(60, 120), 60))
    asked: list[Question] = [
        ("图里有没有文字？", ["没有"]),
        ("图片的分辨率是多少", ["1500×1000"]),
        ("山上有几个人？", ["无人"]),
    ]
    return Scene("photo", "无文字照片", canvas.picture.filter(ImageFilter.GaussianBlur(4)), [], asked, quality=85)


def long_page(rng: random.Random) -> Scene:
    canvas = Canvas(1080, 6000)
    people, money, trees, left = rng.randint(30, 400), rng.randint(100, 900), rng.randint(20, 300), rng.randint(5, 60)
    phone, street, leader = (
        f"0{digits(rng, 3)}-{digits(rng, 8)}",
        rng.choice(["杨柳街", "东风巷", "河湾里"]),
        person(rng),
    )
    month = rng.randint(2, 11)
    parts = [
        (
            "活动概况",
            f"本次{street}春季义诊共有{people}人参加，其中老人占六成。现场由{leader}主任带队，免费测量血压和血糖。",
        ),
        ("经费使用", f"整个项目预算为{money + left}万元，实际花费{money}万元，剩余{left}万元全部用于购买急救设备。"),
        ("绿化与照明", f"沿线补种香樟{trees}棵，更换路灯{trees // 2}盏，电费比去年下降了{left}%。"),
        ("下一步", f"排水管道改造将于2026年{month}月开工，预计工期45天。因为雨季提前，施工时间比原计划推迟两周。"),
        ("联系方式", f"有意见请拨打社区热线{phone}，工作日9点到17点有人接听。"),
    ]
    y = canvas.wrap(50, 150, f"{street}社区这半年做了哪些事", 56, 980)
    canvas.write(50, y + 10, f"{street}社区 2025-10-08", 30, "#888")
    y += 120
    for title, text in parts:
        canvas.write(50, y, title, 46)
        y = canvas.wrap(50, y + 90, text, 38, 980)
        canvas.pen.rectangle((50, y + 20, 1030, y + 520), "#9fb7c9")
        y += 640
    asked: list[Question] = [
        (rng.choice(["有多少人参加义诊？", "义诊来了几人"]), [str(people)]),
        ("实际花费多少，剩余多少？", [str(money), str(left)]),
        (rng.choice(["补种了多少棵树？", "香樟种了几棵"]), [str(trees)]),
        (rng.choice(["更换了几盏路灯？", "路灯换了多少盏"]), [str(trees // 2)]),
        (rng.choice(["社区热线是多少？", "有意见打什么电话？"]), [phone]),
        (rng.choice(["排水改造什么时候开工？", "排水管道几月开工"]), [f"{month}月"]),
        ("施工为什么推迟？", ["雨季"]),
        ("谁带队的？", [leader]),
    ]
    return Scene(
        "long_page",
        "长截图 1080×6000",
        canvas.picture,
        [str(people), f"{money}万元", f"{trees}棵", phone, leader],
        asked,
    )


def icon(rng: random.Random) -> Scene:
    name, colour = rng.choice(
        [("红", "#e53935"), ("绿", "#2e9e4f"), ("橙", "#f57c00"), ("紫", "#7e3fb8"), ("蓝", "#1976d2")]
    )
    canvas = Canvas(48, 48)
    canvas.pen.rounded_rectangle((0, 0, 47, 47), 10, colour)
    canvas.pen.polygon([(16, 12), (36, 24), (16, 36)], "white")
    asked: list[Question] = [
        (rng.choice(["图标主色是什么？", "这个图标是什么颜色？"]), [name]),
        ("这个图标像什么？", ["播放"]),
    ]
    return Scene("icon", "极小图标 48×48", canvas.picture, [], asked)


SCENES: tuple[Callable[[random.Random], Scene], ...] = (
    error_page,
    order_page,
    product_card,
    lab_report,
    comic,
    partial(chart, way="bar"),
    partial(chart, way="lying"),
    partial(chart, way="line"),
    partial(chart, way="pie"),
    chat_page,
    invoice,
    homework,
    photo,
    long_page,
    icon,
)


def draw(seed: int, folder: Path) -> Path:
    """Draw all scenes for a seed into a folder; returns the folder."""
    facts: list[dict[str, Any]] = []
    for index, make in enumerate(SCENES):
        scene = make(random.Random(f"{seed}-{index}"))
        file = f"{scene.name}.{'jpg' if scene.quality else 'png'}"
        scene.picture.save(folder / file, **({"quality": scene.quality} if scene.quality else {}))
        facts.append(scene.facts(file))
    (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1), encoding="utf-8")
    return folder
