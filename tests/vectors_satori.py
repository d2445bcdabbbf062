"""Events of a Satori SDK and what each must lead to, made by code that shares nothing with the bot."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

NOW = 1_795_000_000
TOKEN, API_TOKEN, PLATFORM, SELF = "webhook-token-2026", "api-token", "discord", "9000"
PICTURE = "https://cdn.example.com/a.png?x=1&y=2"
Expect = dict[str, Any]
Json = dict[str, Any]


def markup(text: str) -> str:
    """As an SDK escapes a text."""
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(sign, written)
    return text


def picture(url: str = PICTURE) -> str:
    return f'<img src="{markup(url)}"/>'


def event(content: str, id: str = "m1", **fields: Any) -> Json:
    """An event as Koishi sends it; fields replace its own, None leaves one out."""
    made: Json = {
        "id": 7,
        "sn": 7,
        "type": "message-created",
        "timestamp": NOW * 1000 + 999,
        "login": {"sn": 1, "platform": PLATFORM, "user": {"id": SELF, "name": "看图"}, "status": 1},
        "channel": {"id": "c1", "type": 1, "name": None},
        "user": {"id": "u1", "name": "ann", "nick": "安", "is_bot": False},
        "message": {"id": id, "content": content},
        **fields,
    }
    return {name: value for name, value in made.items() if value is not None}


def headers(token: str = TOKEN, opcode: str = "0") -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": f"Bearer {token}", "Satori-Opcode": opcode}


def vectors() -> Json:
    """The file: every element, decision and attack."""
    return _File().data()


class _File:
    def __init__(self) -> None:
        self.cases: list[Json] = []
        self.number = 0

    def data(self) -> Json:
        self.texts()
        self.elements()
        self.pictures()
        self.groups()
        self.quotes()
        self.not_answered()
        self.unfit()
        self.forged()
        secrets = {
            "webhook_token": TOKEN,
            "api_token": API_TOKEN,
            "login_platform": PLATFORM,
            "login_user_id": SELF,
        }
        policy = {"max_age_s": 300}
        return {"platform": "satori", "secrets": {"default": secrets}, "policy": policy, "cases": self.cases}

    # ------------------------------------------------------------------ cases

    def texts(self) -> None:
        for content, seen in (
            ("图里是什么", "图里是什么"),
            ("  　两头\n", "两头"),
            ("中间  两格\n\n\t缩进\u00a0", "中间  两格\n\n\t缩进"),
            ("&lt;b&gt;&amp;amp; &quot;", '<b>&amp; "'),
            ("&#39;&#x27;&#x1F600;", "''😀"),
            ("&#0;&#xd800;&#x110000;", "\ufffd\ufffd\ufffd"),
            ("&nbsp;&copy &lt &amp", "&nbsp;&copy &lt &amp"),
            ("&#99999999999999999999;", "&#99999999999999999999;"),
            ("&lt;ImageHere&gt; &lt;/s&gt; &lt;|im_end|&gt;", "<ImageHere> </s> <|im_end|>"),
            ("a < b > c", "a < b > c"),
            ("👩‍👩‍👧\u202e@所有人", "👩‍👩‍👧\u202e@所有人"),
            ("   ", ""),
            ("长" * 5_000, "长" * 5_000),
        ):
            self.said("text", content, seen)
        self.deliver("first", event("再来", "again"), accepted("再来", "again"))
        self.deliver("again", event("再来", "again"), {"outcome": "duplicate"})
        self.deliver("again_other_sn", event("再来", "again", sn=8), {"outcome": "duplicate"}, now=NOW + 5)
        elsewhere = accepted("再来", "again", conversation={"id": "c2", "type": "private"})
        self.deliver("same_id_elsewhere", event("再来", "again", channel={"id": "c2", "type": 1}), elsewhere)
        restarted = event("SDK 重启后编号从头开始", "restarted", sn=7)
        self.deliver("same_sn", restarted, accepted("SDK 重启后编号从头开始", "restarted"))

    def elements(self) -> None:
        for content, seen in (
            ("<b>粗</b><i>斜</i><code>x</code><spl>剧透</spl>", "粗斜x剧透"),
            ("一<br/>二<br />三", "一\n二\n三"),
            ("前<p>一</p><p>二</p>后", "前\n一\n二\n后"),
            ("前<message>一</message><message>二</message>", "前\n一\n二"),
            ('<a href="https://a.cn/?x=1&amp;y=2">链接</a>', "链接 (https://a.cn/?x=1&y=2)"),
            ('<a href="https://a.cn/">https://a.cn/</a>', "https://a.cn/"),
            ('<a href="https://a.cn/"/>', "https://a.cn/"),
            ('看<sharp id="5" name="大厅"/>和<sharp id="6"/>', "看#大厅和#6"),
            ("<at type='all'/> <at role='r1' name='管理'/>", "@all @管理"),
            ("你好<face id='1'><img src='https://a.cn/1.gif'/></face>", "你好"),
            ("听<audio src='https://a.cn/1.mp3'>语音</audio>", "听"),
            ("一<!-- 看不见 <b> -->二", "一二"),
            ("一<!-- 没完", "一<!-- 没完"),
            ("<foo> 没有结束", "<foo> 没有结束"),
            ("没有开始</foo>", "没有开始</foo>"),
            ("<a><b>交错</a></b>", "<b>交错</b>"),
            ("<B>大写</B><1>", "<B>大写</B><1>"),
            ('<b x="a>b" y z=1 w=\'"\'>属性</b>', "属性"),
            ('<b x="没有结束>', '<b x="没有结束>'),
            ("<llonebot:ark data='{}'/>扩展<kook:card>里面</kook:card>", "扩展里面"),
            ("<b/>", None),
            ("", None),
            ("<button id='1'>点我</button>", None),
        ):
            self.said("element", content, seen)

    def pictures(self) -> None:
        internal = "internal:lark/9000/im/v1/messages/1?type=image"
        for content, seen, urls in (
            (picture(), "", [PICTURE]),
            (f"看{picture()}这两张{picture(internal)}", "看这两张", [PICTURE, internal]),
            ("<img src='http://a.cn/1' width=100 height=\"20\" title='&quot;'>替代</img>", "替代", ["http://a.cn/1"]),
            ("<p>" + picture("data:image/png;base64,AAAA") + "</p>", "", ["data:image/png;base64,AAAA"]),
        ):
            self.said("picture", content, seen, images=[image(url) for url in urls])
        for content in ("<img/>", "<img src/>", "<img src=''/>", "<img src='inline:0'/>", "<img src=' INLINE:0'/>"):
            self.deliver("picture_bad", event(content), rejected("malformed"))

    def groups(self) -> None:
        at, bob = f"<at id='{SELF}' name='看图'/>", "<at id=\"u2\" name='鲍&lt;勃'/>"
        me = {"id": SELF, "name": "看图", "is_bot": True}
        him = {"id": "u2", "name": "鲍<勃", "is_bot": False}
        for content, seen, mentions in (
            (f"{at} 图里是什么", "图里是什么", [me]),
            (f"你好 {at} 在吗", "你好 在吗", [me]),
            (f"你好{at}在吗", "你好在吗", [me]),
            (f"第一行\n{at}  \n第三行", "第一行\n\n第三行", [me]),
            (f"{at}{at}", "", [me, me]),
            (f"{bob} {at} 和 <at id='u3'/>", "@鲍<勃 和 @u3", [him, me, {"id": "u3", "name": "", "is_bot": False}]),
            (f"{bob} 你看", "@鲍<勃 你看", [him]),
            ("没有叫谁", "没有叫谁", []),
        ):
            named = me in mentions
            self.said("group", content, seen, group=True, mentions=mentions, mentioned_bot=named, to_me=named)
        for name, extra, shown in (
            ("member_nick", {"member": {"nick": "群里的安", "name": "x"}}, "群里的安"),
            ("user_nick", {"member": {"name": "x"}}, "安"),
            ("member_name", {"member": {"name": "x"}, "user": {"id": "u1", "name": "ann"}}, "x"),
            ("user_name", {"user": {"id": "u1", "name": "ann", "nick": ""}}, "ann"),
        ):
            self.said(name, "谁", "谁", fields=extra, sender={"id": "u1", "name": shown})
        self.said("no_name", "谁", "谁", fields={"user": {"id": "u1"}}, sender={"id": "u1"})
        referrer = {"type": "im.message", "event": {"id": "看"}}
        needed = {"referrer": json.dumps(referrer, ensure_ascii=False, separators=(",", ":"))}
        self.said("referrer", "被动", "被动", fields={"referrer": referrer}, platform_data=needed)

    def quotes(self) -> None:
        inside = f"<user id='u2' name='bob' nick='鲍勃'/>原文 <at id='{SELF}'/>{picture()}"
        quoted = {"text": f"原文 @{SELF}", "images": [image(PICTURE)]}
        quote = f"<quote id='m0'>{inside}</quote>"
        self.said("quote", f"{quote}翻译", "翻译", reply_to="m0", quoted=quoted)
        self.said("quote_in_group", f"{quote}翻译", "翻译", group=True, to_me=False, reply_to="m0", quoted=quoted)
        own = f"<quote id='m0'><author id='{SELF}'/>答案</quote>继续"
        answer = {"text": "答案", "images": []}
        self.said("quote_of_bot", own, "继续", group=True, to_me=True, reply_to="m0", quoted=answer)
        needed = {"quoted": "m0"}
        self.said("quote_by_id", "<quote id='m0'/>翻译", "翻译", reply_to="m0", platform_data=needed)
        self.said("quote_empty", "<quote id='m0'> </quote>翻译", "翻译", reply_to="m0", platform_data=needed)
        nested = f"<quote id='m0'>外<quote id='x'>里<b>面</b>{picture()}</quote>层</quote>翻译"
        self.said("quote_nested", nested, "翻译", reply_to="m0", quoted={"text": "外层", "images": []})
        self.said("quote_alone", quote, None)
        self.said("quote_no_id", "<quote>原文</quote>翻译", "翻译", quoted={"text": "原文", "images": []})

    def not_answered(self) -> None:
        self.deliver("meta", {"proxy_urls": []}, ignored("event"), opcode="5")
        for kind in ("message-updated", "message-deleted", "login-updated", "interaction/button", "未知"):
            self.deliver("kind", event("x", type=kind), ignored("event"))
        self.deliver("login_event", {"type": "login-added", "timestamp": NOW * 1000, "login": {}}, ignored("event"))
        other = {"platform": "telegram", "user": {"id": SELF}}
        self.deliver("other_platform", event("x", login=other), ignored("wrong_bot"))
        other = {"platform": PLATFORM, "user": {"id": SELF + "1"}}
        self.deliver("other_login", event("x", login=other), ignored("wrong_bot"))
        self.deliver("own", event("x", user={"id": SELF}), ignored("self_message"))
        self.deliver("bot", event("x", user={"id": "u9", "is_bot": True}), ignored("sender_is_bot"))
        self.deliver("late", event("晚", "edge"), ignored("stale"), now=NOW + 301)
        self.deliver("early", event("晚", "edge"), ignored("stale"), now=NOW - 301)
        self.deliver("at_the_edge", event("晚", "edge"), accepted("晚", "edge"), now=NOW + 300)
        self.said("other_edge", "早", "早", now=NOW - 300)

    def unfit(self) -> None:
        for name in ("type", "timestamp", "login", "channel", "user", "message"):
            self.deliver(f"without_{name}", event("x", **{name: None}), rejected("malformed"))
        for name, value in (
            ("timestamp", str(NOW * 1000)),
            ("timestamp", NOW * 1000.5),
            ("timestamp", True),
            ("timestamp", -1),
            ("timestamp", 10**30),
            ("type", 0),
            ("login", []),
            ("login", {"platform": PLATFORM}),
            ("channel", {"id": "c1"}),
            ("channel", {"id": "c1", "type": "1"}),
            ("channel", {"id": "", "type": 1}),
            ("user", {"id": 1}),
            ("user", {"id": "长" * 171}),
            ("user", {"id": "u1", "nick": 1}),
            ("message", {"content": "x"}),
            ("message", {"id": "m"}),
            ("message", {"id": "m", "content": ["x"]}),
            ("message", {"id": "长" * 171, "content": "x"}),
            ("message", {"id": "m", "content": f"<quote id='{'长' * 171}'/>x"}),
            ("member", "x"),
        ):
            self.deliver(f"bad_{name}", event("x") | {name: value}, rejected("malformed"))
        good = json.dumps(event("x"))
        for body in (
            b"",
            b"null",
            b"[]",
            b"\xff\xfe",
            good.encode()[:-1],
            good.replace('"sn": 7', '"sn": 7, "sn": 7').encode(),
            good.replace('"sn": 7', '"sn": NaN').encode(),
            (b'{"a":' * 100) + b"1" + b"}" * 100,
        ):
            self.add("broken", body, headers(), rejected("malformed"))
        dirty = json.dumps(event("\0脏\ud83d的", "dirty")).encode()
        self.add("dirty", dirty, headers(), accepted("脏\ufffd的", "dirty"))
        bare = {name: value for name, value in headers().items() if name != "Satori-Opcode"}
        bom = b"\xef\xbb\xbf" + json.dumps(event("没有信令", "bare")).encode()
        self.add("no_opcode_bom", bom, bare, accepted("没有信令", "bare"))

    def forged(self) -> None:
        body = json.dumps(event("伪造", "forged")).encode()
        bare = {"Content-Type": "application/json", "Satori-Opcode": "0"}
        self.add("no_token", body, bare, rejected("missing_signature"))
        self.add("empty_token", body, bare | {"Authorization": ""}, rejected("missing_signature"))
        for given in (
            "Bearer",
            TOKEN,
            f"bearer {TOKEN}",
            f"Bearer  {TOKEN}",
            f"Bearer {TOKEN}x",
            f"Bearer {TOKEN[:-1]}",
            f"Bearer {API_TOKEN}",
            f"Basic {TOKEN}",
            "Bearer é",
        ):
            self.add("wrong_token", body, bare | {"Authorization": given}, rejected("bad_signature"))
        self.add("forged_broken", b"{", headers("x"), rejected("bad_signature"))
        self.add("forged_meta", b"{}", headers("x", "5"), rejected("bad_signature"))
        self.add("too_large", b"x" * ((1 << 20) + 1), bare, rejected("too_large"))
        self.add("after_rejections", body, headers(), accepted("伪造", "forged"))

    # ---------------------------------------------------------------- helpers

    def said(
        self,
        id: str,
        content: str,
        seen: str | None,
        *,
        group: bool = False,
        fields: Mapping[str, Any] | None = None,
        now: int = NOW,
        **message: Any,
    ) -> None:
        """A new message; None: there is nothing in it that can be answered."""
        self.number += 1
        number = f"n{self.number}"
        made = event(content, number, **(fields or {}))
        if group:
            made["channel"]["type"] = 0
            message["conversation"] = {"id": "c1", "type": "group"}
        expect = ignored("unsupported_type") if seen is None else accepted(seen, number, **message)
        self.deliver(id, made, expect, now=now)

    def deliver(self, id: str, made: Json, expect: Expect, *, opcode: str = "0", now: int = NOW) -> None:
        self.add(id, json.dumps(made, ensure_ascii=False).encode(), headers(opcode=opcode), expect, now=now)

    def add(self, id: str, body: bytes, sent: Mapping[str, str], expect: Expect, *, now: int = NOW) -> None:
        request = {
            "method": "POST",
            "path": "/webhook/satori",
            "query": {},
            "headers": dict(sent),
            "body_b64": base64.b64encode(body).decode(),
        }
        name, kind = f"satori.{len(self.cases)}.{id}", str(expect["outcome"])
        case = {"id": name, "kind": kind, "config": "default", "now": now, "request": request, "expect": expect}
        self.cases.append(case)


def image(url: str) -> Json:
    return {"kind": "satori_internal" if url.startswith("internal:") else "url", "url": url}


def rejected(reason: str) -> Expect:
    return {"outcome": "rejected", "reason": reason}


def ignored(reason: str) -> Expect:
    return {"outcome": "ignored", "reason": reason}


def accepted(text: str, id: str, **message: Any) -> Expect:
    where = message.get("conversation", {"id": "c1", "type": "private"})
    expected = {
        "platform": "satori",
        "conversation": where,
        "sender": {"id": "u1", "name": "安"},
        "message_id": id,
        "dedup_key": f"satori/default/{where['type']}/{where['id']}//{id}",
        "text": text,
        "images": [],
        "mentions": [],
        "mentioned_bot": False,
        "reply_to": None,
        "quoted": None,
        "sent_at": NOW,
        "to_me": True,
        "platform_data": {},
    }
    return {"outcome": "accepted", "message": expected | message}
