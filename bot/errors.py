"""Every error Kantu raises on purpose.

KantuError
├── ConfigError             the configuration is wrong; says where and the nearest right name
├── RequestError            a public entry was given something wrong: HTTP status and a reason
│   └── Rejected            a webhook that is not trusted; `reason` names the check that failed
├── MediaError              a picture cannot be used; str() is a Chinese sentence for the user
│   ├── BadPicture          not a picture, broken, too large, a decompression bomb
│   └── FetchFailed         could not be fetched; `retry` tells whether it may work later
├── BadSchedule             no time that can be understood; str() is a Chinese sentence for the user
├── DocumentFailed          a report cannot be made into a file; str() is a Chinese sentence for the user
├── DownloadFailed          a model could not be fetched; what has come is kept for the next try
├── EngineError
│   ├── EngineUnavailable   try again later
│   ├── ContextTooLong      do not try again
│   └── RequestRejected     do not try again
├── DeliveryError
│   ├── NetworkError        try again; `sent_maybe` tells whether the platform may have taken it
│   ├── WindowClosed        not before the user writes again: the platform allows no more until then
│   └── ActionFailed        do not try again: the platform said no
└── StoreError
    ├── StoreFull           nothing can be accepted now (disk, backlog)
    └── LeaseLost           somebody else owns the lane; drop what you were doing
"""


class KantuError(Exception):
    """Root of all errors raised on purpose."""


class ConfigError(KantuError):
    """The configuration cannot be used; the message says where and how to mend it."""


class RequestError(KantuError):
    """A request that is answered with `status` and a short machine-readable `reason`."""

    def __init__(self, reason: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = status


class Rejected(RequestError):
    """A webhook request that failed a check; nothing of it is kept."""

    def __init__(self, reason: str, status: int = 401, message: str = "") -> None:
        super().__init__(reason, message or reason, status)


class MediaError(KantuError):
    """A picture that cannot be used. `code` is stable; the text is Chinese, for the user."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class BadPicture(MediaError):
    """The bytes are not a picture we accept."""


class FetchFailed(MediaError):
    """A picture could not be fetched."""

    def __init__(self, code: str, message: str, *, retry: bool = False) -> None:
        super().__init__(code, message)
        self.retry = retry


class DownloadFailed(KantuError):
    """A model's files could not be fetched, or are not what the hub says they are."""


class BadSchedule(KantuError):
    """A time that is not understood or never comes; the text is Chinese, for the user."""


class DocumentFailed(KantuError):
    """A report cannot be made into a file; the text is Chinese, for the user."""


class EngineError(KantuError):
    """An engine did not answer."""


class EngineUnavailable(EngineError):
    """The engine cannot answer now.

    retry_after: seconds the server asked for, or None. asked: False when nothing was sent, because the engine is
    being left alone after failures: such a try does not count.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, asked: bool = True) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.asked = asked


class ContextTooLong(EngineError):
    """The request does not fit the model's context."""


class RequestRejected(EngineError):
    """The engine refuses this request for good (bad key, unknown model, bad content)."""


class DeliveryError(KantuError):
    """A reply was not delivered."""


class NetworkError(DeliveryError):
    """Worth another try. `sent_maybe`: the request may have reached the platform."""

    def __init__(self, message: str, *, sent_maybe: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.sent_maybe = sent_maybe
        self.retry_after = retry_after


class WindowClosed(DeliveryError):
    """The platform takes nothing for this user until they write again. `code` is the platform's own."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class ActionFailed(DeliveryError):
    """The platform refused for good. `code` is the platform's own; the message says what the operator can do."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class StoreError(KantuError):
    """The store cannot do what was asked."""


class StoreFull(StoreError):
    """Nothing more is accepted now: disk or backlog limit reached."""


class LeaseLost(StoreError):
    """The lane's fence moved on: another worker owns it."""
