"""What a hook has in addition whose gateway can cancel all that is scheduled at once."""

from __future__ import annotations

from abc import ABC, abstractmethod

IN_DOUBT = "Everything under the licence key may have been cancelled, or nothing."


class CancelsAll(ABC):
    """Cancels everything that is scheduled under one credential, whoever has scheduled it."""

    @abstractmethod
    def cancel_all_messages(self, *, confirm_last_four: str) -> bool:
        """Cancel everything that is scheduled under the connection's licence key, by anybody. Sent once, never repeated.

        :param confirm_last_four: the last four characters of the licence key, as a proof that you know whom it hits.
        :return: the gateway's word on whether it did. It names no messages: ask for the status of those that matter.
        :raises ValueError: no licence key, or the four characters do not match; nothing was sent.
        :raises SmsGatewayUnavailable: no usable answer; the text says whether everything may have been cancelled.
        """
