"""A job in a process that waited for it: the container cannot tell, but for the time."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cloud_harness import BUCKET, make_project, project_at, started

import localcloud
from localcloud.core import account, managed_process, parent_watchdog, warm_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EARLY, OTHER = "wave", "calendar"  # modules that the container's program does not import
PROGRAM = """
import os, sys
EARLY = "wave" in sys.modules
import calendar, json, signal, time

seen = {
    "early": EARLY,
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
    "arguments": sys.argv,
    "path": sys.path[0],
    "own": getattr(calendar, "OWN", False),
    "main": sys.modules["__main__"].__spec__.name,
    "input": sys.stdin.read(),
}
print(json.dumps(seen), flush=True)
if "SLEEP" in os.environ:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    print("ready", flush=True)
    time.sleep(30)
sys.exit(int(os.environ.get("EXIT", "0")))
"""


@pytest.fixture
def project(tmp_path: Path) -> localcloud.Project:
    """Write a project with a container."""
    root = tmp_path / "project"
    (root / "program").mkdir(parents=True)
    (root / ".local" / "tmp").mkdir(parents=True)
    (root / "program" / "__main__.py").write_text(PROGRAM)
    preload = localcloud.Preload(("train", "evaluate"), (EARLY, OTHER), (("OMP_NUM_THREADS", "1"),))
    return localcloud.Project(root, "p", preloads=(preload,))


@pytest.fixture(autouse=True)
def _short_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_pool, "REST_SECONDS", 0.3)


@pytest.fixture
def pools() -> Iterator[Callable[[localcloud.Project], Any]]:
    """Yield what makes pools; end them all."""
    made = []

    def make(project: localcloud.Project) -> Any:
        made.append(warm_pool.WarmPool(project))
        return made[-1]

    yield make
    for each in made:
        each.close()


def begin(pool: Any, project: localcloud.Project, command: str = "train", **variables: str) -> Any:
    """Start a command of the container as the cloud does."""
    environment = account.for_job(os.environ, project.root, variables)
    line = [sys.executable, "-m", "program", command]
    return pool.start(line, project.root, environment, project.root / "logs" / "job.log")


def log_of(project: localcloud.Project) -> str:
    """Return what the jobs have printed."""
    return (project.root / "logs" / "job.log").read_text()


def waiting(pool: Any) -> Any:
    """Return the process that waits, once there is one."""
    deadline = time.monotonic() + 20
    while not pool._waiting and time.monotonic() < deadline:  # noqa: SLF001 - a job can't tell
        time.sleep(0.01)
    (found,) = pool._waiting.values()  # noqa: SLF001 - as above
    return found.process


def filled(pool: Any) -> Any:
    """Let a process wait, and return it."""
    pool.fill()
    return waiting(pool)


def test_a_job_runs_in_the_process_that_waited(project: localcloud.Project, pools: Any) -> None:
    """It gets exactly what a new interpreter gets, and the next process waits already."""
    pool = pools(project)
    cold = begin(pool, project, "evaluate", EXIT="3", SETTING="set")
    assert cold.wait(20) == 3
    waited = waiting(pool)
    warm = begin(pool, project, "evaluate", EXIT="3", SETTING="set")
    assert warm is waited
    assert warm.wait(20) == 3
    first, second = map(json.loads, log_of(project).splitlines())
    assert (first.pop("early"), second.pop("early")) == (False, True)
    assert first == second
    assert second["main"] == "program.__main__"
    assert "OMP_NUM_THREADS" not in second["environment"]
    assert waiting(pool).running


def test_a_process_waits_with_what_the_command_itself_would_set(
    project: localcloud.Project, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library reads the number of its threads when it is imported; the user's own number comes first."""
    pool = pools(project)
    filled(pool)
    assert b"OMP_NUM_THREADS=1\0" in environment_of(waiting(pool))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    cold = begin(pool, project)
    assert cold is not waiting(pool)
    assert cold.wait(20) == 0
    pool = pools(project)
    filled(pool)
    assert b"OMP_NUM_THREADS=2\0" in environment_of(waiting(pool))
    waited = waiting(pool)
    assert begin(pool, project) is waited


