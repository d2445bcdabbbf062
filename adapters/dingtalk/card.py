"""An AI card that shows an answer while it is written.

https://open.dingtalk.com/document/orgapp/api-streamingupdate
"""

from __future__ import annotations

import secrets
from typing import Any, cast

from adapters.dingtalk.api import Api, refusal
from bot.adapter import Surface
from bot.errors import ActionFailed, NetworkError
from bot.event import Delivery

_NOTHING = "这次没有回答出来，请再问一次。"


class Card(Surface):
    """One card in one conversation. place: what the creating call says of where it goes."""

    def __init__(self, api: Api, template_id: str, content_key: str, place: dict[str, Any]) -> None:
        self._api = api
        self._template_id = template_id
        self._content_key = content_key
        self._place = place
        self._id = f"kantu_{secrets.token_hex(16)}"

    async def open(self, text: str) -> None:
        data = {
            "cardTemplateId": self._template_id,
            "outTrackId": self._id,
            "cardData": {"cardParamMap": {self._content_key: ""}},
            # Without it the streaming call fails; nothing is ever called back, as the card has no buttons.
            "callbackType": "STREAM",
            "userIdType": 1,
            **self._place,
        }
        answer = await self._api.call("POST", "/v1.0/card/instances/createAndDeliver", data)
        _check_delivered(answer)
        try:
            await self.update(text)
        except NetworkError:
            # The card is there and must be finished later; the next update holds this text.
            return

    async def update(self, text: str) -> None:
        await self._stream(text)

    async def close(self, delivery: Delivery) -> str:
        await self._stream(delivery.text, finished=True)
        return self._id

    async def abandon(self) -> None:
        """A card cannot be taken back; it says that nothing came."""
        await self._stream(_NOTHING, finished=True, failed=True)

    async def _stream(self, text: str, *, finished: bool = False, failed: bool = False) -> None:
        """The whole text each time, so that a lost update costs nothing."""
        data = {
            "outTrackId": self._id,
            "guid": secrets.token_hex(16),
            "key": self._content_key,
            "content": text,
            "isFull": True,
            "isFinalize": finished,
            "isError": failed,
        }
        await self._api.call("PUT", "/v1.0/card/streaming", data)


def place(robot_code: str, *, group: str = "", staff_id: str = "") -> dict[str, Any]:
    """Where a card goes: a group by its conversation id, or the private chat with a colleague."""
    if group:
        return {
            "openSpaceId": f"dtv1.card//IM_GROUP.{group}",
            "imGroupOpenSpaceModel": {"supportForward": True},
            "imGroupOpenDeliverModel": {"robotCode": robot_code},
        }
    return {
        "openSpaceId": f"dtv1.card//IM_ROBOT.{staff_id}",
        "imRobotOpenSpaceModel": {"supportForward": True},
        "imRobotOpenDeliverModel": {"spaceType": "IM_ROBOT", "robotCode": robot_code},
    }


def _check_delivered(answer: dict[str, Any]) -> None:
    """The call may succeed without the card being delivered."""
    result = answer.get("result")
    if answer.get("success") is False or not isinstance(result, dict):
        raise ActionFailed("DingTalk did not create the card: check card_template_id", code="card")
    places = cast("dict[str, Any]", result).get("deliverResults")
    for one in cast("list[Any]", places) if isinstance(places, list) else []:
        where = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
        if where.get("success") is False:
            raise refusal("card", str(where.get("errorMsg") or "the card was not delivered"))
