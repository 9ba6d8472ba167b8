"""People of a simulated study: what they are like, and how they go through the pages from the link to the code."""

from __future__ import annotations

import asyncio
import html
import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import NormalDist

import httpx2
from study_clients import HERE

from burnish.types import short_hash

_ACTION = re.compile(r'<form method="post" action="/task/([^"]+)"')
_TEXT = re.compile(r'<div class="text" dir="auto">(.*?)</div>', re.S)
GAP = math.sqrt(2)
"""The standard deviation of the difference of two qualities, each of which has 1."""
TRIES = 20
"""How often a request is sent again after a broken connection or a status 429 or 5xx."""


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What the people of a study are like. All of these numbers are ours, unless a comment says otherwise."""

    bots: float = 0.06
    """The share of people who are programs: they answer at once, and at random."""
    leave: float = 0.06
    """The share of people who stop at a random question. Half of them say so; the others just go away."""
    lean: float = 0.1
    """The share of people who lean to the answer that is shown first."""
    lean_points: float = 1.0
    """By how many points of the scale they lean."""
    accuracy: tuple[float, float] = (0.75, 0.97)
    """The accuracy of a person is between these numbers: how often the better answer of a pair is preferred whose
    answers differ in quality by one standard deviation."""
    gain: float = 1.5
    """How many points of the scale one unit of quality is worth."""
    text_seconds: float = 85.0
    """The median time of a demonstration. The paper asks for 60 to 120 seconds."""
    pair_seconds: float = 40.0
    """The median time of a comparison. The paper asks for 30 to 60 seconds, and for 50 minutes in all."""
    spread: float = 0.25
    """The standard deviation of the logarithm of the time, from question to question and from person to person."""
    words_a_minute: float = 25.0
    """The median number of words that a person thinks up and types in a minute."""


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What one person is like. `leaves_at` is the question at which the person stops, or None."""

    name: str
    bot: bool
    leaves_at: int | None
    says_so: bool
    lean: float
    accuracy: float
    pace: float
    words_a_minute: float
    seed: str


def drawn(crowd: Crowd, name: str, questions: int, seed: int) -> Traits:
    """Draw a person. The same name and seed give the same person."""
    key = short_hash("person", str(seed), name)
    chance = random.Random(key)
    bot, leaves, leans = (chance.random() < share for share in (crowd.bots, crowd.leave, crowd.lean))
    return Traits(
        name=name,
        bot=bot,
        leaves_at=chance.randint(1, questions) if leaves and not bot else None,
        says_so=chance.random() < 0.5,
        lean=crowd.lean_points if leans and not bot else 0.0,
        accuracy=chance.uniform(*crowd.accuracy),
        pace=math.exp(chance.gauss(0, crowd.spread)),
        words_a_minute=crowd.words_a_minute * math.exp(chance.gauss(0, crowd.spread)),
        seed=key,
    )


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An open question as the page shows it. A question of a demonstration has no answers."""

    token: str
    prompt: str
    first: str = ""
    second: str = ""


def shown_on(page: str) -> Shown | None:
    """Read the open question from a page, or None if the page has none."""
    action = _ACTION.search(page)
    if action is None:
        return None
    prompt, *answers = (html.unescape(text) for text in _TEXT.findall(page))
    return Shown(token=action[1], prompt=prompt, **dict(zip(("first", "second"), answers, strict=False)))


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a person wanted to say, and how long that took by their own clock, in seconds of the study.

    `towards_first` is positive if the person prefers the answer that was shown first, and `first` is its text. `gap` is
    the planted quality of the answer that was shown first, minus that of the other one.
    """

    person: str
    prompt: str
    seconds: float
    first: str = ""
    towards_first: int = 0
    gap: float = 0.0


