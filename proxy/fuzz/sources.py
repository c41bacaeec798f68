"""Sequences: the initial documents of both backends, and the requests.

Half of the sequences are the plug-in's own if it defines any. The others draw requests from the contract, the
dictionary and the plug-in in equal parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from hypothesis import strategies as st

from proxy.fuzz.contract_cases import request_of
from proxy.fuzz.conversation import FuzzConversation
from proxy.fuzz.conversation_cases import changed_conversations
from proxy.fuzz.dictionary import Dictionary
from proxy.fuzz.execution import Documents
from proxy.fuzz.plugin import Headers, Plugin
from proxy.fuzz.requests import FuzzRequest

MAX_REQUESTS: Final = 10
"""Maximum number of requests in one sequence."""

MAX_IDS: Final = 30
"""Number of ids in one sequence that later requests choose from."""

CONVERSATION_SHARE: Final = 8
"""One execution in this number is a conversation, if there are any."""

_CONTRACT, _DICTIONARY, _PLUGIN = range(3)

Drawn = tuple[Documents, Sequence[FuzzRequest]] | FuzzConversation


@dataclass(frozen=True)
class Sources:
    """Sources of requests and documents; `cases` are strategies for Schemathesis cases by operation.

    `conversations` is None if neither recordings nor plug-in have any.
    """

    cases: dict[str, st.SearchStrategy[Any]]
    dictionary: Dictionary
    plugin: Plugin

    @cached_property
    def conversations(self) -> st.SearchStrategy[FuzzConversation] | None:
        """Return a strategy for conversations: changed recorded ones, and the plug-in's."""
        recorded = self.dictionary.conversations
        own = [changed_conversations(recorded)] if recorded else []
        own += [] if self.plugin.conversations is None else [self.plugin.conversations]
        return st.one_of(own) if own else None

    def headers(self) -> st.SearchStrategy[Headers]:
        """Return a strategy for the headers added to requests from the contract."""
        return st.just(()) if self.plugin.headers is None else self.plugin.headers

    def documents(self) -> st.SearchStrategy[Documents]:
        """Return a strategy for initial documents: those of a recording, or the plug-in's; none without a plug-in."""
        return st.composite(self._draw_documents)()

    def sequences(self) -> st.SearchStrategy[tuple[Documents, Sequence[FuzzRequest]]]:
        """Return a strategy for a whole sequence."""
        drawn = st.tuples(self.documents(), st.lists(self.requests(), min_size=1, max_size=MAX_REQUESTS))
        return drawn if self.plugin.sequences is None else st.one_of(drawn, self.plugin.sequences)

    def executions(self) -> st.SearchStrategy[Drawn]:
        """Return a strategy for a sequence, or a conversation in one of `CONVERSATION_SHARE` cases."""
        if self.conversations is None:
            return self.sequences()
        talks = self.conversations
        return st.integers(1, CONVERSATION_SHARE).flatmap(
            lambda number: talks if number == CONVERSATION_SHARE else self.sequences()
        )

    def requests(self) -> st.SearchStrategy[FuzzRequest]:
        """Return a strategy for one request from any source."""
        sources = [_CONTRACT] if self.cases else []
        sources += [_DICTIONARY] if self.dictionary.requests else []
        sources += [] if self.plugin.requests is None else [_PLUGIN]
        return st.composite(self._draw_request)(sources)

    def _draw_request(self, draw: st.DrawFn, sources: Sequence[int]) -> FuzzRequest:
        source = draw(st.sampled_from(sources))
        if source == _CONTRACT:
            operation = draw(st.sampled_from(sorted(self.cases)))
            number = draw(st.none() | st.integers(0, MAX_IDS - 1))
            return request_of(draw(self.cases[operation]), draw(self.headers()), number)
        if source == _DICTIONARY:
            return self._draw_recorded(draw)
        assert self.plugin.requests is not None
        return draw(self.plugin.requests)

    def _draw_recorded(self, draw: st.DrawFn) -> FuzzRequest:
        """Draw a recorded request; half of them get the plug-in's headers, because recorded tokens may have expired."""
        request = self.dictionary.draw_request(draw)
        if self.plugin.headers is not None and draw(st.booleans()):
            for name, value in draw(self.plugin.headers):
                request = request.with_header(name, value)
        return request

    def _draw_documents(self, draw: st.DrawFn) -> Documents:
        recorded = self.dictionary.documents
        number = draw(st.integers(0, 2 * len(recorded) - 1)) if recorded else 0
        if number > len(recorded):
            return recorded[number - len(recorded)]
        return {} if self.plugin.documents is None else draw(self.plugin.documents)
