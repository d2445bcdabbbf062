"""What a server's refusal means, in the words of many servers."""

import pytest

from bot.engine.openai_errors import error_of, retry_after_of, status_of
from bot.errors import ContextTooLong, EngineError, EngineUnavailable, RequestRejected


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (400, "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens"),  # OpenAI
        (400, "The decoder prompt (length 9000) is longer than the maximum model length of 8192"),  # vLLM
        (400, "You passed 9000 input tokens. However, the model's context length is only 8192 tokens"),  # vLLM
        (400, "The input (9000 tokens) is longer than the model's context length (8192 tokens)."),  # SGLang
        (400, "the request exceeds the available context size, try increasing it"),  # llama.cpp
        (400, "input token length 9000 exceeds session_len 8192"),  # LMDeploy
        (400, "Range of input length should be [1, 30720]"),  # DashScope
        (400, "输入内容超长"),
        (413, "prompt is too long: 9000 tokens > 8192 maximum"),
    ],
)
def test_many_ways_to_say_too_long(status: int, words: str) -> None:
    assert isinstance(error_of("fake", status, {"error": {"message": words}}), ContextTooLong)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (401, {"error": {"message": "no"}}, RequestRejected, "set api_key"),
        (403, {"message": "no"}, RequestRejected, "check api_key"),
        (404, {"detail": "Not Found"}, RequestRejected, "check model and base_url"),
        (400, {"error": "bad picture"}, RequestRejected, "bad picture; check model, extra_body"),
        (422, {"detail": [{"loc": ["x"]}]}, RequestRejected, "loc"),
        (413, "<html>Request Entity Too Large</html>", RequestRejected, "max_picture_side"),
        (429, {"error": {"message": "busy"}}, EngineUnavailable, "busy"),
        (429, {"error": {"message": "no money", "code": "insufficient_quota"}}, RequestRejected, "credit"),
        (429, {"error": {"message": "余额不足", "code": "1113"}}, RequestRejected, "credit"),
        (500, None, EngineUnavailable, "no reason given"),
        (529, {}, EngineUnavailable, "529"),
    ],
)
def test_what_a_refusal_means(status: int, body: object, kind: type[EngineError], said: str) -> None:
    error = error_of("fake", status, body)
    assert isinstance(error, kind) and said in str(error)


def test_long_words_are_cut() -> None:
    assert len(str(error_of("fake", 400, {"error": {"message": "x" * 10_000}}))) < 500


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", None), ("7", 7.0), ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0), ("soon", None), ("-1", None), ("nan", None)],
)
def test_both_forms_of_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after_of({"retry-after": value}, now=10.0) == seconds


@pytest.mark.parametrize(
    ("body", "status"),
    [({"code": 429}, 429), ({"code": "500"}, 500), ({"code": "1261"}, 0), ({"code": None}, 0), ("text", 0)],
)
def test_the_status_that_an_error_object_names(body: object, status: int) -> None:
    assert status_of(body) == status


def test_a_stream_that_turns_into_an_error() -> None:
    assert isinstance(error_of("fake", 0, {"message": "CUDA out of memory"}), EngineUnavailable)
    assert isinstance(error_of("fake", 0, {"message": "Prompt exceeds max length", "code": "1261"}), ContextTooLong)
