"""Runs a stage of medcosmos on a Ray cluster.

    pip install -r pipelines/ray/requirements.txt
    python pipelines/ray/medcosmos_ray.py build RAW -- --out DATASET
    python pipelines/ray/medcosmos_ray.py predict DATASET --gpus-per-worker 1 --cpus-per-worker 8 -- --provider cuda
    python pipelines/ray/medcosmos_ray.py evaluate DATASET

Options of the stage follow `--`. Raw data and dataset are on storage that all nodes see, and `medcosmos` is installed on
every node (`--medcosmos`, $MEDCOSMOS or PATH). The driver asks `medcosmos plan` for the open shards, has them run, and
calls `medcosmos commit`. Only ids and receipts pass through Ray. Run it again after any interruption: it goes on.

One machine: run it; without a cluster, Ray starts on all cores. Several machines, by hand:

    ray start --head --port 6379                      # on the first machine
    ray start --address FIRST:6379                    # on each of the others
    python pipelines/ray/medcosmos_ray.py …           # on the first

Under Slurm, `ray symmetric-run` starts a cluster on the nodes of a job, runs the driver on the first and ends:

    #SBATCH --nodes=4 --ntasks-per-node=1 --exclusive
    head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    srun ray symmetric-run --address "$head:6379" --min-nodes 4 -- python pipelines/ray/medcosmos_ray.py …

On Kubernetes: rayjob.yaml. More: docs/scale-out.md.

Exit status: that of `medcosmos commit`; 3 if shards failed, in which case nothing is committed; 1 for other errors.
"""

import argparse
import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from dataclasses import dataclass

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

# Shards of together about so many seconds are handed out at once: a call of Ray takes milliseconds.
BUNDLE_SECONDS = 30.0
# The process of a task reads what the plan is made from. Bundles that last so many times as long make that negligible.
BUNDLE_PLANS = 10
# How often Ray repeats a call whose process, worker or node died.
RETRIES = 3
# How often a shard is handed out before its failure is reported, from the second time on without other shards. A shard is
# lost when its worker or node was, which says little about the shard.
TRIES = {"failed": 2, "lost": 6}
SOME_FAILED = 3


class Died(Exception):
    """The process of medcosmos ended before it answered: it was killed, ran out of memory, or crashed."""


@dataclass(frozen=True)
class Program:
    """How medcosmos runs on the nodes."""

    medcosmos: str
    dataset: str
    cpus: int
    gpus: float
    memory: str | None  # None: the share of the node

    def needs(self) -> dict[str, float]:
        return {"CPU": self.cpus, "GPU": self.gpus} if self.gpus else {"CPU": self.cpus}

    def start(self, *words: str, **streams) -> subprocess.Popen:
        """Starts medcosmos so that the kernel ends it when the worker of Ray ends, however it does."""
        limits = ["--threads", str(self.cpus), "--memory", self.memory or self._share()]
        command = [self.medcosmos, *words, "--quiet", *limits]
        if sys.platform == "linux":
            pr_set_pdeathsig, prctl = 1, ctypes.CDLL(None).prctl
            streams["preexec_fn"] = lambda: prctl(pr_set_pdeathsig, signal.SIGTERM)
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **streams)

    def _share(self) -> str:
        """Of the 75 % that medcosmos takes by default, what one of as many workers as fit may take."""
        own = ray.get_runtime_context().get_node_id()
        resources = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == own)
        return f"{75 * max(need / resources[name] for name, need in self.needs().items()):.3f}%"


def _died(process: subprocess.Popen, errors) -> Died:
    status = process.wait()
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - 2000))
    words = errors.read().decode(errors="replace").strip()
    how = f"by signal {-status}" if status < 0 else f"with status {status}"
    return Died(f"medcosmos ended {how} on {os.uname().nodename}: {words}")


def run_in_task(program: Program, ids: list[str]) -> list[dict]:
    """A task: a process of `medcosmos shard run` for a bundle. Returns the receipts."""
    with tempfile.TemporaryFile() as errors:
        words = ["shard", "run", program.dataset, *ids, "--json"]
        process = program.start(*words, stdin=subprocess.DEVNULL, stderr=errors)
        receipts = [json.loads(line) for line in process.stdout if line.endswith("\n")]
        if len(receipts) < len(ids):
            raise _died(process, errors)
        process.wait()
        return receipts


