"""Order digests in chat: said, repeated back with its next dates, confirmed by a yes.

Anchored: what begins with a repeated time and ends with what is to be posted is an order ("每天18:00发今天的群日报"),
what only asks about such a time is none ("每天18:00的天气怎么样"). `/订阅` takes anything. A yes counts only where an
order of the same person waits and nothing else was talked about since.
"""

from __future__ import annotations

import re
from dataclasses import replace

from bot.chinese_time import EXAMPLES
from bot.errors import BadSchedule
from bot.event import Conversation, MessageEvent, Reply
from bot.handler import PASS, Context, Handlers
from bot.message import Image, Quote, Text
from bot.orders import Listed, Orders, zone
from bot.references import names_pictures, resolve
from bot.schedule import NO_CALENDAR, Schedule
from bot.subscription import Kind, Subscription
from handlers.subscribe_wish import NAMED, SUPPORT, Wish, order, wish

on = Handlers()

_YES = frozenset("是 是的 对 对的 好 好的 行 可以 没错 嗯 确认 确定 确认订阅 就这样 ok OK Ok".split())
#: Says which question it answers, whatever was talked about since.
_SURE = frozenset("确认 确认订阅".split())
_NO = frozenset("不 不是 不要 不用 不用了 不了 否 取消 算了 先不 先不用 不对 不要了".split())
_STOP = re.compile(
    r"(?:请|帮我|麻烦)?(?:取消|停掉|停止|停发|关闭|退订|不要再?发|别再?发)(?:每天|每日|每周|每月)?的?"
    rf"(?P<what>{SUPPORT}|{NAMED}|订阅|推送|定时推送)的?(?:订阅|推送)?了?吧?"
)
_LIST = frozenset("订阅列表 我的订阅 查看订阅 有哪些订阅 列出订阅".split())
_SLASH = re.compile(r"/(?:(?P<off>退订|unsubscribe)|订阅|subscribe)(?:@\S+)?(?:\s+(?P<rest>.+))?", re.S | re.I)
_CANCEL = re.compile(r"(?:(?:取消|退订|cancel)\s*)?[#№]?(?P<id>\d{1,9})|(?:取消|退订|cancel)")
_HELP = f"""写法：/订阅 时间 内容，例如
/订阅 每天18:00 群日报
/订阅 每周五17点 客服问题
/订阅 工作日早上九点半 https://example.com/feed
/订阅 每周一9点 写一句本周的鼓励
/订阅 列表，/订阅 取消 编号
时间可以是：{EXAMPLES}。"""
_TITLES: dict[Kind, str] = {"group": "群日报", "support": "客服小结", "feeds": "资讯摘要", "prompt": "定时内容"}
_WEEK = "一二三四五六日"
_LONGEST_PROMPT = 500
_MOST_FEEDS = 10
_LEAST_MINUTES = 60


def _bare(event: MessageEvent) -> str:
    return event.message.text.strip().rstrip("。.!！~ ")


def _orders(event: MessageEvent) -> bool:
    """Only its form: what is in it is judged later, by the zone and the calendar of the configuration."""
    text = _bare(event)
    if not event.to_me or len(text) > _LONGEST_PROMPT + 100:
        return False
    if _SLASH.fullmatch(text) or text in _LIST or _STOP.fullmatch(text):
        return True
    try:
        return wish(text, zone("UTC"), NO_CALENDAR) is not None
    except BadSchedule:
        return True


@on.message(_orders)
async def subscribe(event: MessageEvent, context: Context) -> Reply | None:
    """List, cancel, or repeat an order back."""
    if context.orders is None:
        return _say("这里没有运行中的服务，不能订阅。")
    text = _bare(event)
    slash = _SLASH.fullmatch(text)
    rest = (slash["rest"] or "").strip() if slash else ""
    if stop := _STOP.fullmatch(text):
        return await _stop(event, context, context.orders, stop["what"])
    if text in _LIST or (slash and rest in ("", "列表", "list")):
        return await _list(event, context.orders, helped=bool(slash) and not rest)
    number = _CANCEL.fullmatch(rest) if slash else None
    if number or (slash and slash["off"]):
        id = number["id"] if number else None
        return await (_cancel(int(id), event, context, context.orders) if id else _list(event, context.orders))
    return await _repeat_back(event, context, context.orders, rest)


