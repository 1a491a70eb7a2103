"""Turns the words that libc or GLib left in memory when it aborted into messages, as if they had been pasted."""

from __future__ import annotations

from ..model import Message, Snapshot
from .messages import message_of


def add_messages(snapshot: Snapshot) -> None:
    """Append a message for each of ``facts.last_words``, of the thread that took the signal."""
    index = next((i for i, thread in enumerate(snapshot.threads) if thread.crashed), None)
    for text in snapshot.facts.last_words:
        line = " ".join(text.split())
        message = message_of(line) or Message("other", line)
        message.thread = index
        snapshot.messages.append(message)
