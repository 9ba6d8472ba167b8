"""The process between a run and a Ray cluster: `python -m burnish.lab.ray_driver PID BRIEF`.

It reads one `Assignment` a line from stdin, lets a task of Ray Core compute it, and writes the reports of all tasks to
its stdout. It is a process of its own, because Ray waits for minutes for a cluster that is not there, then ends the
process, and prints the logs of dead nodes on stdout. The run notices its death, and Ray ends the tasks of a driver that
died.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any

from burnish.backends.ray_cluster import connected
from burnish.config.executors import Needs, RayExecutor, gpus_of, needs_of
from burnish.errors import BackendError, BurnishError
from burnish.lab.pool import About, Assignment, Brief, Report, line_of, read_line
from burnish.lab.remote import Origin, work
from burnish.lab.workers import Channel, briefed, failed, open_brief, started
from burnish.report.text import plural
from burnish.store.runners import LESS_MEMORY

POLL_SECONDS = 0.2
"""How long Ray is waited for before new assignments are looked for, in seconds."""
LOOK_SECONDS = 10.0
"""How often it is checked that a node can compute what waits, in seconds."""
PATIENCE = 300.0
"""How long the cluster may have no node with what a stage needs, in seconds. A cluster that grows needs minutes."""


@dataclass(slots=True, eq=False)
class _RayTask:
    """A task of Ray. `wants` are its resources, as Ray names them. It has `begun` when it has found a node. `homeless`
    is since when no node of the cluster has what it wants, busy nodes included. It is None if one has."""

    assignment: Assignment
    wants: dict[str, float]
    lines: Any
    begun: bool = False
    homeless: float | None = None
    last: Report | None = None


class Driver:
    """Starts tasks and passes their reports on."""

    def __init__(self, ray: Any, data: bytes, brief: Brief, channel: Channel) -> None:
        self._ray, self._brief, self._channel = ray, brief, channel
        self._data = ray.put(data)
        self._work = ray.remote(work)
        self._names = {stage.fingerprint: stage.name for stage in brief.stages}
        self._tasks: dict[Any, _RayTask] = {}
        self._looked = time.monotonic()

    def serve(self, assignments: queue.SimpleQueue[Assignment | None]) -> None:
        """Compute assignments until there is a None among them."""
        while True:
            try:
                # Ray is asked all the time. Only if nothing runs, the next assignment is waited for.
                task = assignments.get(block=not self._tasks)
                if task is None:
                    return
                self._submit(task)
                continue
            except queue.Empty:
                self._pass_on()
            if time.monotonic() - self._looked > LOOK_SECONDS:
                self._looked = time.monotonic()
                self._look()

    def _submit(self, assignment: Assignment) -> None:
        execution = self._brief.configs[assignment.config].execution
        name = self._names[assignment.fingerprint]
        needs = needs_of(execution.needs, name)
        gpus = gpus_of(needs, name, execution.device, self._ray.cluster_resources().get("GPU", 0.0))
        wants = _wanted(needs, gpus)
        # A stage whose worker died is tried again by the run, which counts the deaths. So Ray does not do it.
        options = {"num_returns": "streaming", "max_retries": 0, "name": name}
        options |= {"num_cpus": wants["CPU"], "num_gpus": gpus, "memory": wants.get("memory")}
        lines = self._work.options(**options).remote(self._data, Origin(folder=os.getcwd()), line_of(assignment))
        self._tasks[lines] = _RayTask(assignment, wants, lines)

    def _pass_on(self) -> None:
        """Send what tasks have reported since the last call."""
        ready, _ = self._ray.wait(list(self._tasks), num_returns=1, timeout=POLL_SECONDS)
        for lines in ready:
            task = self._tasks[lines]
            try:
                line = self._ray.get(next(lines))
            except StopIteration:
                self._end(task, task.last or _lost("it ended without a report"))
            except self._ray.exceptions.RayError as error:
                self._end(task, task.last or _broken(self._ray, error))
            else:
                task.begun = True
                self._take(task, line)

    def _take(self, task: _RayTask, line: bytes) -> None:
        if not line:
            return
        report = read_line(line, Report)
        if report.about is About.SAID:
            self._channel.send(report)
        else:
            # Sent when the task has ended: until then it holds its resources.
            task.last = report

    def _end(self, task: _RayTask, report: Report) -> None:
        del self._tasks[task.lines]
        self._channel.send(replace(report, fingerprint=task.assignment.fingerprint))

    def _look(self) -> None:
        """Say which stages no node can compute. After a while they have failed."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        for task in [task for task in self._tasks.values() if not task.begun]:
            if any(all(node.get(name, 0.0) >= wanted for name, wanted in task.wants.items()) for node in nodes):
                # It only waits for its turn. If that node dies, there is as much time for another one to come.
                task.homeless = None
                continue
            name = self._names[task.assignment.fingerprint]
            words = f"{name}: no node of the Ray cluster has {_words(task.wants)}"
            if task.homeless is None:
                task.homeless = time.monotonic()
                self._channel.send(Report(about=About.SAID, message=f"{words}; waiting {PATIENCE:.0f} s for one"))
            elif time.monotonic() - task.homeless > PATIENCE:
                self._ray.cancel(task.lines, force=True)
                fix = "add a node, or lower execution.needs; finished work is kept"
                self._end(task, failed("", BackendError(f"{words}; {fix}")))


