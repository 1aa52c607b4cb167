"""The feedback store: ``Store.open(path or URL)``."""

from rlhf_games.feedback.store.records import (
    Annotator,
    Answer,
    AnswerDraft,
    AnswerPage,
    Progress,
    Query,
    QueryDraft,
)
from rlhf_games.feedback.store.store import Store

__all__ = ["Annotator", "Answer", "AnswerDraft", "AnswerPage", "Progress", "Query", "QueryDraft", "Store"]
