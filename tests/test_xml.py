"""XML from strangers."""

from __future__ import annotations

import pytest

from bot import xml
from bot.errors import Rejected


def test_the_spelling_of_a_document_does_not_matter() -> None:
    one = b"<xml><Content><![CDATA[a<b]]></Content><MsgId>7</MsgId></xml>"
    two = (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<xml><!-- x --><Unknown><Deep>1</Deep></Unknown>\n<MsgId>7</MsgId>'
        b"<Content><![CDATA[a]]><!-- y -->&lt;<![CDATA[b]]></Content></xml>"
    )
    for body in (one, two, one.decode().encode("utf-16")):
        data = xml.decode(body)
        assert (data["Content"], xml.number(data, "MsgId", most=10)) == ("a<b", 7)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not xml",
        b"<xml><a></xml>",
        b"<!DOCTYPE xml><xml/>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><xml><Content>&a;</Content></xml>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><xml>&a;</xml>'.encode("utf-16"),
        b"<xml><Content>\xff\xfe</Content></xml>",
        b"<xml><Content>&#xD800;</Content></xml>",
        b'<?xml version="1.0" encoding="no-such-code"?><xml/>',
        b'<?xml version="1.0" encoding="gb2312"?><xml>\xb0\xa1</xml>',
        b"<xml>" + b"<a>" * 100_000,
    ],
)
def test_what_is_no_honest_document_is_malformed(body: bytes) -> None:
    with pytest.raises(Rejected) as error:
        xml.decode(body)
    assert error.value.reason == "malformed"


def test_the_words_of_a_document_type_may_be_said() -> None:
    body = "<xml><Content><![CDATA[怎么写 <!DOCTYPE html> 和 <!ENTITY>？]]></Content></xml>".encode()
    assert xml.decode(body)["Content"] == "怎么写 <!DOCTYPE html> 和 <!ENTITY>？"


def test_numbers_are_digits() -> None:
    for text in ("", "-1", "1.0", "１", "1_0", "0x1", "99999999999999999999999"):
        with pytest.raises(Rejected):
            xml.number({"N": text}, "N", most=10**12)


def test_what_is_written_is_read_back() -> None:
    said = "a ]]> b <xml> & \x00\x08 图\U0001f600"
    assert xml.decode(xml.encode({"Content": said, "CreateTime": 5})) == {
        "Content": "a ]]> b <xml> &  图\U0001f600",
        "CreateTime": "5",
    }
