"""A stand-in for a judge's server: it speaks chat completions and checks sums, and in one case of twenty it errs.

    python stand_in_judge.py        # listens at http://localhost:8000/v1
    python stand_in_judge.py 9000   # at another port

It is for the tutorial alone: a real judge is a language model behind vLLM, llama.cpp or a hosted address.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SHOWN = re.compile(r"\[Answer A\]\n(.*?)\n\n\[Answer B\]\n(.*?)\n\nWhich answer", re.DOTALL)
STEP = re.compile(r"(\d+) ([-+]) (\d+) = (\d+)")


def is_right(answer: str) -> bool:
    """Say whether every step of an answer is right and its result is that of the last step."""
    steps = [(int(a) + (int(b) if sign == "+" else -int(b)), int(c)) for a, sign, b, c in STEP.findall(answer)]
    result = re.search(r"#### (\d+)\b", answer)
    if not steps or result is None:
        return False
    return all(found == said for found, said in steps) and steps[-1][1] == int(result[1])


def weights(prompt: str) -> dict[str, float]:
    """Return the probabilities of the replies A, B and C (equally good)."""
    shown = SHOWN.search(prompt)
    first, second = (is_right(answer) for answer in shown.groups()) if shown else (False, False)
    if first == second:
        return {"C": 0.8, "A": 0.1, "B": 0.1}
    errs = int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % 20 == 0
    better, worse = ("A", "B") if first != errs else ("B", "A")
    return {better: 0.85, worse: 0.1, "C": 0.05}


class Handler(BaseHTTPRequestHandler):
    """Answers each request with one token and its log-probabilities."""

    def do_POST(self) -> None:
        """Answer a chat completion."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(completion(request["messages"][-1]["content"])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
        """Say nothing."""


def completion(prompt: str) -> dict[str, Any]:
    """Return a chat completion in the form of the OpenAI API."""
    found = weights(prompt)
    top = [{"token": token, "logprob": math.log(weight)} for token, weight in found.items()]
    message = {"role": "assistant", "content": top[0]["token"]}
    logprobs = {"content": [{**top[0], "top_logprobs": top}]}
    usage = {"prompt_tokens": len(prompt) // 4, "completion_tokens": 1}
    return {"choices": [{"message": message, "finish_reason": "stop", "logprobs": logprobs}], "usage": usage}


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8000), Handler)
    print(f"listening at http://localhost:{server.server_port}/v1", flush=True)
    server.serve_forever()