def environment_of(process: Any) -> bytes:
    """Return the environment that the command of a watchdog has started with."""
    if sys.platform != "linux":
        pytest.skip("other systems do not show a process's environment")
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in parent_watchdog.find_descendants(process.pid):
            found = Path(f"/proc/{child}/environ").read_bytes()
            if found and b"warm_process" in Path(f"/proc/{child}/cmdline").read_bytes():
                return found
    raise AssertionError("no process waits")


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "PYTHONHASHSEED", "POLARS_MAX_THREADS"])
def test_a_job_with_a_setting_of_libraries_gets_a_process_of_its_own(
    project: localcloud.Project, pools: Any, variable: str
) -> None:
    pool = pools(project)
    waited = filled(pool)
    assert begin(pool, project, **{variable: "4"}).wait(20) == 0
    assert not json.loads(log_of(project))["early"]
    assert waiting(pool) is waited  # for a job that fits


def test_a_file_with_the_name_of_an_imported_module_comes_first(
    project: localcloud.Project, pools: Any
) -> None:
    pool = pools(project)
    waited = filled(pool)
    time.sleep(0.5)  # it has imported the module
    (project.root / f"{OTHER}.py").write_text("OWN = True")
    process = begin(pool, project)
    assert process is waited
    assert process.wait(20) == 0
    seen = json.loads(log_of(project))
    assert (seen["own"], seen["early"]) == (True, False)


def test_a_library_that_was_changed_is_imported_anew(project: localcloud.Project, pools: Any) -> None:
    """Protects from results of two versions, after an installation while a process waits."""
    folder = project.root.parent / "library"
    folder.mkdir()
    (folder / "ours.py").write_text("VERSION = 1")
    (project.root / "program" / "__main__.py").write_text("import ours; print(ours.VERSION)")
    sys_path = f"import sys; sys.path.append({str(folder)!r})"
    (project.root / "paths.py").write_text(sys_path)
    (project.root / "program" / "__init__.py").write_text(sys_path)
    pool = pools(replace(project, preloads=(replace(project.preloads[0], modules=("paths", "ours")),)))
    await_imports(pool)
    (project.root / "paths.py").unlink()  # so that the change is all that does not fit
    (folder / "ours.py").write_text("VERSION = 20")
    assert begin(pool, project).wait(20) == 0
    assert log_of(project) == "20\n"


def await_imports(pool: Any) -> None:
    """Let a process wait that has imported its modules."""
    filled(pool)
    (found,) = pool._waiting.values()  # noqa: SLF001 - a job can't tell
    assert found.imported.wait(20)


def test_what_a_library_sets_in_the_environment_is_kept(project: localcloud.Project, pools: Any) -> None:
    """Unless the job sets another value: the library's own rule then decides, in a new interpreter."""
    (project.root / "setting.py").write_text("import os; os.environ.setdefault('OF_LIBRARY', 'set')")
    main = project.root / "program" / "__main__.py"
    main.write_text("import setting\n" + PROGRAM)
    pool = pools(replace(project, preloads=(replace(project.preloads[0], modules=("setting",)),)))
    for variables, value in (({}, "set"), ({"OF_LIBRARY": "own"}, "own")):
        filled(pool)
        assert begin(pool, project, **variables).wait(20) == 0
        assert json.loads(log_of(project).splitlines()[-1])["environment"]["OF_LIBRARY"] == value


