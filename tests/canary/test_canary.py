"""What a canary promises, under load: a good model takes over unnoticed, a bad one is undone by itself."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest

from tests.canary.load import MISTAKE, SELDOM, TOO_MANY, Answer, Load, counted
from tests.canary.production import Production
from tests.rig import Rig, until, write_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

# Five minutes are fifteen seconds. Models are no faster, so a minute has to outlast their answers.
SPEED = "20"
USERS = 8
ROWS = 250  # of which 50 are golden requests
SHARE = 0.1
GOOD = '"linear_model"'
STAGE = "Environment:\n          STAGE: prd\n        "
IMAGE = "Image: !Ref ImageUri\n        ModelDataUrl: !Ref ModelDataUrl"
# A file of container/models, as a user writes it. What is bad in production alone passes all before it.
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
    """What became of a delivery, and of the users' requests from its approval to its end."""

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
        return counted(self.answers)

    @property
    def shifts(self) -> list[dict[str, Any]]:
        return self.deployment["shifts"] if self.deployment else []

    def shared(self) -> list[Answer]:
        """Give the requests that were under way while two versions shared the traffic."""
        begin, end = (step["time"] for step in self.shifts[:2])
        return [each for each in self.answers if each.ended > begin and each.began < end]

    def tell(self, case: str) -> None:
        """Show who answered, for `pytest -rP`."""
        names = {self.old: "old", self.new: "new"}
        parts = {"all": self.answers, "shared": self.shared() if self.shifts else [], "large": self.large}
        shown = {
            part: {names.get(key, key): number for key, number in counted(answers).items()}
            for part, answers in parts.items()
        }
        sys.stdout.write(f"{case}: {json.dumps(shown)}\n")


def deliver(production: Production, asking_too_much: int = 0) -> Delivered:
    """Deliver the project as it stands, with users at the API from its approval on, and one who errs.

    Some may ask for answers that are larger than a function may return.
    """
    old, before = production.serving(), len(production.deployments())
    runner = production.rig.begin()
    pending = until(lambda: production.waiting() or runner.poll())
    assert runner.poll() is None, runner.communicate()
    url, key = production.url(), production.rig.cloud().key.id
    large = Load(url, key, asking_too_much, TOO_MANY, SELDOM)
    with Load(url, key, USERS) as load, Load(url, key, 1, MISTAKE) as errs, large:
        production.approve(pending)
        output, _ = runner.communicate(timeout=300)
        production.serving()
    new = [*production.deployments()[before:], None][0]
    answers = load.answers, errs.answers, large.answers
    return Delivered(runner.returncode, output, old, pending.execution_id, *answers, new)


@pytest.fixture(scope="module")
def production(bake: Callable[..., Path], environment_of: Callable[[Path], Path]) -> Iterator[Production]:
    """Deliver a good model; the container is told when it is in production."""
    root = bake(project="canary")
    rig = Rig(root, environment_of(root) / "bin" / "python")
    write_table(rig.data, ROWS)
    rig.put("stacks/deploy-model-prd.yml", IMAGE, STAGE + IMAGE)
    rig.set("model", "name", GOOD)
    done = rig.run("--speed", SPEED)
    assert done.returncode == 0, done.stdout
    yield Production(rig)
    rig.local("down")
    until(lambda: not rig.processes())


@pytest.fixture
def bad(production: Production) -> Iterator[Callable[..., Delivered]]:
    """Return what delivers a bad model; a good one is chosen after it, and delivered if that came through."""
    made: list[Delivered] = []

    def delivered(at_start: str = "", on_request: str = "") -> Delivered:
        production.rig.write_model("bad", MODEL.format(at_start=at_start, on_request=on_request))
        made.append(deliver(production))
        return made[-1]

    yield delivered
    production.rig.set("model", "name", GOOD)
    if any(done.code == 0 for done in made):
        production.rig.run()


def test_under_load_a_good_model_takes_over_and_no_request_fails(production: Production) -> None:
    """It is a retrained one; alarms that have something to see stay silent, whatever a user sends."""
    production.rig.set("data", "seed", "43")
    done = deliver(production, asking_too_much=1)
    done.tell("good")
    assert done.code == 0, done.output
    assert {each.status for each in done.answers} == {200}
    assert set(done.counts) == {done.old, done.new}
    assert production.serving() == done.new
    assert {each.status for each in done.mistakes} == {400}
    assert {each.version for each in done.mistakes} == {done.old, done.new}
    assert {each.status for each in done.large} == {413}
    assert done.new in {each.version for each in done.large}
    shared = counted(done.shared())
    assert 0 < shared[done.new] <= most(sum(shared.values()))
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
    bad: Callable[..., Delivered], production: Production, fault: dict[str, str], why: str
) -> None:
    """No user's request sees anything of it, and the run says what was wrong."""
    done = bad(**fault)
    done.tell(why)
    assert done.code == 1
    assert why in done.output
    assert done.deployment is not None
    assert done.deployment["status"] == "Failed"
    assert not done.shifts
    nobody_noticed(production, done)


def test_a_model_that_does_not_start_is_stopped_before_traffic(
    bad: Callable[..., Delivered], production: Production
) -> None:
    """There is no endpoint, so no deployment begins."""
    done = bad(at_start='if IN_PRODUCTION: raise OSError("no licence")')
    done.tell("dead")
    assert done.code == 1
    assert "no licence" in done.output
    assert done.deployment is None
    nobody_noticed(production, done)


def nobody_noticed(production: Production, done: Delivered) -> None:
    """Hold a delivery to this: only the old version has answered, and it is the one that is left."""
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
        # Ten milliseconds a row are nothing for one, and queue up where requests have many.
        ("time.sleep(0.01 * len(features))", {"version-slow"}, {200}),
    ],
    ids=["5XX on other rows", "slow under load"],
)
def test_a_model_that_is_bad_to_users_alone_is_undone(
    bad: Callable[..., Delivered], production: Production, line: str, alarms: set[str], statuses: set[int]
) -> None:
    """It passes the golden requests; alarms bring the old one back, and a canary's share of users saw it."""
    done = bad(on_request=line)
    done.tell(line)
    assert done.code == 1
    assert done.deployment is not None
    assert done.deployment["status"] == "Stopped"
    active = done.deployment["error"].rpartition("Activated alarms: ")[2].rstrip(".").split(", ")
    assert {each.removeprefix(f"canary-{done.new}-") for each in active} <= alarms
    assert {each.status for each in done.answers} == statuses
    saw = [each for each in done.answers if each.version != done.old]
    assert {each.version for each in saw} <= {done.new, ""}
    assert 0 < len(saw) <= most(len(done.shared()))
    assert production.serving() == done.old


def most(requests: int) -> float:
    """Give how many of so many a canary's share has at most: three standard errors above the mean."""
    return SHARE * requests + 3 * sqrt(requests * SHARE * (1 - SHARE))


def test_another_model_alone_makes_a_version_and_a_canary(production: Production) -> None:
    """With the very same code: only parameters of the stack are others."""
    old, before = production.serving(), len(production.deployments())
    production.update(ExecutionId="another", DeploymentHash=hashlib.sha256(b"another").hexdigest())
    was, became = production.configuration(old), production.configuration("another")
    assert was["CodeSha256"] == became["CodeSha256"]
    assert was["Version"] != became["Version"]
    (made,) = production.deployments()[before:]
    assert (made["from"], made["to"], made["status"]) == (was["Version"], became["Version"], "Succeeded")
    assert [step["weights"][became["Version"]] for step in made["shifts"]] == [0.1, 1.0]
    assert production.serving() == "another"