class Worker:
    """An actor: holds a process of `medcosmos worker`, with its model, for as long as it lives."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.start()

    def start(self) -> None:
        self.errors = tempfile.TemporaryFile()
        self.process = self.program.start("worker", self.program.dataset, stdin=subprocess.PIPE, stderr=self.errors)

    def ready(self) -> None:
        """Returns once Ray has placed and started the actor."""

    @ray.method(max_task_retries=RETRIES, retry_exceptions=[Died])
    def run(self, ids: list[str]) -> list[dict]:
        if self.process.poll() is not None:
            self.start()
        return [self.answer(id) for id in ids]

    def answer(self, id: str) -> dict:
        try:
            print(id, file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line.endswith("\n"):
            raise _died(self.process, self.errors)
        return json.loads(line)

    def close(self) -> None:
        """Ends the process, which shares the lock of the dataset."""
        self.process.communicate()


def places(program: Program) -> dict[str, int]:
    """How many workers fit into each living node."""
    living = {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}
    needs = program.needs().items()
    return {node: int(min(has.get(name, 0) / need for name, need in needs)) for node, has in living.items()}


class Tasks:
    """Runs bundles as tasks. Ray chooses the node, and another one where the first dies."""

    def __init__(self, program: Program, limit: int) -> None:
        self.program, self.limit = program, limit
        resources = {"num_cpus": program.cpus, "num_gpus": program.gpus}
        self.task = ray.remote(max_retries=RETRIES, retry_exceptions=[Died], **resources)(run_in_task)
        self.running = 0

    def look_after(self) -> list[ray.ObjectRef]:
        self.workers = min(sum(places(self.program).values()), self.limit)
        return []

    def starting(self) -> list[ray.ObjectRef]:
        return []

    def has_room(self, depth: int) -> bool:
        return self.running < depth * self.workers

    def begin(self, ids: list[str]) -> ray.ObjectRef:
        self.running += 1
        return self.task.remote(self.program, ids)

    def end(self, call: ray.ObjectRef, lost: bool) -> None:
        self.running -= 1

    def close(self) -> None:
        """A task leaves nothing behind."""


class Seat:
    """An actor on a node, and its calls: the one that runs, and one that waits."""

    def __init__(self, kind, program: Program, node: str) -> None:
        self.node, self.calls = node, []
        here = NodeAffinitySchedulingStrategy(node, soft=False)
        self.actor = kind.options(scheduling_strategy=here).remote(program)
        self.ask()

    def ask(self) -> None:
        """Takes no calls until the actor answers."""
        self.starting: ray.ObjectRef | None = self.actor.ready.remote()

    def answered(self) -> None:
        try:
            ray.get(self.starting)
            self.starting = None
        except ActorUnavailableError:
            self.ask()
        except RayError:
            if self.node in {node["NodeID"] for node in ray.nodes() if node["Alive"]}:
                raise  # medcosmos cannot be started there


class Actors:
    """Runs bundles on actors, each with a warm model: as many on each node as fit, also on nodes that join later.

    Ray restarts an actor whose process dies, and repeats its calls (`max_restarts`, `max_task_retries`). An actor stays on
    its node: if that dies, its calls return to the queue at once instead of waiting for a node with room.
    """

    def __init__(self, program: Program, limit: int) -> None:
        self.program, self.limit = program, limit
        resources = {"num_cpus": program.cpus, "num_gpus": program.gpus}
        self.kind = ray.remote(max_restarts=-1, max_task_retries=RETRIES, **resources)(Worker)
        self.seats: list[Seat] = []

    @property
    def workers(self) -> int:
        return sum(seat.starting is None for seat in self.seats)

    def look_after(self) -> list[ray.ObjectRef]:
        """Seats actors where there is room; returns the calls of those whose node is dead."""
        room = places(self.program)
        dead = [seat for seat in self.seats if seat.node not in room]
        self.seats = [seat for seat in self.seats if seat.node in room]
        for node, fit in room.items():
            missing = fit - sum(seat.node == node for seat in self.seats)
            for _ in range(min(missing, self.limit - len(self.seats))):
                self.seats.append(Seat(self.kind, self.program, node))
        for seat in dead:
            ray.kill(seat.actor)
        return [call for seat in dead for call in seat.calls]

    def starting(self) -> list[ray.ObjectRef]:
        return [seat.starting for seat in self.seats if seat.starting]

    def has_room(self, depth: int) -> bool:
        return any(not seat.starting and len(seat.calls) < depth for seat in self.seats)

    def begin(self, ids: list[str]) -> ray.ObjectRef:
        seat = min((seat for seat in self.seats if not seat.starting), key=lambda seat: len(seat.calls))
        seat.calls.append(seat.actor.run.remote(ids))
        return seat.calls[-1]

    def end(self, call: ray.ObjectRef, lost: bool) -> None:
        for seat in self.seats:
            if call in seat.calls:
                seat.calls.remove(call)
                if lost and not seat.starting:
                    seat.ask()

    def answered(self, call: ray.ObjectRef) -> None:
        next(seat for seat in self.seats if seat.starting == call).answered()

    def close(self) -> None:
        calls = [seat.actor.close.remote() for seat in self.seats if not seat.starting]
        ray.wait(calls, num_returns=len(calls), timeout=60) if calls else None
        for seat in self.seats:
            ray.kill(seat.actor)


class Progress:
    """Counts receipts and prints a line every few seconds."""

    def __init__(self, plan: str, shards: list[dict]) -> None:
        self.plan, self.shards = plan, {shard["id"]: shard for shard in shards}
        self.done, self.failed = 0, {}
        self.estimated, self.measured = 0.0, 0.0
        self.left = sum(shard["seconds"] for shard in shards)
        self.began = self.printed = time.monotonic()

    def add(self, receipt: dict) -> None:
        shard = self.shards[receipt["id"]]
        self.left -= shard["seconds"]
        if receipt["outcome"] in TRIES:
            self.failed[receipt["id"]] = receipt.get("reason")
            print(f"{self.plan}: {receipt['id']} failed ({shard['about']}): {receipt.get('reason')}", file=sys.stderr)
            return
        self.done += 1
        self.measured += receipt["seconds"]
        if receipt["outcome"] == "done":
            self.estimated += shard["seconds"]

    def print(self, workers: int, every: float = 5.0) -> None:
        now = time.monotonic()
        if now - self.printed < every:
            return
        self.printed = now
        scale = self.measured / self.estimated if self.estimated else 1.0
        ahead = f"about {self.left * scale / workers:.0f} s left" if workers else "waiting for a node with room"
        failed = f", {len(self.failed)} failed" if self.failed else ""
        counts = f"{self.done} of {len(self.shards)} shards done{failed}, {workers} workers"
        print(f"{self.plan}: {counts}, {ahead}", file=sys.stderr)

    def end(self) -> None:
        took = time.monotonic() - self.began
        print(f"{self.plan}: {self.done} shards, {self.measured:.1f} s of work in {took:.1f} s", file=sys.stderr)


def bundled(shards: list[dict], seconds: float, workers: int) -> deque[list[str]]:
    """Ids in bundles of about so many seconds, or four for each worker; the longest first."""
    most = min(seconds, sum(shard["seconds"] for shard in shards) / (4 * max(workers, 1)))
    bundles: list[list[str]] = []
    seconds = 0.0
    for shard in sorted(shards, key=lambda shard: (-shard["seconds"], shard["id"])):
        if not bundles or seconds + shard["seconds"] > most:
            bundles.append([])
            seconds = 0.0
        bundles[-1].append(shard["id"])
        seconds += shard["seconds"]
    return deque(bundles)


def receipts(call: ray.ObjectRef, ids: list[str]) -> list[dict]:
    """What a call returned, or the same end of all its shards."""
    try:
        return ray.get(call)
    except RayTaskError as error:
        outcome, reason = "failed", str(error.cause)
    except RayError as error:
        outcome, reason = "lost", str(error)
    return [{"id": id, "outcome": outcome, "seconds": 0.0, "reason": reason} for id in ids]


def work_off(pool: Tasks | Actors, shards: list[dict], seconds: float, progress: Progress) -> None:
    """Has all shards run. The longest begin first; a worker has the bundle that runs and one that waits."""
    pool.look_after()
    queue = bundled(shards, seconds, pool.workers)
    calls: dict[ray.ObjectRef, list[str]] = {}
    tries: Counter[tuple[str, str]] = Counter()
    looked = time.monotonic()
    while queue or calls:
        if time.monotonic() - looked > 1:
            looked = time.monotonic()
            queue.extendleft(calls.pop(call) for call in pool.look_after())
        # None waits near the end: the last bundles go to whoever is free.
        while queue and pool.has_room(2 if len(queue) > pool.workers else 1):
            ids = queue.popleft()
            calls[pool.begin(ids)] = ids
        for call in ended([*calls, *pool.starting()]):
            if call not in calls:
                pool.answered(call)
                continue
            found = receipts(call, calls.pop(call))
            pool.end(call, lost=found[0]["outcome"] == "lost")
            for receipt in found:
                end = receipt["id"], receipt["outcome"]
                tries[end] += 1
                if tries[end] < TRIES.get(receipt["outcome"], 0):
                    queue.append([receipt["id"]])
                else:
                    progress.add(receipt)
        progress.print(pool.workers)


def ended(calls: list[ray.ObjectRef]) -> list[ray.ObjectRef]:
    """Waits for a call, at most a second."""
    if calls:
        return ray.wait(calls, timeout=1)[0]
    time.sleep(1)
    return []


def parsed(words: list[str]) -> argparse.Namespace:
    own, options = words, []
    if "--" in words:
        own, options = words[: words.index("--")], words[words.index("--") + 1 :]
    summary, _, text = __doc__.partition("\n\n")
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=summary, epilog=text, formatter_class=raw)
    parser.add_argument("stage", choices=["build", "predict", "evaluate"])
    parser.add_argument("path", help="what the stage takes: raw data for build, else a dataset")
    parser.add_argument("--address", help="of the cluster (default: $RAY_ADDRESS, a running one here, or a new one)")
    parser.add_argument("--medcosmos", default=os.environ.get("MEDCOSMOS", "medcosmos"), help="the program, on all nodes")
    parser.add_argument("--workers", type=int, default=sys.maxsize, help="at most so many (default: as many as fit)")
    parser.add_argument("--cpus-per-worker", type=int, default=1, help="cores, and threads, of a worker (default: 1)")
    parser.add_argument("--gpus-per-worker", type=float, default=0, help="whose threads share the model (default: 0)")
    parser.add_argument("--memory-per-worker", help="as of medcosmos --memory (default: a share of 75 %% of the node)")
    arguments = parser.parse_args(own)
    arguments.options = options
    return arguments


def main(words: list[str]) -> int:
    arguments = parsed(words)
    medcosmos = arguments.medcosmos
    began = time.monotonic()
    planned = [medcosmos, "plan", arguments.stage, arguments.path, *arguments.options, "--json"]
    plan = json.loads(subprocess.run(planned, check=True, stdout=subprocess.PIPE).stdout)
    planning = time.monotonic() - began
    dataset, name = plan["dataset"], plan["plan"]
    dataset = dataset if "://" in dataset else os.path.abspath(dataset)
    shards = [shard for shard in plan["shards"] if shard["state"] == "open"]
    progress = Progress(name, shards)
    print(f"{name}: {len(shards)} of {len(plan['shards'])} shards are open", file=sys.stderr)
    if shards:
        ray.init(address=arguments.address, log_to_driver=False, logging_level="ERROR")
        program = Program(
            medcosmos, dataset, arguments.cpus_per_worker, arguments.gpus_per_worker, arguments.memory_per_worker
        )
        if arguments.stage == "predict":
            pool, seconds = Actors(program, arguments.workers), BUNDLE_SECONDS
        else:
            pool, seconds = Tasks(program, arguments.workers), max(BUNDLE_SECONDS, BUNDLE_PLANS * planning)
        work_off(pool, shards, seconds, progress)
        pool.close()
        progress.end()
    if progress.failed:
        listing = shlex.join([medcosmos, "retry", dataset, name, "--dry-run"])
        print(f"{name}: {len(progress.failed)} shards failed, nothing is committed. See: {listing}", file=sys.stderr)
        return SOME_FAILED
    return subprocess.run([medcosmos, "commit", dataset, name]).returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, subprocess.CalledProcessError, RayError) as error:
        sys.exit(f"{sys.argv[0]}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
