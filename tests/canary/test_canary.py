"""Canaries under load: a good model replaces the champion without failures, a bad one is rolled back."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest

from tests.canary.load import INVALID_ROW, LONG_THINK_SECONDS, MANY_ROWS, Answer, Load, count_answers
from tests.canary.production import Production
from tests.harness import Rig, until, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

# Five minutes are 15 seconds. Models are not faster, so a minute has to be longer than their answers take.
SPEED = "20"
USERS = 8
ROWS = 250  # 50 of them are golden requests
SHARE = 0.1
GOOD = '"linear_model"'
STAGE = "Environment:\n          STAGE: prd\n        "
IMAGE = "Image: !Ref ImageUri\n        ModelDataUrl: !Ref ModelDataUrl"
# A file of container/models, as a user writes it. A fault in production only passes all earlier stages.
MODEL = """
import os
import time

from container.models import linear_model

Hyperparameters = linear_model.Hyperparameters
IN_PRODUCTION = os.environ.get("STAGE") == "prd"
{at_start}


class Model(linear_model.LinearModel):
    def predict(self, features):
        answers = super().predict(features)
        {on_request}
        return answers


LOADED = Model


def create(schema, hyperparameters, seed):
    return Model(linear_model.create(schema, hyperparameters, seed).estimator, schema)
