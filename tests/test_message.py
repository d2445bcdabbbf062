"""Messages and events are pure values that survive JSON."""

from __future__ import annotations

from fakes import message_event
from hypothesis import given
from hypothesis import strategies as st
from msgspec.json import decode, encode

from bot.event import Conversation, Delivery, event_from_dict
from bot.message import Image, Mention, Message, Part, Quote, Text, user

_text = st.text(max_size=20)
_leaf: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _text),
    st.builds(Image, _text, _text, _text, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
    st.builds(Mention, _text, _text, st.booleans()),
)
_message = st.builds(lambda parts: Message("user", tuple(parts)), st.lists(_leaf, max_size=4))
_part: st.SearchStrategy[Part] = st.one_of(_leaf, st.builds(Quote, _message, _text))


@given(st.lists(_part, max_size=5), _text, _text)
def test_equal_content_is_an_equal_value_after_a_trip_through_json(parts: list[Part], chat: str, extra: str) -> None:
    event = message_event(1, *(parts or ["x"]), chat=chat, platform_data={"k": extra})
    assert event_from_dict(decode(encode(event))) == event
    delivery = Delivery("k", event.conversation, tuple(parts), "m", True, {"a": extra})
    assert Delivery.from_dict(decode(encode(delivery))) == delivery


@given(st.lists(st.text(alphabet="/%2Fab", max_size=4), min_size=8, max_size=8))
def test_different_conversations_have_different_keys(names: list[str]) -> None:
    first, second = Conversation(*names[:3], thread_id=names[3]), Conversation(*names[4:7], thread_id=names[7])  # type: ignore[arg-type]
    assert (first.key == second.key) == (first == second)


def test_text_is_what_a_reader_sees() -> None:
    quoted = Quote(user("旧的", Image("q")), "小王")
    message = user("问 ", Mention("1", "小李"), quoted, Image("p"), " 好")
    assert message.text == "问 @小李 好"
    assert [image.source for image in message.images] == ["q", "p"]


def test_pictures_can_be_replaced_or_left_out_everywhere() -> None:
    message = user(Image("a"), Quote(user(Image("b"), "x")), Image("c"))
    swapped = message.map_images({Image("a"): Image("A"), Image("b"): None})
    assert [image.source for image in swapped.images] == ["A", "c"]


def test_members_of_a_group_have_their_own_sessions() -> None:
    private, other = message_event(1, sender="a"), message_event(2, sender="b")
    assert private.session() == other.session()
    in_group = [message_event(n, sender=who, chat_type="group") for n, who in enumerate("aab")]
    assert in_group[0].session() == in_group[1].session() != in_group[2].session()
