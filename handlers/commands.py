"""Commands: anchored words that need no model. The table is also what /帮助 shows.

A message is a command only as a whole: "/重置" or "重置对话", never "重置密码要多久".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bot.errors import ConfigError
from bot.event import MessageEvent, Reply, SessionChange
from bot.handler import Context, Handlers
from bot.message import Text

on = Handlers()

Run = Callable[[MessageEvent, Context, str], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Command:
    """names: the first is shown; matched without the slash too where `bare` lists the word. admin: admins only."""

    names: tuple[str, ...]
    help: str
    run: Run
    bare: tuple[str, ...] = ()
    admin: bool = False


_COMMANDS: list[Command] = []


def _command(names: str, help: str, bare: str = "", *, admin: bool = False) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        _COMMANDS.append(Command(tuple(names.split()), help, run, tuple(bare.split()), admin))
        return run

    return register


def find(text: str) -> tuple[Command, str] | None:
    """The command that a whole message is, and its argument."""
    words = text.strip()
    for command in _COMMANDS:
        if words.rstrip("。.!！~ ") in command.bare:
            return command, ""
    match = re.fullmatch(r"/(\S+?)(?:@\S+)?(?:\s+(.{1,40}))?", words)
    if match is None:
        return None
    for command in _COMMANDS:
        if match[1].lower() in command.names:
            return command, (match[2] or "").strip()
    return None


@on.message(lambda event: event.to_me and find(event.message.text) is not None)
async def run(event: MessageEvent, context: Context) -> Reply | None:
    """Carry out a command; what only admins may do is refused to others."""
    found = find(event.message.text)
    assert found is not None
    command, argument = found
    if command.admin and not context.admin:
        return _say("这个指令只有管理员可以用。")
    return await command.run(event, context, argument)


@_command("帮助 help start", "显示这份说明", "帮助 使用帮助 菜单 功能列表 指令列表 help")
async def _help(event: MessageEvent, context: Context, argument: str) -> Reply:
    shown = [command for command in _COMMANDS if context.admin or not command.admin]
    lines = [f"/{command.names[0]}　{command.help}" for command in shown]
    return _say("发图片和问题给我就行；多张图片按 图1、图2 编号，可以说“图2的金额”。\n" + "\n".join(lines))


@_command("重置 reset new clear", "开始新话题（图片编号保留）", "重置 重置对话 重置会话 清空对话 新对话 开启新对话")
async def _reset(event: MessageEvent, context: Context, argument: str) -> Reply:
    return _say("好的，已开始新的话题。", SessionChange(focus=(), forget="history"))


@_command("忘记 forget", "删除我们的全部对话和图片", "忘记 清空记忆 删除聊天记录 清空聊天记录")
async def _forget(event: MessageEvent, context: Context, argument: str) -> Reply:
    return _say("已删除这里的对话、图片和摘要。", SessionChange(forget="everything"))


_MODELS = {"auto": "自动", "light": "轻模型", "heavy": "重模型"}
_CHOICES = {"auto": "auto", "自动": "auto", "light": "light", "轻": "light", "heavy": "heavy", "重": "heavy"}


@_command("模型 model", "选择模型：/模型 auto、light 或 heavy")
async def _model(event: MessageEvent, context: Context, argument: str) -> Reply:
    choice = _CHOICES.get(argument.lower())
    if choice is None:
        return _say(f"现在是{_MODELS[context.memory.model]}。可以用 /模型 auto、/模型 light 或 /模型 heavy 切换。")
    return _say(f"已切换为{_MODELS[choice]}。", SessionChange(model=choice))


@_command("状态 status", "模型、排队和上下文的情况", "查看状态")
async def _status(event: MessageEvent, context: Context, argument: str) -> Reply:
    light, heavy = context.engines.engine("light"), context.engines.engine("heavy")
    lines = [
        f"模型：{_MODELS[context.memory.model]}（轻 {light.name}，重 {heavy.name}）",
        f"上下文：{len(context.memory.history) // 2} 轮，{len(context.memory.pictures)} 张图片"
        f"，最多 {light.context_tokens} 词元",
    ]
    lines += [
        f"{name}：{state}"
        for name, state in (("轻模型", light.state()), ("重模型", "" if heavy is light else heavy.state()))
        if state
    ]
    if context.facts is not None:
        lines.append(f"待处理：{(await context.facts.counts())['pending']} 条")
    return _say("\n".join(lines))


@_command("图片 images", "列出编号的图片", "图片列表")
async def _pictures(event: MessageEvent, context: Context, argument: str) -> Reply:
    if not context.memory.pictures:
        return _say("这里还没有图片。")
    lines = [
        f"图{known.image.index}　{known.image.width}×{known.image.height}　{known.description}".rstrip()
        for known in context.memory.pictures
    ]
    return _say("\n".join(lines))


@_command("撤回报告 withdraw", "撤回最近一篇报告：网页打不开，也不再发文件", "撤回报告 撤回这篇报告 撤回上一篇报告")
async def _withdraw(event: MessageEvent, context: Context, argument: str) -> Reply:
    latest = await context.reports.latest(context.session) if context.reports else None
    if latest is None or latest.report is None:
        return _say("没有可以撤回的报告。" if latest is None else "最近的报告已经撤回了。")
    return _say(f"已撤回《{latest.report.title}》，它的网页打不开了。", SessionChange(withdraw=latest.report.id))


@_command("额度 quota", "今天还能问多少", "查看额度 剩余额度 我的额度")
async def _quota(event: MessageEvent, context: Context, argument: str) -> Reply:
    return _say(await context.limiter.report(event) if context.limiter else "这里不限用量。")


@_command("人工 human", "转人工", "转人工 人工 人工客服 转人工客服")
async def _human(event: MessageEvent, context: Context, argument: str) -> Reply:
    return replace(_say("已记下：这里需要人工处理，请稍候，会有同事来看。"), handover=True)


@_command("封禁 ban", "不再回答某人：/封禁 feishu/ou_x，或加天数", admin=True)
async def _ban(event: MessageEvent, context: Context, argument: str) -> Reply:
    name, _, days = argument.partition(" ")
    days = days.strip()
    if context.limiter is None or not name or (days and not (days.isascii() and days.isdecimal())):
        return _say("写法：/封禁 平台/用户编号，或 /封禁 平台/用户编号 天数。")
    try:
        await context.limiter.ban(name, float(days) if days else None, event)
    except ConfigError:
        return _say("这不是一个能封禁的名字，写法如 feishu/ou_x 或 feishu/group/oc_x。")
    return _say(f"已封禁 {name}" + (f"，{days} 天后解除。" if days else "。"))


@_command("解封 unban", "解除封禁：/解封 feishu/ou_x", admin=True)
async def _unban(event: MessageEvent, context: Context, argument: str) -> Reply:
    try:
        known = context.limiter is not None and await context.limiter.unban(argument)
    except ConfigError:
        known = False
    return _say("已解封。" if known else "没有封禁这个名字。")


@_command("统计 stats", "积压和死信的数量", admin=True)
async def _stats(event: MessageEvent, context: Context, argument: str) -> Reply:
    if context.facts is None:
        return _say("这里没有运行中的服务。")
    counts = await context.facts.counts()
    return _say(
        f"待处理 {counts['pending']} 条，死信 {counts['dead_events']} 条，"
        f"发送失败或不明 {counts['doubtful_deliveries']} 条。"
    )


@_command("死信 dead", "列出没能回答或发出的消息", admin=True)
async def _dead(event: MessageEvent, context: Context, argument: str) -> Reply:
    letters = [] if context.facts is None else await context.facts.dead_letters(20)
    if not letters:
        return _say("没有死信。")
    return _say("\n".join(f"{letter.kind}/{letter.id}　{letter.state}　{letter.error[:60]}" for letter in letters))


@_command("重试 retry", "重试一封死信：/重试 event/12", admin=True)
async def _retry(event: MessageEvent, context: Context, argument: str) -> Reply:
    kind, _, number = argument.partition("/")
    known = kind in ("event", "delivery") and number.isascii() and number.isdecimal()
    if not known or context.facts is None or not await context.facts.retry_dead(kind, int(number)):
        return _say("没有这封死信。用 /死信 查看编号。")
    return _say("已重新排队。")


def _say(text: str, change: SessionChange | None = None) -> Reply:
    """A command's answer; neither it nor the command goes to the history."""
    return Reply((Text(text),), change=change or SessionChange(), remember=False, reason="指令")