"""


@dataclass(frozen=True)
class Delivered:
    """The result of a delivery, and the answers to users from its approval to its end."""

    code: int
    output: str
    old: str
    new: str
    answers: list[Answer]
    mistakes: list[Answer]
    large: list[Answer]
    deployment: dict[str, Any] | None

    @property
    def counts(self) -> dict[Any, int]:
        return count_answers(self.answers)

    @property
    def shifts(self) -> list[dict[str, Any]]:
        return self.deployment["shifts"] if self.deployment else []

    def shared(self) -> list[Answer]:
        """Return the requests in flight while two versions shared the traffic."""
        begin, end = (step["time"] for step in self.shifts[:2])
        return [each for each in self.answers if each.ended > begin and each.began < end]

    def print_counts(self, case: str) -> None:
        """Print the answers by version, for `pytest -rP`."""
        names = {self.old: "old", self.new: "new"}
        parts = {"all": self.answers, "shared": self.shared() if self.shifts else [], "large": self.large}
        shown = {
            part: {names.get(key, key): number for key, number in count_answers(answers).items()}
            for part, answers in parts.items()
        }
        sys.stdout.write(f"{case}: {json.dumps(shown)}\n")


def deliver(production: Production, large_requests: int = 0) -> Delivered:
    """Deliver the project, with users at the API from the approval on, and one user with invalid requests.

    Further users may ask for answers that are larger than a function may return.
    """
    old, before = production.serving(), len(production.deployments())
    runner = production.rig.begin()
    pending = until(lambda: production.pending_approval() or runner.poll())
    assert runner.poll() is None, runner.communicate()
    url, key = production.url(), production.rig.cloud().key.id
    large = Load(url, key, large_requests, MANY_ROWS, LONG_THINK_SECONDS)
    with Load(url, key, USERS) as load, Load(url, key, 1, INVALID_ROW) as mistakes, large:
        production.approve(pending)
        output, _ = runner.communicate(timeout=300)
        production.serving()
    new = [*production.deployments()[before:], None][0]
    answers = load.answers, mistakes.answers, large.answers
    return Delivered(runner.returncode, output, old, pending.execution_id, *answers, new)


@pytest.fixture(scope="module")
def production(bake: Callable[..., Path], environment_of: Callable[[Path], Path]) -> Iterator[Production]:
    """Deliver a good model; an environment variable of the container says that it is in production."""
    root = bake(project="canary")
    rig = Rig(root, environment_of(root) / "bin" / "python")
    write_table(rig.data, ROWS)
    rig.put("stacks/deploy-model-prd.yml", IMAGE, STAGE + IMAGE)
    rig.set("model", "name", GOOD)
    done = rig.run("--speed", SPEED)
    assert done.returncode == 0, done.stdout
    yield Production(rig)
    rig.local("down", "--delete")
    until(lambda: not rig.processes())


@pytest.fixture
def deliver_bad_model(production: Production) -> Iterator[Callable[..., Delivered]]:
    """Yield a function that delivers a bad model; afterwards a good one is restored."""
    made: list[Delivered] = []

    def delivered(at_start: str = "", on_request: str = "") -> Delivered:
        production.rig.write_model("bad", MODEL.format(at_start=at_start, on_request=on_request))
        made.append(deliver(production))
        return made[-1]

    yield delivered
    production.rig.set("model", "name", GOOD)
    if any(done.code == 0 for done in made):
        production.rig.run()


def test_a_good_model_takes_over_without_failed_requests_under_load(production: Production) -> None:
    """It is a retrained model; no alarm fires, whatever the users send."""
    production.rig.set("data", "seed", "43")
    done = deliver(production, large_requests=1)
    done.print_counts("good")
    assert done.code == 0, done.output
    assert {each.status for each in done.answers} == {200}
    assert set(done.counts) == {done.old, done.new}
    assert production.serving() == done.new
    assert {each.status for each in done.mistakes} == {400}
    assert {each.version for each in done.mistakes} == {done.old, done.new}
    assert {each.status for each in done.large} == {413}
    assert done.new in {each.version for each in done.large}
    shared = count_answers(done.shared())
    assert 0 < shared[done.new] <= max_canary_requests(sum(shared.values()))
    states = production.states(done.new)
    assert len(states) == 6
    assert all("ALARM" not in seen for seen in states.values()), states
    sent = [json.loads(line) for line in production.log("canary-synthetic").splitlines() if '"Sent"' in line]
    assert any(done.new in each["answered"] and done.old in each["answered"] for each in sent)


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (
            {"on_request": "answers = answers + IN_PRODUCTION"},
            "another model is served, or it is served wrongly",
        ),
        ({"on_request": "time.sleep(1.2 * IN_PRODUCTION)"}, "1000 ms are allowed"),
        ({"on_request": 'if IN_PRODUCTION: raise ValueError("broken")'}, "status 500"),
    ],
    ids=["wrong", "slow", "5XX"],
)
def test_a_bad_model_is_stopped_before_traffic(
    deliver_bad_model: Callable[..., Delivered], production: Production, fault: dict[str, str], why: str
) -> None:
    """No user's request reaches the bad model, and the run's output has the reason."""
    done = deliver_bad_model(**fault)
    done.print_counts(why)
    assert done.code == 1
    assert why in done.output
    assert done.deployment is not None
    assert done.deployment["status"] == "Failed"
    assert not done.shifts
    assert_only_the_old_version_answered(production, done)


def test_a_model_that_does_not_start_is_stopped_before_traffic(
    deliver_bad_model: Callable[..., Delivered], production: Production
) -> None:
    """The endpoint is not created, so no deployment begins."""
    done = deliver_bad_model(at_start='if IN_PRODUCTION: raise OSError("no licence")')
    done.print_counts("dead")
    assert done.code == 1
    assert "no licence" in done.output
    assert done.deployment is None
    assert_only_the_old_version_answered(production, done)


def assert_only_the_old_version_answered(production: Production, done: Delivered) -> None:
    """Fail unless the old version alone has answered, and is the only one left."""
    assert {each.status for each in done.answers} == {200}
    assert set(done.counts) == {done.old}
    assert production.serving() == done.old


@pytest.mark.parametrize(
    ("line", "alarms", "statuses"),
    [
        (
            'if features.max() > 1e5: raise ValueError("out of range")',
            {"version-errors", "endpoint-5xx"},
            {200, 502},
        ),
        # Ten milliseconds a row are short for one row, and fill a queue where requests have many.
        ("time.sleep(0.01 * len(features))", {"version-slow"}, {200}),
    ],
    ids=["5XX on other rows", "slow under load"],
)
def test_a_model_that_fails_only_for_users_is_rolled_back(
    deliver_bad_model: Callable[..., Delivered],
    production: Production,
    line: str,
    alarms: set[str],
    statuses: set[int],
) -> None:
    """It passes the golden requests; alarms roll it back, and it got the canary's share of requests only."""
    done = deliver_bad_model(on_request=line)
    done.print_counts(line)
    assert done.code == 1
    assert done.deployment is not None
    assert done.deployment["status"] == "Stopped"
    active = done.deployment["error"].rpartition("Activated alarms: ")[2].rstrip(".").split(", ")
    assert {each.removeprefix(f"canary-{done.new}-") for each in active} <= alarms
    assert {each.status for each in done.answers} == statuses
    saw = [each for each in done.answers if each.version != done.old]
    assert {each.version for each in saw} <= {done.new, ""}
    assert 0 < len(saw) <= max_canary_requests(len(done.shared()))
    assert production.serving() == done.old


def max_canary_requests(requests: int) -> float:
    """Return the most requests that a canary may get: three standard errors above its mean share."""
    return SHARE * requests + 3 * sqrt(requests * SHARE * (1 - SHARE))


def test_a_new_model_with_the_same_code_is_a_new_version_with_a_canary(production: Production) -> None:
    """Only parameters of the stack change."""
    old, before = production.serving(), len(production.deployments())
    production.update(ExecutionId="another", DeploymentHash=hashlib.sha256(b"another").hexdigest())
    was, became = production.configuration(old), production.configuration("another")
    assert was["CodeSha256"] == became["CodeSha256"]
    assert was["Version"] != became["Version"]
    (made,) = production.deployments()[before:]
    assert (made["from"], made["to"], made["status"]) == (was["Version"], became["Version"], "Succeeded")
    assert [step["weights"][became["Version"]] for step in made["shifts"]] == [0.1, 1.0]
    assert production.serving() == "another"
