"""Asks a model on a server. Answers come from the cache, or from parallel calls within the budget.

This module also decides when to stop, because further calls would fail or cost too much.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event
from typing import TypeAlias, assert_never

from burnish.annotators.llm.questions import Question, Request, probe_prompt, request_of
from burnish.annotators.llm.server import Server
from burnish.annotators.llm.stopping import KEPT, advice
from burnish.annotators.llm.verdicts import read_reply
from burnish.annotators.llm.wording import Unread
from burnish.config import JudgeConfig
from burnish.errors import AnnotatorError, Paused
from burnish.services.calls import CallBudget, Calls, Reply
from burnish.services.crew import Crew
from burnish.services.endpoint import Failure, Why, delay_before
from burnish.services.failures import error_of

IN_A_ROW = 10
"""After this many failed calls without an answered one between them, the server counts as gone. With a concurrency
above five it takes more of them, because many calls fail at the same moment."""
ASKED_AGAIN = 2
"""How often a question is asked again if its answer came but cannot be read. Each answer counts in the budget."""
Verdicts: TypeAlias = Iterator[tuple[Question, float | None]]
"""Questions, each with P(the answer shown second is better), or None for an abstention."""


@dataclass(slots=True, kw_only=True)
class _Desk:
    """The state of the work: requests under way with the questions that they answer, and questions that wait.

    `paused` says why no further calls are made, or is None.
    """

    crew: Crew[Request, Reply | Failure]
    under_way: dict[str, tuple[Request, list[Question]]] = field(
        default_factory=dict[str, tuple[Request, list[Question]]]
    )
    postponed: deque[Question] = field(default_factory=deque[Question])
    paused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """The cache that keeps answers, and the run to which they are charged, with its budget."""

    calls: Calls
    run: str
    budget: CallBudget


class Asker:
    """Answers questions from the cache or by a call.

    A thread that gets an answer keeps it before anything else is done with it, so that no paid answer is lost.
    """

    def __init__(self, config: JudgeConfig, purse: Purse, say: Callable[[str], None], repeat: int) -> None:
        self.config, self.purse, self.say, self.repeat = config, purse, say, repeat
        self.cached = 0
        self.unread: Counter[Unread] = Counter()
        """The number of replies without a verdict, by reason."""
        self._named = config.field
        self._server = Server(config)
        self._logprobs = config.read != "text"
        self._answered = False
        """Whether the server answered a call of this process. Then the key, the model and the form of requests are
        right."""
        self._in_a_row = 0
        self._unread: Counter[str] = Counter()
        """For each request, how many answers came that could not be read."""
        self._said: set[str] = set()

    def verdicts(self, questions: Iterator[Question]) -> Verdicts:
        """Yield each question with its verdict as it comes, in no particular order. At the end, say why replies had no
        verdict.

        Raises Paused if the budget is spent. All verdicts from the cache and from calls under way are yielded first.
        Raises AnnotatorError if no further call can succeed.
        """
        with closing(Crew[Request, Reply | Failure](self.config.concurrency, self._call)) as crew:
            desk = _Desk(crew=crew)
            while (question := self._next(desk, questions)) is not None or desk.under_way:
                # No question is left to send, so it only waits for the calls under way.
                if question is None:
                    yield from self._settled(desk)
                    continue
                request = request_of(self.config, question.prompt, self.repeat, self._logprobs)
                # The cache is asked even after the budget is spent, because its answers cost nothing.
                known = self.purse.calls.get(request.key)
                if known is not None:
                    self.cached += 1
                    yield question, self._read(known)
                elif not self._placed(desk, question, request):
                    desk.postponed.append(question)
                    yield from self._settled(desk)
        if self.unread:
            self.say(f"{self._named}: {_unread_words(self.unread)}")
        if desk.paused:
            raise Paused(desk.paused, command="")

    def _next(self, desk: _Desk, questions: Iterator[Question]) -> Question | None:
        return desk.postponed.popleft() if desk.postponed else next(questions, None)

    def _placed(self, desk: _Desk, question: Question, request: Request) -> bool:
        """Send a request if that is allowed now. Return False if a request under way must be answered first.

        Once the run is paused, return True without sending: the question stays without an answer.
        """
        if request.key in desk.under_way:  # for example two equal answers: one call serves both orders
            desk.under_way[request.key][1].append(question)
            return True
        if desk.paused:
            return True
        if len(desk.under_way) >= self.config.concurrency:
            return False
        over_budget = self._over(desk, request)
        if over_budget is None:
            desk.under_way[request.key] = (request, [question])
            desk.crew.submit(request)
        elif desk.under_way:
            return False  # money that is reserved for the calls under way may become free again
        else:
            desk.paused = over_budget
        return True

    def _over(self, desk: _Desk, request: Request) -> str | None:
        """Say which limit of the budget forbids a call, or return None if the budget allows it.

        Calls under way count as answered, because they will be paid for.
        """
        budget, prices, (calls, cost) = self.purse.budget, self.config.prices, self.config.limits
        spent = self.purse.calls.spent(self.purse.run, prices)
        answers = spent.calls + spent.unread
        if budget.max_calls is not None and answers + len(desk.under_way) >= budget.max_calls:
            unread = f", {spent.unread} of them with answers that cannot be read" if spent.unread else ""
            return f"{answers} calls are spent{unread} ({calls} {budget.max_calls}); raise {calls} to go on"
        if budget.max_cost is not None and prices is not None and spent.cost is not None:
            reserved = sum(other.reserved for other, _ in desk.under_way.values())
            if spent.cost + reserved + request.reserved > budget.max_cost:
                return (
                    f"{spent.cost:.4g} {prices.currency} are spent and the next call may cost {request.reserved:.2g} "
                    f"({cost} {budget.max_cost:g}); raise {cost} to go on"
                )
        return None

    def _call(self, request: Request, pause: Callable[[float], bool]) -> Reply | Failure:
        """Make a call and keep its reply. This runs in a thread of the crew."""
        unread = self._unread[request.key]
        if unread:
            pause(delay_before(unread - 1))
        outcome = self._server.ask(request.body, pause)
        if isinstance(outcome, Reply):
            self.purse.calls.put(request.key, outcome, self.purse.run)
        elif outcome.why is Why.UNREADABLE:
            # If money is limited and the server reports no tokens, the largest possible number is charged.
            assumed = (0, 0) if self.purse.budget.max_cost is None else request.most_tokens
            last = outcome.tokens is not None and unread == ASKED_AGAIN
            self.purse.calls.put_unread(self.purse.run, outcome.tokens or assumed, request.key if last else None)
        return outcome

    def _settled(self, desk: _Desk) -> Verdicts:
        """Wait for one call, and yield the questions that it answers with their verdict."""
        request, outcome = desk.crew.result()
        _, questions = desk.under_way.pop(request.key)
        if isinstance(outcome, Reply):
            self._answered, self._in_a_row = True, 0
            self.cached += len(questions) - 1  # one call answered several equal questions
            self._check_usage(outcome)
            verdict = self._read(outcome)
        elif self._about_logprobs(outcome, request):
            self._without_logprobs(outcome.text)
            desk.postponed.extend(questions)
            return
        elif outcome.why is Why.UNREADABLE and self._unread[request.key] < ASKED_AGAIN:
            self._unread[request.key] += 1
            desk.postponed.extend(questions)  # asking again is checked against the budget like any other call
            return
        else:
            self._give_up(outcome, desk)
            verdict = None
        for question in questions:
            yield question, verdict

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

    def _check_usage(self, reply: Reply) -> None:
        if reply.prompt_tokens is not None and reply.completion_tokens is not None:
            return
        if self.purse.budget.max_cost is not None:
            raise AnnotatorError(
                f"{self._named}: {self.config.base_url} reports no token usage, so that {self.config.limits[1]} "
                f"cannot be kept; limit {self.config.limits[0]} instead; {KEPT}"
            )
        self._say_once(f"{self._named}: the server reports no token usage; its tokens count as 0")

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

    def _give_up(self, failure: Failure, desk: _Desk) -> None:
        """Count a failed call as an abstention. Raises AnnotatorError if the next calls would fail, too."""
        if self._hopeless(failure, desk):
            raise error_of(self.config, self.config.field, failure, advice(self.config, failure))
        self.purse.calls.give_up(self.purse.run)
        self._say_once(f"{self._named}: a call was given up and counts as an abstention ({failure.text})", failure.why)

    def _hopeless(self, failure: Failure, desk: _Desk) -> bool:
        """Say whether no further call can succeed.

        A refusal may be about this prompt only. Then a harmless prompt is sent to find out: answers in the cache and in
        the ledger are old, and do not show that the key and the model are still right.
        """
        # A refusal of one prompt, by a server that answers others, does not count as a sign that the server is gone.
        about_prompt = failure.why in {Why.REFUSED, Why.TOO_LONG, Why.FILTERED}
        self._in_a_row += not (about_prompt and self._answered)
        enough = self._in_a_row >= max(IN_A_ROW, 2 * self.config.concurrency)
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

    def _takes_another_prompt(self, desk: _Desk) -> bool:
        """Ask a harmless question and say whether it was answered. It is paid for like any other call."""
        while True:  # a second time only if the server refuses log-probabilities
            request = request_of(self.config, probe_prompt(self.config), self.repeat, self._logprobs)
            if self._over(desk, request) is not None:
                return False
            outcome = self._call(request, Event().wait)
            if isinstance(outcome, Failure) and self._about_logprobs(outcome, request):
                self._without_logprobs(outcome.text)
                continue
            if isinstance(outcome, Failure) and outcome.why is not Why.UNREADABLE:
                return False
            self._answered, self._in_a_row = True, 0
            return True

    def _say_once(self, text: str, topic: str = "") -> None:
        if (topic or text) not in self._said:
            self._said.add(topic or text)
            self.say(text)


def _unread_words(unread: Counter[Unread]) -> str:
    total = unread.total()
    head = "1 reply counts as an abstention" if total == 1 else f"{total:,} replies count as abstentions"
    return f"{head}: " + ", ".join(f"{count:,} {why}" for why, count in unread.most_common())