@on.message(lambda event: event.to_me and not event.message.images and _bare(event) in _YES | _NO)
async def confirm(event: MessageEvent, context: Context) -> Reply | None:
    """A yes or a no, where it answers an order that was repeated back."""
    if context.orders is None:
        return PASS
    text, waiting = _bare(event), await context.orders.proposal(context.session)
    if waiting is None:
        known = await context.orders.confirmed_by(event)
        return PASS if known is None else _confirmed(known.id, known.subscription, context.orders)
    if waiting.subscription.owner != event.sender.id:
        return PASS
    if text not in _SURE and _last_turn(context) != waiting.turn_id:
        return PASS
    if text in _NO:
        await context.orders.withdraw(context.session)
        return _say("好的，没有订阅。")
    made = await context.orders.confirm(context.session, event)
    return PASS if made is None else _confirmed(made.id, made.subscription, context.orders)


# ---------------------------------------------------------------------- orders


async def _repeat_back(event: MessageEvent, context: Context, orders: Orders, rest: str) -> Reply:
    try:
        text = rest or _bare(event)
        found = (order if rest else wish)(text, orders.zone, orders.calendar)
    except BadSchedule as error:
        return _say(str(error))
    if found is None:
        return _say(f"没看懂要什么时候发。\n{_HELP}")
    pictures = _pinned(event, context) if found.kind == "prompt" else ()
    refused = await _refused(found, event, context, orders)
    if refused:
        return _say(refused)
    wanted = Subscription(
        "",
        _place(event),
        found.kind,
        _title(found),
        found.schedule.text,
        found.schedule.zone.key,
        owner=event.sender.id,
        sources=found.sources,
        prompt=found.prompt,
        pictures=pictures,
    )
    await orders.propose(context.session, wanted, _last_turn(context))
    return _say(_proposal(wanted, found.schedule, orders))


async def _refused(found: Wish, event: MessageEvent, context: Context, orders: Orders) -> str:
    """Why this may not be ordered here; empty: it may."""
    where = event.conversation
    if orders.admin_only and not context.admin:
        return "这里只有管理员可以订阅。"
    if found.kind == "support" and not context.admin:
        # It sums up what other people asked the bot, in whatever conversation.
        return "客服小结会汇总所有客服会话，只有管理员可以订阅。"
    if found.kind == "group" and where.chat_type == "private":
        return "私聊里没有群消息可以汇总，请到群里对我说。"
    if found.schedule.least_gap < _LEAST_MINUTES:
        return "太密了，最密每小时一次。"
    if len(found.prompt) > _LONGEST_PROMPT:
        return f"要求太长了，最多 {_LONGEST_PROMPT} 字。"
    if len(found.sources) > _MOST_FEEDS:
        return f"网址太多了，一份最多 {_MOST_FEEDS} 个。"
    if sum(one.id > 0 for one in await orders.at(_place(event))) >= orders.per_conversation:
        return f"这里已经有 {orders.per_conversation} 份订阅了，请先取消一些。"
    return ""


def _pinned(event: MessageEvent, context: Context) -> tuple[Image, ...]:
    """The pictures that came along, or that the words mean."""
    parts = event.message.parts
    sent = tuple(part for part in parts if isinstance(part, Image))
    quoted = tuple(image for part in parts if isinstance(part, Quote) for image in part.message.images)
    if sent or quoted or names_pictures(event.message.text):
        return resolve(event.message.text, sent, context.memory.pictures, quoted, context.memory.focus).images
    return ()


def _title(found: Wish) -> str:
    if found.kind == "prompt":
        return found.prompt if len(found.prompt) <= 16 else f"{found.prompt[:15]}…"
    weekly = (
        found.kind == "group" and found.schedule.days.weekdays is not None and len(found.schedule.days.weekdays) == 1
    )
    monthly = found.kind == "group" and found.schedule.days.monthdays is not None
    return "群周报" if weekly else "群月报" if monthly else _TITLES[found.kind]


