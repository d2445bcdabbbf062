"""OneBot v11 (NapCat, Lagrange): events over HTTP POST or a reverse WebSocket, actions over HTTP or that socket."""

from adapters.onebot.adapter import Adapter, Config

__all__ = ["Adapter", "Config"]
