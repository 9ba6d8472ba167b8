"""Asks a judge on a server which of two answers is better, and reads its verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from burnish.annotators.llm.caller import Caller
from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.questions import Question, Request, probe_prompt, request_of
from burnish.annotators.llm.stopping import advice
from burnish.annotators.llm.verdicts import read_reply
from burnish.annotators.llm.wording import Unread
from burnish.config import JudgeConfig
from burnish.errors import AnnotatorError
from burnish.services.calls import Reply
from burnish.services.endpoint import Failure
from burnish.services.failures import Advice


class Asker(Caller[Question, float]):
    """Answers questions with P(the answer shown second is better). A question without a verdict is an abstention.

    At the end of the questions, it says why replies had no verdict.
    """

    def __init__(self, config: JudgeConfig, purse: Purse, say: Callable[[str], None], repeat: int) -> None:
        super().__init__(config, purse, say, loss="an abstention", explained=config.explain)
        self.config, self.repeat = config, repeat
        self.unread: Counter[Unread] = Counter()
        """The number of replies without a verdict, by reason."""
        self._logprobs = config.read != "text"

    def _request(self, question: Question) -> Request:
        return request_of(self.config, question.prompt, self.repeat, self._logprobs)

    def _harmless(self) -> Request:
        return request_of(self.config, probe_prompt(self.config), self.repeat, self._logprobs)

    def _advice(self, failure: Failure) -> Advice:
        return advice(self.config, failure)

    def _ended(self) -> None:
        if self.unread:
            self.say(f"{self._named}: {_unread_words(self.unread)}")

    def _read(self, reply: Reply) -> float | None:
        # An empty reply never has log-probabilities, so it says nothing about the server.
        if reply.positions is None and self._logprobs and reply.text.strip():
            if self.config.read == "logprobs":
                raise AnnotatorError(
                    f"{self._named}.read: logprobs, and {self.config.base_url} returns none for {self.config.model!r}; "
                    "write read: auto or read: text"
                )
            self._say_once(f"{self._named}: the server gives no log-probabilities; its replies are parsed")
        verdict = read_reply(reply, self.config)
        if isinstance(verdict, Unread):
            self.unread[verdict] += 1
            return None
        return verdict

    def _mends(self, failure: Failure, request: Request) -> bool:
        mends = self._about_logprobs(failure, request)
        if mends:
            self._without_logprobs(failure.text)
        return mends

    def _about_logprobs(self, failure: Failure, request: Request) -> bool:
        """Say whether the same request can be sent without log-probabilities. Fields that `extra` sets are always
        sent."""
        return failure.about_logprobs and "logprobs" in request.body and "logprobs" not in self.config.extra

    def _without_logprobs(self, words: str) -> None:
        if self.config.read == "logprobs":
            raise AnnotatorError(
                f"{self._named}.read: logprobs, and {self.config.base_url} refuses them ({words}); correct "
                "top_logprobs, or write read: auto or read: text"
            )
        # From now on no request of this run asks for them.
        self._logprobs = False
        self._say_once(
            f"{self._named}: the server refuses log-probabilities ({words}); replies are parsed instead. If it takes "
            f"fewer, lower {self._named}.top_logprobs"
        )


def _unread_words(unread: Counter[Unread]) -> str:
    total = unread.total()
    head = "1 reply counts as an abstention" if total == 1 else f"{total:,} replies count as abstentions"
    return f"{head}: " + ", ".join(f"{count:,} {why}" for why, count in unread.most_common())