def _proposal(wanted: Subscription, schedule: Schedule, orders: Orders) -> str:
    here = "本群" if wanted.conversation.chat_type == "group" else "这里"
    reply = "请 @我 回复" if wanted.conversation.chat_type == "group" else "请回复"
    dates: list[str] = []
    moment = orders.now()
    for _ in range(3):
        moment = schedule.next(moment)
        dates.append(f"· {moment:%Y-%m-%d}（周{_WEEK[moment.weekday()]}）{moment:%H:%M}")
    lines = [f"{schedule.shown} 在{here}发“{wanted.title}”，对吗？接下来三次：", *dates]
    lines += [f"内容来自：{address}" for address in wanted.sources]
    if wanted.pictures:
        lines.append(f"带上 {len(wanted.pictures)} 张图片。")
    lines.append(f"{reply}“确认”开始，或“取消”作罢（10 分钟内有效）。")
    return "\n".join(filter(None, (*lines, orders.caveat(wanted.conversation))))


def _confirmed(id: int, wanted: Subscription, orders: Orders) -> Reply:
    schedule = orders.schedule(wanted)
    first = schedule.next(orders.now())
    return _say(
        f"已订阅（编号 {id}）：{schedule.shown} 发“{wanted.title}”，第一次是 {first:%Y-%m-%d %H:%M}。"
        f"不要了就发“/订阅 取消 {id}”。"
    )


# ------------------------------------------------------------- list and cancel


async def _list(event: MessageEvent, orders: Orders, *, helped: bool = False) -> Reply:
    found = await orders.at(_place(event))
    if not found:
        return _say(f"这里还没有订阅。\n{_HELP}")
    lines = [_line(one, orders) for one in found]
    return _say("\n".join(["这里的订阅：", *lines, *([_HELP] if helped else ["取消：/订阅 取消 编号"])]))


def _line(one: Listed, orders: Orders) -> str:
    try:
        schedule = orders.schedule(one.subscription)
    except BadSchedule as error:
        return f"编号 {one.id}　{one.subscription.title}　时间不能用了：{error}"
    number = f"编号 {one.id}" if one.id else "管理员配置"
    line = f"{number}　{schedule.shown}　{one.subscription.title}　下次 {schedule.next(orders.now()):%m-%d %H:%M}"
    return f"{line}\n　　上次没有发出去：{one.error[:120]}" if one.error else line


async def _stop(event: MessageEvent, context: Context, orders: Orders, what: str) -> Reply:
    """By its name: one is cancelled, of several the number is asked for."""
    kind: Kind | None = None if what in ("订阅", "推送", "定时推送") else "group"
    if re.fullmatch(SUPPORT, what):
        kind = "support"
    found = [one for one in await orders.at(_place(event)) if one.id and kind in (None, one.subscription.kind)]
    if not found:
        return _say("这里没有这样的订阅。")
    if len(found) > 1:
        return _say(
            "\n".join(["有好几份，取消哪一份？", *(_line(one, orders) for one in found), "请发：/订阅 取消 编号"])
        )
    return await _cancel(found[0].id, event, context, orders)


async def _cancel(id: int, event: MessageEvent, context: Context, orders: Orders) -> Reply:
    found = await orders.find(id)
    mine = found is not None and (found.subscription.conversation == _place(event) or context.admin)
    if found is None or not mine:
        return _say(f"这里没有编号 {id} 的订阅。")
    if not (context.admin or found.subscription.owner == event.sender.id):
        return _say("只有订阅的人或管理员可以取消。")
    await orders.cancel(id)
    return _say(f"已取消编号 {id} 的订阅“{found.subscription.title}”。")


def _place(event: MessageEvent) -> Conversation:
    """The whole conversation: a digest belongs to no thread."""
    return replace(event.conversation, thread_id="")


def _last_turn(context: Context) -> int:
    return context.memory.turn_ids[-1] if context.memory.turn_ids else 0


def _say(text: str) -> Reply:
    return Reply((Text(text),), remember=False, reason="指令")