@dataclass(kw_only=True)
class World:
    """What simulated people know: the quality of answers, and what one could write.

    `quality` is {(prompt, answer): quality}. `texts` is {prompt: a good answer}, of which people write the beginning.
    """

    crowd: Crowd
    quality: dict[tuple[str, str], float]
    texts: dict[str, str]
    most_value: int = 3

    def gap(self, question: Shown) -> float:
        """Return the quality of the answer that is shown second, minus that of the first one."""
        return self.quality[question.prompt, question.second] - self.quality[question.prompt, question.first]

    def value(self, who: Traits, question: Shown, chance: random.Random) -> int:
        """Return the point of the scale that a person chooses: negative for the answer that is shown first."""
        if who.bot:
            return chance.randint(-self.most_value, self.most_value)
        # So that a gap of one standard deviation is seen with the right sign as often as `accuracy` says.
        noise = GAP / NormalDist().inv_cdf(who.accuracy)
        seen = self.crowd.gain * (self.gap(question) + chance.gauss(0, noise)) - who.lean
        return max(-self.most_value, min(self.most_value, round(seen)))

    def text(self, who: Traits, question: Shown, seconds: float) -> str:
        """Return what a person writes in this time: the beginning of a good answer."""
        if who.bot:
            return "As an assistant, I am happy to help with this request. Here is a detailed answer."
        count = max(1, round(who.words_a_minute * seconds / 60))
        return " ".join(self.texts[question.prompt].split()[:count])

    def seconds(self, who: Traits, pairs: bool, chance: random.Random) -> float:
        """Return how long a person takes for a question, in seconds of the study."""
        if who.bot:
            return chance.uniform(3, 8)
        median = self.crowd.pair_seconds if pairs else self.crowd.text_seconds
        return median * who.pace * math.exp(chance.gauss(0, self.crowd.spread))


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass(kw_only=True)
class SimulatedPerson:
    """A person with a browser. `told` is called after each answer that the server acknowledged.

    `delay` is about how many real seconds a form is on its way. People send their answers so much earlier: a fast clock
    would stretch the way, which is longer on a busy machine.
    """

    who: Traits
    world: World
    client: httpx2.AsyncClient
    speed: float
    told: Callable[[Sent], None]
    statuses: list[int] = field(default_factory=list[int])
    delay: float = 0.0

    async def ask(self, method: str, path: str, data: dict[str, str] | None = None) -> httpx2.Response:
        """Send a request, and again if the connection broke or the server asked to wait."""
        for _ in range(TRIES):
            try:
                reply = await self.client.request(method, path, data=data, headers=HERE if method == "POST" else None)
            except httpx2.TransportError:
                await asyncio.sleep(0.5)
                continue
            self.statuses.append(reply.status_code)
            if reply.status_code != 429 and reply.status_code < 500:
                return reply
            await asyncio.sleep(5 / self.speed)
        raise RuntimeError(f"{method} {path}: the server did not answer {TRIES} times")

    async def take_part(self) -> str:
        """Go from the link to an end, and return the address of the last page."""
        await self.ask("GET", f"/start?participant={self.who.name}")
        if (await self.ask("GET", "/task")).headers.get("location") != "/welcome":
            return "/closed"
        await self.ask("GET", "/welcome")
        agreed = await self.ask("POST", "/consent", {})
        if agreed.headers["location"] == "/closed":
            return "/closed"
        chance = random.Random(short_hash("answers", self.who.seed))
        number = 0
        while True:
            begin = _now()
            page = await self.ask("GET", "/task")
            # The server notes the first showing on the way between the request and the page.
            begin = (begin + _now()) / 2
            question = shown_on(page.text)
            if question is None:
                return await self._end(page.headers.get("location", "/ended"))
            number += 1
            if number == self.who.leaves_at:
                return await self._leave()
            await self._answer(question, chance, begin)

    async def _answer(self, question: Shown, chance: random.Random, begin: float) -> None:
        pairs = bool(question.first)
        seconds = self.world.seconds(self.who, pairs, chance)
        form = {"website": "http://bot.example"} if self.who.bot and chance.random() < 0.5 else {}
        value = self.world.value(self.who, question, chance) if pairs else 0
        if not pairs:
            form["text"] = self.world.text(self.who, question, seconds)
            # A person saves a draft on the way, as the page's script does. A bot pastes its text.
            await asyncio.sleep(seconds / 2 / self.speed)
            if self.who.bot:
                form["pasted"] = str(len(form["text"]))
            else:
                half = form["text"][: len(form["text"]) // 2]
                await self.ask("POST", f"/draft/{question.token}", {"text": half})
        else:
            form["value"] = str(value)
        await asyncio.sleep(max(0.0, begin + seconds / self.speed - self.delay - _now()))
        sent = _now()
        reply = await self.ask("POST", f"/task/{question.token}", form)
        self.delay = (self.delay + (_now() - sent) / 2) / 2
        if reply.status_code == 303:
            gap = -self.world.gap(question) if pairs else 0.0
            said = Sent(
                person=self.who.name,
                prompt=question.prompt,
                seconds=seconds,
                first=question.first,
                towards_first=-value,
                gap=gap,
            )
            self.told(said)

    async def _leave(self) -> str:
        """Stop before the end: by the page, or by going away."""
        if self.who.says_so:
            await self.ask("POST", "/withdraw", {})
            return "/withdraw"
        return "gone"

    async def _end(self, address: str) -> str:
        if address == "/feedback":
            await self.ask("POST", "/feedback", {"text": "I am simulated."})
            await self.ask("GET", "/done")
        else:
            await self.ask("GET", "/ended")
        return address
