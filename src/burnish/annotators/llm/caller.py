"""Asks a model on a server many questions. Answers come from the cache, or from parallel calls within the budget.

This module also decides when to stop, because further calls would fail or cost too much. What a question is, and how a
reply is read, is up to the classes that inherit from `Caller`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import Generic, TypeVar, assert_never

from burnish.annotators.llm.purse import Purse
from burnish.annotators.llm.questions import Request
from burnish.annotators.llm.server import ChatConfig, Server
from burnish.annotators.llm.stopping import KEPT
from burnish.errors import AnnotatorError, Paused
from burnish.services.calls import Reply
from burnish.services.crew import Crew
from burnish.services.endpoint import Failure, Why, delay_before
from burnish.services.failures import Advice, error_of

Q = TypeVar("Q")
A = TypeVar("A")

IN_A_ROW = 10
"""After this many failed calls without an answered one between them, the server counts as gone. With a concurrency
above five it takes more of them, because many calls fail at the same moment."""
ASKED_AGAIN = 2
"""How often a question is asked again if its answer came but cannot be read. Each answer counts in the budget."""


@dataclass(slots=True, kw_only=True)
class _Desk(Generic[Q]):
    """The state of the work: requests under way with the questions that they answer, and questions that wait.

    `paused` says why no further calls are made, or is None.
    """

    crew: Crew[Request, Reply | Failure]
    under_way: dict[str, tuple[Request, list[Q]]] = field(default_factory=dict[str, tuple[Request, list[Q]]])
    postponed: deque[Q] = field(default_factory=deque[Q])
    paused: str | None = None


class Caller(ABC, Generic[Q, A]):
    """Answers questions from the cache or by a call.

    A thread that gets an answer keeps it before anything else is done with it, so that no paid answer is lost. `loss`
    says what a question counts as that is given up.
    """

    def __init__(
        self,
        config: ChatConfig,
        purse: Purse,
        say: Callable[[str], None],
        *,
        loss: str,
        explained: bool = False,
    ) -> None:
        self.purse, self.say, self.loss = purse, say, loss
        self.cached = 0
        self._server_config = config
        self._named = config.field
        self._server = Server(config, explained)
        self._answered = False
        """Whether the server answered a call of this process. Then the key, the model and the form of requests are
        right."""
        self._in_a_row = 0
        self._unread: Counter[str] = Counter()
        """For each request, how many answers came that could not be read."""
        self._said: set[str] = set()

    @abstractmethod
    def _request(self, question: Q) -> Request:
        """Return the request for a question."""

    @abstractmethod
    def _harmless(self) -> Request:
        """Return a short and harmless request, which no server refuses for its content or its length."""

    @abstractmethod
    def _read(self, reply: Reply) -> A | None:
        """Return the answer that a reply holds, or None if it holds none."""

    @abstractmethod
    def _advice(self, failure: Failure) -> Advice:
        """Return what a user can do about a failure."""

    def _mends(self, failure: Failure, request: Request) -> bool:
        """Say whether the same question can be asked in another form, which the next requests have."""
        return False

    def answers(self, questions: Iterator[Q]) -> Iterator[tuple[Q, A | None]]:
        """Yield each question with its answer as it comes, in no particular order. The answer is None if there is none.

        Raises Paused if the budget is spent. All answers from the cache and from calls under way are yielded first.
        Raises AnnotatorError if no further call can succeed.
        """
        made = Crew[Request, Reply | Failure](self._server_config.concurrency, self._call)
        # The purse is closed after the crew: until then, calls under way may still be answered.
        with self.purse.open(self.say), closing(made) as crew:
            desk = _Desk[Q](crew=crew)
            while (question := self._next(desk, questions)) is not None or desk.under_way:
                # No question is left to send, so it only waits for the calls under way.
                if question is None:
                    yield from self._settled(desk)
                    continue
                request = self._request(question)
                # The cache is asked even after the budget is spent, because its answers cost nothing.
                known = self.purse.calls.get(request.key)
                if known is not None:
                    self.cached += 1
                    yield question, self._read(known)
                elif not self._placed(desk, question, request):
                    desk.postponed.append(question)
                    yield from self._settled(desk)
        self._ended()
        if desk.paused:
            raise Paused(desk.paused, command="")

    def _ended(self) -> None:
        """Do what is to be done after the last question. This is called also if the budget is spent."""

    def _next(self, desk: _Desk[Q], questions: Iterator[Q]) -> Q | None:
        return desk.postponed.popleft() if desk.postponed else next(questions, None)

    def _placed(self, desk: _Desk[Q], question: Q, request: Request) -> bool:
        """Send a request if that is allowed now. Return False if a request under way must be answered first.

        Once the run is paused, return True without sending: the question stays without an answer.
        """
        if request.key in desk.under_way:  # for example two equal answers: one call serves both orders
            desk.under_way[request.key][1].append(question)
            return True
        if desk.paused:
            return True
        if len(desk.under_way) >= self._server_config.concurrency:
            return False
        over_budget = self._refusal(desk, request)
        if over_budget is None:
            desk.under_way[request.key] = (request, [question])
            desk.crew.submit(request)
        elif desk.under_way:
            return False  # money that is reserved for the calls under way may become free again
        else:
            desk.paused = over_budget
        return True

    def _refusal(self, desk: _Desk[Q], request: Request) -> str | None:
        """Reserve a call, or say which limit of the budget forbids it."""
        under_way = [other for other, _ in desk.under_way.values()]
        return self.purse.refusal(self._server_config, request, under_way)

    def _call(self, request: Request, pause: Callable[[float], bool]) -> Reply | Failure:
        """Make a call and keep its reply. This runs in a thread of the crew."""
        unread = self._unread[request.key]
        if unread:
            pause(delay_before(unread - 1))
        outcome = self._server.ask(request.body, pause)
        self.purse.pay(self._server_config, request, outcome, last=unread == ASKED_AGAIN)
        return outcome

    def _settled(self, desk: _Desk[Q]) -> Iterator[tuple[Q, A | None]]:
        """Wait for one call, and yield the questions that it answers with their answer."""
        request, outcome = desk.crew.result()
        _, questions = desk.under_way.pop(request.key)
        if isinstance(outcome, Reply):
            self._answered, self._in_a_row = True, 0
            self.cached += len(questions) - 1  # one call answered several equal questions
            self._check_usage(outcome)
            answer = self._read(outcome)
        elif self._mends(outcome, request):
            desk.postponed.extend(questions)
            return
        elif outcome.why is Why.UNREADABLE and self._unread[request.key] < ASKED_AGAIN:
            self._unread[request.key] += 1
            desk.postponed.extend(questions)  # asking again is checked against the budget like any other call
            return
        else:
            self._give_up(outcome, desk)
            answer = None
        for question in questions:
            yield question, answer

    def _check_usage(self, reply: Reply) -> None:
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            return
        if self.purse.budget.max_cost is not None:
            calls, cost = self._server_config.limits
            raise AnnotatorError(
                f"{self._named}: {self._server_config.base_url} reports no token usage, so that {cost} cannot be kept; "
                f"limit {calls} instead; {KEPT}"
            )
        self._say_once(f"{self._named}: the server reports no token usage; its tokens count as 0")

    def _give_up(self, failure: Failure, desk: _Desk[Q]) -> None:
        """Count a call that is given up. Raises AnnotatorError if the next calls would fail, too."""
        if self._hopeless(failure, desk):
            raise error_of(self._server_config, self._named, failure, self._advice(failure))
        self.purse.calls.give_up(self.purse.run)
        self._say_once(f"{self._named}: a call was given up and counts as {self.loss} ({failure.text})", failure.why)

    def _hopeless(self, failure: Failure, desk: _Desk[Q]) -> bool:
        """Say whether no further call can succeed.

        A refusal may be about this prompt only. Then a harmless prompt is sent to find out: answers in the cache and in
        the ledger are old, and do not show that the key and the model are still right.
        """
        # A refusal of one prompt, by a server that answers others, does not count as a sign that the server is gone.
        about_prompt = failure.why in {Why.REFUSED, Why.TOO_LONG, Why.FILTERED}
        self._in_a_row += not (about_prompt and self._answered)
        enough = self._in_a_row >= max(IN_A_ROW, 2 * self._server_config.concurrency)
        match failure.why:
            case Why.DENIED:  # 403 means a wrong key, or a gateway that refuses this prompt
                another_tells = failure.status == 403
                doubtful = enough or not self._answered or not another_tells
            # Another prompt cannot help if there is no server. An address that never answered is most likely wrong.
            case Why.ABSENT:
                another_tells, doubtful = False, enough or not self._server.met
            # If the server has answered before, the form of the requests is right, and only this prompt is refused.
            case Why.REFUSED:
                another_tells, doubtful = True, not self._answered
            case Why.FILTERED:
                another_tells, doubtful = True, enough
            # If some prompt was ever answered, the context is long enough for a short one.
            case Why.TOO_LONG:
                another_tells, doubtful = self._ever_answered(), enough
            case Why.UNANSWERED | Why.UNREADABLE:
                another_tells, doubtful = False, enough
            case _:
                assert_never(failure.why)
        return doubtful and not (another_tells and self._takes_another_prompt(desk))

    def _ever_answered(self) -> bool:
        return self.cached > 0 or self.purse.calls.spent(self.purse.run, None).calls > 0

    def _takes_another_prompt(self, desk: _Desk[Q]) -> bool:
        """Ask a harmless question and say whether it was answered. It is paid for like any other call."""
        while True:  # a second time only if the request can be mended
            request = self._harmless()
            if self._refusal(desk, request) is not None:
                return False
            outcome = self._call(request, Event().wait)
            if isinstance(outcome, Failure) and self._mends(outcome, request):
                continue
            if isinstance(outcome, Failure) and outcome.why is not Why.UNREADABLE:
                return False
            self._answered, self._in_a_row = True, 0
            return True

    def _say_once(self, text: str, topic: str = "") -> None:
        if (topic or text) not in self._said:
            self._said.add(topic or text)
            self.say(text)
