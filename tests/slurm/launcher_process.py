"""A SlurmLauncher in a process of its own, as the cluster's user has one: a JSON line in is a call, one out its answer.

The worker that it starts is a stand-in: it writes down that it lives and what signals it gets, and does what the file
``do`` in the job directory says: sleep (until told to go), fail, leave, hog (memory), stay (whatever it is told), bare
(sleep, with the signals as they were).
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def work(arguments):
    jobdir = Path(arguments[0])
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{task}" if array else os.environ["SLURM_JOB_ID"]
    seen = []
    what = (jobdir / "do").read_text()
    if what != "bare":
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, lambda number, _: seen.append(signal.Signals(number).name))
    note = jobdir / "workers" / f"{job}.{os.environ['SLURM_LOCALID']}"
    environment = {name: value for name, value in os.environ.items() if name.startswith(("HPCHO_", "SLURM_", "CUDA_"))}
    told = {"pid": os.getpid(), "arguments": arguments, "environment": environment}
    write(note, {**told, "signals": seen})
    if what == "fail":
        raise ValueError("the stand-in fails")
    if what == "leave":
        return 0
    if what == "hog":
        hog = bytearray(3 * 2**30)
        for place in range(0, len(hog), 4096):
            hog[place] = 1
    deadline = time.monotonic() + 300
    while not (seen and what == "sleep") and time.monotonic() < deadline:
        time.sleep(0.05)
        write(note, {**told, "signals": seen})
    return 0


def write(path, data):
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(data))
    draft.replace(path)


def main():
    import launcher_process  # by its name, so that the entry point is pickled by it

    from hpcho.errors import LauncherError
    from hpcho.experiment.launchers import SlurmLauncher as Spec
    from hpcho.jobdir import JobDir
    from hpcho.launchers.slurm import SlurmLauncher
    from hpcho.trial import Owner

    given = json.loads(sys.argv[1])
    launcher = SlurmLauncher(
        Spec.model_validate(given["spec"]),
        JobDir(Path(given["jobdir"])),
        uuid=given["uuid"],
        name=given["name"],
        entry=launcher_process.work,
        heartbeat_s=given["heartbeat_s"],
    )

    def answer(call, *arguments):
        if call in ("capacity", "notice"):
            return getattr(launcher, call)
        if call == "top_up":
            arguments = [arguments[0], [Owner.from_json(owner) for owner in arguments[1]]]
        if call in ("death_of", "is_watching"):
            arguments = [Owner.from_json(arguments[0]), *arguments[1:]]
        value = getattr(launcher, call)(*arguments)
        return [value.cause.value, value.error] if call == "death_of" and value else value

    for line in sys.stdin:
        try:
            said = {"value": answer(*json.loads(line))}
        except LauncherError as error:
            said = {"error": str(error)}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