def test_a_process_that_never_imports_or_has_just_died_gets_no_job(
    project: localcloud.Project, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job runs in a process of its own, and later ones find a process again."""
    monkeypatch.setattr(warm_pool, "PATIENCE_SECONDS", 1.0)
    (project.root / "slow.py").write_text("import time; time.sleep(1000)")
    pool = pools(replace(project, preloads=(replace(project.preloads[0], modules=("slow",)),)))
    hanging = filled(pool)
    process = begin(pool, project)
    assert process is not hanging
    assert process.wait(20) == 0
    assert hanging.wait(20) is not None
    pool = pools(project)
    await_imports(pool)
    waited = waiting(pool)
    for child in parent_watchdog.find_descendants(waited.pid):
        os.kill(child, signal.SIGKILL)
    process = begin(pool, project)
    assert process is not waited
    assert process.wait(20) == 0


def test_a_job_whose_log_cannot_be_written_leaves_the_process(
    project: localcloud.Project, pools: Any
) -> None:
    pool = pools(project)
    waited = filled(pool)
    (project.root / "file").touch()
    environment = account.for_job(os.environ, project.root, {})
    with pytest.raises(OSError, match="file"):
        pool.start(
            [sys.executable, "-m", "program", "train"], project.root, environment, project.root / "file/log"
        )
    assert waiting(pool) is waited


def test_a_variable_that_no_process_can_have_is_refused_as_ever(
    project: localcloud.Project, pools: Any
) -> None:
    pool = pools(project)
    filled(pool)
    with pytest.raises(ValueError, match="null byte"):
        begin(pool, project, ODD="a\0b")


@pytest.mark.parametrize("source", ["print('a warning')", "import os; os.write(2, b'a warning')", "1 / 0"])
def test_what_an_import_says_is_in_the_log_of_the_job(
    project: localcloud.Project, pools: Any, source: str
) -> None:
    """Not in that of the process that waited, which nobody reads."""
    (project.root / "loud.py").write_text(source)
    (project.root / "program" / "__main__.py").write_text("import loud")
    preload = replace(project.preloads[0], modules=("loud",))
    pool = pools(replace(project, preloads=(preload,)))
    filled(pool)
    process = begin(pool, project)
    assert process.wait(20) == (1 if source == "1 / 0" else 0)
    assert ("ZeroDivisionError" if source == "1 / 0" else "a warning") in log_of(project)


def test_a_module_that_is_not_installed_is_left_out(project: localcloud.Project, pools: Any) -> None:
    preload = replace(project.preloads[0], modules=("not_installed_here", EARLY))
    pool = pools(replace(project, preloads=(preload,)))
    filled(pool)
    assert begin(pool, project).wait(20) == 0
    assert json.loads(log_of(project))["early"]


def test_the_code_of_the_container_is_read_when_the_job_starts(
    project: localcloud.Project, pools: Any
) -> None:
    pool = pools(project)
    filled(pool)
    time.sleep(0.5)
    (project.root / "program" / "__main__.py").write_text("print('edited')")
    assert begin(pool, project).wait(20) == 0
    assert log_of(project) == "edited\n"


def test_a_dead_process_is_replaced(project: localcloud.Project, pools: Any) -> None:
    pool = pools(project)
    waited = filled(pool)
    waited.kill()
    waited.wait(20)
    process = begin(pool, project)
    assert process is not waited
    assert process.wait(20) == 0
    assert waiting(pool).running


def test_a_job_is_asked_to_end(project: localcloud.Project, pools: Any) -> None:
    """SIGTERM reaches the container's own handler."""
    pool = pools(project)
    filled(pool)
    process = begin_long(pool, project)
    process.terminate()
    assert process.wait(20) == 7


def begin_long(pool: Any, project: localcloud.Project) -> Any:
    """Start a job that runs until SIGTERM, and return it when it runs."""
    process = begin(pool, project, SLEEP="")
    deadline = time.monotonic() + 20
    while "ready" not in log_of(project) and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


def test_the_next_process_imports_when_no_job_runs(project: localcloud.Project, pools: Any) -> None:
    """A short job, and what follows it, would share the processors with the imports."""
    pool = pools(project)
    filled(pool)
    process = begin_long(pool, project)
    time.sleep(1.0)
    assert not pool._waiting  # noqa: SLF001 - a job can't tell
    process.terminate()
    assert waiting(pool).running
    assert process.wait(20) == 7


def test_an_execution_that_begins_ends_the_rest(
    project: localcloud.Project, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The jobs of an execution follow soon, also where the last job has only just ended."""
    monkeypatch.setattr(warm_pool, "REST_SECONDS", 600.0)
    pool = pools(project)
    filled(pool)
    job = begin(pool, project)
    assert job.wait(20) == 0
    time.sleep(2 * warm_pool.POLL_SECONDS)
    assert not pool._waiting  # noqa: SLF001 - a job can't tell
    assert filled(pool) is not job


def test_the_rest_begins_anew_with_each_job(
    project: localcloud.Project, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is imported between the jobs of a pipeline: each is short, or ends before another's import."""
    monkeypatch.setattr(warm_pool, "REST_SECONDS", 2.0)
    slow = replace(project.preloads[0], commands=("serve",), modules=("slow",))
    (project.root / "slow.py").write_text("import time; time.sleep(1)")
    pool = pools(replace(project, preloads=(*project.preloads, slow)))
    filled(pool)  # the slow process is begun after this one, and still imports when the job has ended
    for _ in range(3):
        assert begin(pool, project).wait(20) == 0
        time.sleep(1.2)
        assert len(pool._waiting) == 1  # noqa: SLF001 - a job can't tell
    await_two(pool)


def test_a_request_to_fill_is_never_lost(project: localcloud.Project, pools: Any) -> None:
    """A process that gets its job while another is begun is replaced as well."""
    slow = replace(project.preloads[0], commands=("serve",), modules=("slow",))
    (project.root / "slow.py").write_text("import time; time.sleep(1)")
    pool = pools(replace(project, preloads=(*project.preloads, slow)))
    pool.fill()
    await_two(pool)
    assert begin(pool, project).wait(20) == 0
    assert len(pool._waiting) == 1  # noqa: SLF001 - a job can't tell
    assert all(each.process.running for each in await_two(pool))


def await_two(pool: Any) -> list[Any]:
    """Wait until two processes wait, and return them."""
    deadline = time.monotonic() + 20
    while len(pool._waiting) < 2:  # noqa: SLF001 - a job can't tell
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return list(pool._waiting.values())  # noqa: SLF001 - as above


def test_only_the_containers_commands_take_a_process(project: localcloud.Project, pools: Any) -> None:
    pool = pools(project)
    waited = filled(pool)
    for line in ([sys.executable, "-m", "program", "serve"], [sys.executable, "-c", "pass"]):
        assert pool.start(line, project.root, os.environ, project.root / "log").wait(20) == 0
    assert waiting(pool) is waited


def test_processes_end_with_the_pool_and_when_no_job_comes(
    project: localcloud.Project, pools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_pool, "KEEP_ALIVE_SECONDS", 0.2)
    pool = pools(project)
    idle = filled(pool)
    assert idle.wait(20) is not None
    monkeypatch.undo()
    last = filled(pool)
    pool.close()
    assert last.wait(20) is not None
    pool.fill()
    assert not pool._waiting  # noqa: SLF001 - nothing that could be seen may be there


def test_a_process_ends_when_its_cloud_was_killed(project: localcloud.Project, pools: Any) -> None:
    """The pipe of its watchdog closes then, and its own."""
    pool = pools(project)
    waited = filled(pool)
    waited._process.stdin.close()  # noqa: SLF001 - what the end of this process does
    assert waited.wait(managed_process.ORPHAN_GRACE_SECONDS + 10) is not None


def test_a_cloud_gives_a_job_the_process_that_waits(tmp_path: Path) -> None:
    """A second training has what the first had, but for its own names; no process outlives the cloud."""
    root = make_project(tmp_path / "project")
    project = replace(project_at(root), preloads=(localcloud.Preload(("train",), (EARLY,)),))
    assert localcloud.Project.from_json(project.to_json()) == project
    localcloud.start(project)
    rig = started(root)
    try:
        cold = rig.trained()
        request = rig.training({"sleep": "1"})
        arn = rig.sagemaker.create_training_job(**request)["TrainingJobArn"]
        groups = rig.until(rig.cloud.processes, lambda seen: seen.get(arn))
        assert "warm_process" in command_of(groups[arn]["algo-1"])
        warm = rig.ended(request["TrainingJobName"])
        assert (cold["TrainingJobStatus"], warm["TrainingJobStatus"]) == ("Completed", "Completed")
        assert environment(rig, cold).keys() == environment(rig, warm).keys()
    finally:
        localcloud.stop(project)
    assert not [line for line in map(command_of, pids()) if "warm_process" in line and str(root) in line]


def environment(rig: Any, job: Any) -> dict[str, str]:
    """Return the environment variables of a training."""
    import io  # noqa: PLC0415 - this test alone reads an archive
    import tarfile  # noqa: PLC0415 - as above

    key = job["ModelArtifacts"]["S3ModelArtifacts"].removeprefix(f"s3://{BUCKET}/")
    with tarfile.open(fileobj=io.BytesIO(rig.get(key))) as archive:
        member = archive.extractfile("seen.json")
        assert member is not None
        return dict(json.load(member)["environment"])


def command_of(pid: int) -> str:
    """Return the command line of a process; empty for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def pids() -> list[int]:
    """Return the ids of this machine's processes, where they can be listed."""
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]
