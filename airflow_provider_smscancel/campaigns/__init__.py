"""Which messages, in what order, and what became of each."""

from __future__ import annotations

from airflow_provider_smscancel.campaigns.messages import MessageRef
from airflow_provider_smscancel.campaigns.outcome import CancelResult, Outcome
from airflow_provider_smscancel.campaigns.sharding import split_manifest
from airflow_provider_smscancel.gateways.base import MessageState, MessageStatus, SentMessage

__all__ = [
    "CancelResult",
    "MessageRef",
    "MessageState",
    "MessageStatus",
    "Outcome",
    "SentMessage",
    "split_manifest",
]