def _wanted(needs: Needs, gpus: float) -> dict[str, float]:
    """Return what a stage needs, as Ray names it."""
    memory = {} if needs.memory_gb is None else {"memory": needs.memory_gb * 1e9}
    return {"CPU": float(needs.cpus), **({"GPU": gpus} if gpus else {}), **memory}


def _words(wants: dict[str, float]) -> str:
    units = {"CPU": "CPU core", "GPU": "GPU", "memory": "byte"}
    words = (f"{number:,.10g} {units[name]}{'' if number == 1 else 's'}" for name, number in wants.items())
    return " and ".join(words) + (" of memory" if "memory" in wants else "")


def _lost(why: str) -> Report:
    return Report(about=About.LOST, message=f"its worker on the Ray cluster was lost: {why}")


def _broken(ray: Any, error: Exception) -> Report:
    """Say why a task has no end. If its node or process died, it is tried again."""
    why = str(error).strip().splitlines()[0]
    if isinstance(error, ray.exceptions.RayTaskError | ray.exceptions.RaySystemError):
        words = str(error).strip().splitlines()[-1]
        return failed(
            "", BackendError(f"a node of the Ray cluster cannot start a stage: {words}; is burnish installed?")
        )
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return _lost(f"its node ran out of memory: {LESS_MEMORY}")
    if isinstance(error, ray.exceptions.NodeDiedError):
        return replace(_lost("its node died"), node_died=True)
    return _lost(why)


def _connected(brief: Brief) -> Any:
    """Connect to the cluster, and return the module ray."""
    executor = brief.configs[0].execution.executor
    assert isinstance(executor, RayExecutor), executor
    return connected(executor.address)


def _read(assignments: queue.SimpleQueue[Assignment | None]) -> None:
    for line in sys.stdin.buffer:
        # The run may be killed while it writes, so the last line may be a part of one.
        if line.endswith(b"\n"):
            assignments.put(read_line(line, Assignment))
    assignments.put(None)


def main() -> None:
    """Serve a run. The arguments are the process id of the run and the number of the open file with the brief."""
    channel = started(int(sys.argv[1]))
    data = open_brief(int(sys.argv[2]))
    try:
        brief = briefed(data)
    except BurnishError as error:
        channel.send(failed("", error))
        sys.exit(2)
    ray = _connected(brief)
    nodes, all_of = [node for node in ray.nodes() if node["Alive"]], ray.cluster_resources()
    has = f"{all_of.get('CPU', 0):.0f} CPU cores, {all_of.get('GPU', 0):.0f} GPUs"
    channel.send(Report(about=About.SAID, message=f"Ray: {plural(len(nodes), 'node')}, {has}"))
    assignments = queue.SimpleQueue[Assignment | None]()
    threading.Thread(target=_read, args=(assignments,), daemon=True).start()
    try:
        Driver(ray, data, brief, channel).serve(assignments)
    except Exception:
        traceback.print_exc()
        # The thread that waits for stdin would turn an ordinary end into an abort.
        os._exit(1)
    # Tasks that still run end with this process.
    ray.shutdown()


if __name__ == "__main__":
    main()
