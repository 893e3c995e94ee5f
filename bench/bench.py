"""Measures sexton beside other container inits, each as a real PID 1.  Run it as bench/run; see README.md."""
import argparse
import contextlib
import json
import os
import platform
import random
import select
import resource
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
DEFAULT_SEXTON = REPO / "target/x86_64-unknown-linux-musl/release/sexton"
TOOLS = HERE / "target"
KID = str(TOOLS / "kid")
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C"}

BARE = "bare"                           # no init: the child itself is PID 1
ORPHANS = 20_000
BATCH = 400                             # orphans made at a time
IDLE_SECONDS = 10
LOG_MIB = 1024                          # what is written line by line
LOG_TIMEOUT = 120
FEW, MANY = 10, 1000                    # programs under one supervisor; runsvdir takes 1,000 at most
MANY_IDLE_SECONDS = 5
MANY_TIMEOUT = 60
SUPERVISORS = ("sexton", "supervisord", "runit", "s6", "ideal")
PROBE_SECONDS = 10
EXEC_PERIOD = 0.1                       # seconds from one exec probe to the next
HEALTH_REQUESTS = 2000
REAP_TIMEOUT = 45                       # seconds after which the orphans that are left count as left over


class Failure(Exception):
    """One candidate could not be measured; the text becomes a footnote."""


def fatal(message):
    print(message, file=sys.stderr)
    sys.exit(1)


# --- the candidates and the helpers -------------------------------------------------------------

def build_tools():
    """Compiles native/*.c into target/ where the source is newer; kid and the ideal ones without a libc."""
    if platform.machine() != "x86_64":
        fatal("cannot build the helpers: they are written for x86_64, this is %s" % platform.machine())
    small = ("-static -nostdlib -ffreestanding -fno-stack-protector -no-pie -fno-pie -fcf-protection=none "
             "-fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,norelro -Wl,-z,noseparate-code").split()
    TOOLS.mkdir(exist_ok=True)
    newest_header = max(h.stat().st_mtime for h in HERE.glob("native/*.h"))
    for source in sorted(HERE.glob("native/*.c")):
        tool = TOOLS / source.stem
        if tool.exists() and tool.stat().st_mtime > max(source.stat().st_mtime, newest_header):
            continue
        flags = small if source.stem in ("kid", "ideal", "idealsup") else ["-static"]
        gcc = subprocess.run(["gcc", "-O2", "-Wall", "-Wextra", *flags, "-o", tool, source], stderr=subprocess.PIPE, text=True)
        if gcc.returncode:
            fatal("cannot build %s: %s" % (source.relative_to(REPO), gcc.stderr.strip()))


def sexton_binary(given):
    if given:
        path = Path(given).resolve()
        if not os.access(path, os.X_OK):
            fatal("cannot measure `%s`: it is not an executable file" % given)
        return path
    if not DEFAULT_SEXTON.exists():
        script = REPO / "scripts/build-release"
        note("building sexton with scripts/build-release")
        try:
            subprocess.run([script], cwd=REPO, stdout=sys.stderr, check=True)
        except OSError as error:
            fatal("cannot run scripts/build-release: %s" % error.strerror)
        except subprocess.CalledProcessError as error:
            fatal("cannot build sexton: scripts/build-release exited with %d" % error.returncode)
        if not DEFAULT_SEXTON.exists():
            fatal("cannot measure sexton: scripts/build-release did not make `%s`" % DEFAULT_SEXTON.relative_to(REPO))
    return DEFAULT_SEXTON


def find_candidates(sexton):
    """Name -> the command line in front of the child's.  The order is that of the table."""
    found = {"sexton": [str(sexton), "--"]}
    for name in ("tini", "tini-static", "dumb-init", "catatonit"):
        found[name] = [shutil.which(name) or "/usr/bin/" + name, "--"]
    found["ideal"] = [str(TOOLS / "ideal")]
    return found


# --- running one candidate ----------------------------------------------------------------------

class Machine:
    """How things are run here: the CPU to pin to, whether SCHED_RR may be had, where fifos live."""
    cpu = None
    shielded = False
    scratch = None

    @classmethod
    def shield(cls):
        """Puts this process above what it measures, and both above ordinary load."""
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
            cls.shielded = True
        except OSError:
            pass

    @classmethod
    def pin(cls):
        """Chooses the last CPU we may use: the first ones see most interrupts."""
        try:
            cls.cpu = max(os.sched_getaffinity(0))
        except OSError:
            pass


class Fifo:
    """The pipe on which kid reports: pairs of CLOCK_MONOTONIC ns."""
    count = 0

    def __init__(self):
        Fifo.count += 1
        self.path = os.path.join(Machine.scratch, str(Fifo.count))
        os.mkfifo(self.path)
        self.fd = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def read(self, timeout):
        """One report, or None when the time is up."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return None
        return struct.unpack("2q", os.read(self.fd, 16))

    def read_all(self, count, timeout):
        """So many reports.  They wait in the pipe: looking once in a while takes no CPU from those who make them."""
        reports, end = [], time.monotonic() + timeout
        while len(reports) < count:
            if time.monotonic() > end:
                raise Failure("%d of %d programs started within %d s" % (len(reports), count, timeout))
            time.sleep(0.05)
            while report := self.read(0):
                reports.append(report)
        return reports

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        os.unlink(self.path)


class Namespace:
    """A command running as PID 1 of a fresh PID and mount namespace; leaving the context kills all of it."""

    def __init__(self, argv, pin=True, cgroup=None, output=None):
        options = ["-c", str(Machine.cpu)] if pin and Machine.cpu is not None else []
        options += ["-R"] if Machine.shielded else []
        options += ["-o", output] if output else []
        options += ["-g", cgroup] if cgroup else []
        self.helper = subprocess.Popen([TOOLS / "nsrun", *options, *argv], env=ENVIRONMENT,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self._init = None

    @property
    def init(self):
        """The pid of the namespace's PID 1, as seen from here."""
        if self._init is None:
            self._init = int(self._line("pid")[0])
        return self._init

    def _line(self, kind):
        line = self.helper.stdout.readline().strip()
        word, _, rest = line.partition(" ")
        if word != kind:
            raise Failure(rest or "the launcher ended early")
        return rest.split()

    def wait(self, timeout):
        """(wait status, time just before the exec); a failure where it runs for longer."""
        pidfd = os.pidfd_open(self.helper.pid)
        try:
            ended = select.select([pidfd], [], [], timeout)[0]
        finally:
            os.close(pidfd)
        if not ended:
            raise Failure("did not exit within %d s" % timeout)
        self.init                       # its line comes first
        status, started = self._line("exit")
        return int(status), int(started)

    def is_running(self):
        return self.helper.poll() is None

    def processes(self):
        """The namespace's own /proc entries of its processes, zombies included."""
        proc = "/proc/%d/root/proc/" % self.init
        return [proc + entry for entry in os.listdir(proc) if entry.isdigit()]

    def init_processes(self):
        """The same without the child: all that belongs to the init."""
        return [p for p in self.processes() if os.readlink(p + "/exe") != KID]

    def children(self):
        return [p for p in self.processes() if os.readlink(p + "/exe") == KID]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_running():
            try:
                os.kill(self.init, 9)   # takes the whole namespace along
            except (Failure, ProcessLookupError):
                self.helper.kill()      # and PDEATHSIG the rest
        self.helper.wait()
        self.helper.stdout.close()


class TaskCounter:
    """Counts the tasks of a namespace, zombies included: by a pids cgroup, which is cheap enough to
    ask every millisecond, or through /proc where there is none."""
    made = 0

    def __init__(self):
        TaskCounter.made += 1
        self.cgroup = self.fd = None
        for parent in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
            group = "%s/sexton-bench-%d-%d" % (parent, os.getpid(), self.made)
            try:
                os.mkdir(group)
            except OSError:
                continue
            try:
                self.fd = os.open(group + "/pids.current", os.O_RDONLY | os.O_CLOEXEC)
                self.cgroup = group
                return
            except OSError:
                os.rmdir(group)

    def count(self, namespace):
        return len(namespace.processes()) if self.fd is None else int(os.pread(self.fd, 32, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.fd is not None:
            os.close(self.fd)
            until(lambda: not Path(self.cgroup, "cgroup.procs").read_text(), 10)
            os.rmdir(self.cgroup)


def until(condition, timeout):
    """Waits for the condition and tells whether it came true."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def await_child(fifo, namespace):
    for _ in range(100):
        if fifo.read(0.1):
            return
        if not namespace.is_running():
            raise Failure("the init exited before the child started")
    raise Failure("the child did not start within 10 s")


# --- the results --------------------------------------------------------------------------------

class Results:
    """Samples by metric and candidate, and why some are missing."""

    def __init__(self):
        self.samples = {}
        self.failures = {}

    def add(self, metric, name, value):
        self.samples.setdefault(metric, {}).setdefault(name, []).append(value)

    def median(self, metric, name):
        values = self.samples.get(metric, {}).get(name)
        return statistics.median(values) if values else None

    def attempt(self, group, name, measure, *arguments):
        """Measures once; a failure is noted and ends this candidate's part in the group."""
        if name in self.failures.get(group, {}):
            return
        try:
            measure(self, name, *arguments)
        except (Failure, OSError) as failure:
            self.failures.setdefault(group, {})[name] = str(failure)
            note("cannot measure %s of %s: %s" % (group, name, failure))


def note(message):
    print(message, file=sys.stderr, flush=True)


def shuffled(names):
    return random.sample(list(names), len(names))


# --- the measurements ---------------------------------------------------------------------------

def measure_size(results, name, init):
    results.add("size", name, os.path.getsize(os.path.realpath(init[0])))


def measure_work(results, name, init):
    """What is executed before the child's exec.  Exact: once is enough."""
    try:
        counted = subprocess.run([TOOLS / "icount", *init, KID, "stamp", "/dev/null"], env=ENVIRONMENT, timeout=120,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    except subprocess.TimeoutExpired as error:
        raise Failure("single-stepping took more than 120 s") from error
    if counted.returncode:
        raise Failure(counted.stderr.strip())
    instructions, syscalls = map(int, counted.stdout.split())
    results.add("instructions", name, instructions)
    results.add("syscalls", name, syscalls)


def measure_startup(results, name, init):
    """Exec of the init -> the child's first instruction.  The bare child takes the same path without an init."""
    with Fifo() as fifo, Namespace([*init, KID, "stamp", fifo.path]) as namespace:
        status, started = namespace.wait(10)
        report = fifo.read(0)
        if status or not report:
            raise Failure("the init exited with %d%s" % (
                os.waitstatus_to_exitcode(status), "" if report else " and the child did not start"))
        results.add("first", name, (report[0] - started) / 1000)


def measure_signals(results, candidates, count):
    """kill(init, USR1) -> the child has it.  All are up at once and visited in random order by sigbench."""
    up, argv = [], [TOOLS / "sigbench", str(count)]

    def start(_, name, init):
        fifo = stack.enter_context(Fifo())
        namespace = stack.enter_context(Namespace([*init, KID, "signal", fifo.path]))
        await_child(fifo, namespace)
        up.append(name)
        argv.extend([str(namespace.init), fifo.path])

    def like_the_candidates():
        if Machine.cpu is not None:
            os.sched_setaffinity(0, {Machine.cpu})
        if Machine.shielded:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))

    with contextlib.ExitStack() as stack:
        for name in shuffled(candidates):
            results.attempt("signals", name, start, candidates[name])
        bench = subprocess.run(argv, preexec_fn=like_the_candidates, stdout=subprocess.PIPE, text=True, timeout=900)
    for line in bench.stdout.splitlines():
        target, nanoseconds = map(int, line.split())
        if nanoseconds >= 0:
            results.add("signal", up[target], nanoseconds / 1000)
        else:
            results.failures.setdefault("signals", {})[up[target]] = "a signal did not arrive within 1 s"


class Reaper:
    """One candidate whose child makes orphans, a batch at a time."""

    def __init__(self, init, stack):
        fifo, go, self.tasks = (stack.enter_context(thing) for thing in (Fifo(), Fifo(), TaskCounter()))
        self.fifo, self.go = fifo, go
        argv = [*init, KID, "orphans", fifo.path, str(BATCH), go.path]
        self.namespace = stack.enter_context(Namespace(argv, cgroup=self.tasks.cgroup))
        await_child(fifo, self.namespace)
        time.sleep(0.1)                 # the init has gone to sleep
        self.at_rest = self.tasks.count(self.namespace)
        self.time = self.cpu = 0        # ns

    def left(self):
        return self.tasks.count(self.namespace) - self.at_rest

    def await_reaping(self, timeout):
        until(lambda: not self.namespace.is_running() or self.left() <= 0, timeout)
        if not self.namespace.is_running():
            raise Failure("the init exited while it reaped")

    def run(self):
        """One batch.  An init that is slow to reap is given a second, and goes on in the next one."""
        cpu = cpu_time("/proc/%d" % self.namespace.init)
        os.write(self.go.fd, b"x")
        report = self.fifo.read(REAP_TIMEOUT)
        if not report:
            raise Failure("the orphans were not made within %d s" % REAP_TIMEOUT)
        self.await_reaping(1)
        self.time += time.monotonic_ns() - report[0]
        self.cpu += cpu_time("/proc/%d" % self.namespace.init) - cpu


def measure_reaping(results, candidates):
    """ORPHANS orphans for each, in batches and by turns: the machine's speed at forking drifts within seconds."""
    with contextlib.ExitStack() as stack:
        reapers = {}

        def start(_, name):
            reapers[name] = Reaper(candidates[name], stack)

        def run(_, name):
            reapers[name].run()

        def finish(_, name):
            reaper = reapers[name]
            reaper.await_reaping(REAP_TIMEOUT)
            left = max(0, reaper.left())
            results.add("reap_left", name, left)
            if left:
                raise Failure("%d orphans were left after %d s" % (left, REAP_TIMEOUT))
            results.add("reap_time", name, reaper.time / 1e6)
            results.add("reap_cpu", name, reaper.cpu / 1000 / ORPHANS)

        for name in shuffled(candidates):
            results.attempt("reaping", name, start)
        for _ in range(ORPHANS // BATCH):
            for name in shuffled(reapers):
                results.attempt("reaping", name, run)
        for name in reapers:
            results.attempt("reaping", name, finish)


def measure_memory(results, name, init):
    """Each alone: two of a kind would share pages and flatter the PSS."""
    with Fifo() as fifo, Namespace([*init, KID, "sleep", fifo.path]) as namespace:
        await_child(fifo, namespace)
        time.sleep(0.5)
        pss, dirty = memory(namespace)
        results.add("pss", name, pss)
        results.add("dirty", name, dirty)


def measure_idling(results, candidates):
    """Context switches in IDLE_SECONDS, all candidates at once."""
    up = {}

    def start(_, name, init):
        fifo = stack.enter_context(Fifo())
        namespace = stack.enter_context(Namespace([*init, KID, "sleep", fifo.path]))
        await_child(fifo, namespace)
        up[name] = namespace

    with contextlib.ExitStack() as stack:
        for name in shuffled(candidates):
            results.attempt("idling", name, start, candidates[name])
        time.sleep(2.5)                 # start-up timers run out
        before = {name: context_switches(namespace) for name, namespace in up.items()}
        time.sleep(IDLE_SECONDS)
        for name, namespace in up.items():
            results.add("switches", name, context_switches(namespace) - before[name])


def find_loggers(sexton, kid):
    """Name -> the command line of what passes the lines of `kid` on: to its standard output where it can do that, else
    to a file in memory."""
    words = [KID, *kid]
    config = Path(Machine.scratch, "sexton.toml")
    config.write_text("[program.w]\ncommand = %s\nautorestart = false\nstartsecs = 0\n" % json.dumps(words))
    supervisor = Path(Machine.scratch, "supervisor.conf")
    supervisor.write_text(
        "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=/run/pid\n"
        "[program:w]\ncommand=%s\nautorestart=false\nstartsecs=0\nredirect_stderr=true\n"
        "stdout_logfile=/run/out\nstdout_logfile_maxbytes=0\n" % " ".join(words))

    def piped(to):
        return ["/bin/sh", "-c", "%s | %s" % (" ".join(words), to)]

    return {
        "sexton": [str(sexton), "--config", str(config)],
        "idealpump": [str(TOOLS / "idealpump"), *words],
        "inherited": words,
        "cat": piped("cat"),
        "s6-log": piped("s6-log n4 s16777216 /run/log"),
        "svlogd": piped("sh -c 'mkdir /run/log; exec svlogd /run/log'"),
        "supervisord": ["/usr/bin/supervisord", "-c", str(supervisor)],
    }


def measure_logging(results, name, sexton, mib):
    """A child writes 100-byte lines, each by itself, as fast as it is let."""
    with Fifo() as report, Fifo() as go, Fifo() as output:
        command = find_loggers(sexton, ["lines", report.path, str(mib), go.path])[name]
        os.close(output.fd)
        with subprocess.Popen([TOOLS / "drain", output.path]) as drain:
            try:
                output.fd = os.open(output.path, os.O_WRONLY | os.O_CLOEXEC)
                with Namespace(command, pin=False, output=output.path) as namespace:
                    await_child(report, namespace)
                    time.sleep(0.2)     # everybody has gone to sleep
                    pumps = namespace.init_processes()
                    before = sum(map(cpu_time, pumps))
                    os.write(go.fd, b"x")
                    times = report.read(LOG_TIMEOUT)
                    if not times:
                        raise Failure("%d MiB were not written within %d s" % (mib, LOG_TIMEOUT))
                    time.sleep(0.2)     # what is under way arrives
                    used = sum(map(cpu_time, pumps)) - before
            finally:
                drain.kill()
    results.add("log_speed", name, (mib << 20) / 1e6 / ((times[1] - times[0]) / 1e9))
    results.add("log_cpu", name, used / (mib << 20))


def prepare_supervisor(name, sexton, count, fifo, directory):
    """The command line of one of SUPERVISORS with so many programs that report to `fifo`; its files go to `directory`."""
    words, config = [KID, "sleep", fifo], Path(directory, "config")
    if name == "ideal":
        return [str(TOOLS / "idealsup"), str(count), *words]
    if name == "sexton":
        config.write_text('[log]\nlevel = "warn"\n' + "".join(
            '[program.w%d]\ncommand = %s\nautorestart = true\nstartsecs = 0\nrestart_delay = "0s"\n' % (i, json.dumps(words))
            for i in range(count)))
        return [str(sexton), "--config", str(config)]
    if name == "supervisord":
        config.write_text(
            "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\nloglevel=warn\npidfile=/run/pid\n"
            "minfds=%d\n" % (2 * count + 100) + "".join(
                "[program:w%d]\ncommand=%s\nautorestart=true\nstartsecs=0\nredirect_stderr=true\nstdout_logfile=NONE\n"
                % (i, " ".join(words)) for i in range(count)))
        return ["/usr/bin/supervisord", "-c", str(config)]
    for i in range(count):
        service = Path(directory, "w%d" % i)
        service.mkdir()
        (service / "run").write_text("#!%s %s %s\n" % (KID, "ready" if name == "s6" else "sleep", fifo))
        (service / "run").chmod(0o755)
        if name == "s6":                # it delays the restart of what has not said that it is ready
            (service / "notification-fd").write_text("3\n")
    return ["/usr/bin/runsvdir", "-P", directory] if name == "runit" else ["/usr/bin/s6-svscan", "-c", str(count), directory]


def memory_directory():
    """Where files are in memory and may be executed, or None."""
    try:
        return None if os.statvfs("/dev/shm").f_flag & os.ST_NOEXEC else "/dev/shm"
    except OSError:
        return None


def measure_many(results, name, sexton, count, restarts):
    """A supervisor with so many programs: from its exec to its end."""
    with Fifo() as fifo, tempfile.TemporaryDirectory(dir=Machine.scratch) as directory:
        command = prepare_supervisor(name, sexton, count, fifo.path, directory)
        time.sleep(1.1)                 # runsvdir waits where its directory has changed within the second
        with Namespace(command, pin=False) as namespace:
            running = max(started for started, _ in fifo.read_all(count, MANY_TIMEOUT))
            time.sleep(2.5)             # start-up timers run out
            pss, dirty = memory(namespace)
            switches = context_switches(namespace)
            time.sleep(MANY_IDLE_SECONDS if restarts else 0)
            switches = context_switches(namespace) - switches
            for program in random.sample(namespace.children(), restarts):
                results.add("restart", name, restart(program, fifo) / 1e6)
            asked = time.monotonic_ns()
            os.kill(namespace.init, signal.SIGHUP if name == "runit" else signal.SIGTERM)
            _, executed = namespace.wait(MANY_TIMEOUT)
            gone = time.monotonic_ns()
    for metric, value in (("up", (running - executed) / 1e6), ("pss", pss), ("dirty", dirty), ("switches", switches),
                          ("stop", (gone - asked) / 1e6)):
        results.add("%s_%d" % (metric, count), name, value)


def restart(program, fifo):
    """kill -9 -> the first instruction of the successor, in ns."""
    time.sleep(0.01)                    # the supervisor has gone to sleep
    process = os.open(program, os.O_RDONLY | os.O_CLOEXEC)
    try:
        killed = time.monotonic_ns()
        signal.pidfd_send_signal(process, signal.SIGKILL)
    finally:
        os.close(process)
    report = fifo.read(MANY_TIMEOUT)
    if not report:
        raise Failure("a program did not start again within %d s" % MANY_TIMEOUT)
    return report[0] - killed


def ask(port, path):
    """One request as a kubelet makes it, on a connection of its own: (whether the code is 200, the body)."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        connection.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % path.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    return head.split(" ")[1:2] == ["200"], body


def is_ready(port):
    try:
        return ask(port, "/readyz")[0]
    except OSError:
        return False


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Probing:
    """sexton with so many programs, each with this probe, up and ready."""

    def __init__(self, sexton, count, probe, stack):
        fifo = stack.enter_context(Fifo())
        self.port = free_port()
        probe = "probe.readiness = { %s }\n" % probe if probe else ""
        config = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=Machine.scratch)), "config")
        config.write_text('log.level = "warn"\nhealth.listen = "127.0.0.1:%d"\n' % self.port + "".join(
            "[program.w%d]\ncommand = %s\nstartsecs = 0\n%s" % (i, json.dumps([KID, "sleep", fifo.path]), probe)
            for i in range(count)))
        self.namespace = stack.enter_context(Namespace([str(sexton), "--config", str(config)], pin=False))
        fifo.read_all(count, MANY_TIMEOUT)
        if not until(lambda: is_ready(self.port), MANY_TIMEOUT):
            raise Failure("not every program was ready within %d s" % MANY_TIMEOUT)
        time.sleep(2.5)                 # start-up timers run out

    def attempts(self):
        """How many attempts were made; a failed one fails the measurement."""
        made = 0
        for line in ask(self.port, "/metrics")[1].splitlines():
            if line.startswith("sexton_probe_total{"):
                number = int(float(line.split()[-1]))
                if number and 'result="success"' not in line:
                    raise Failure("%d attempts did not succeed" % number)
                made += number
        return made

    def look(self):
        """(its CPU time, that of the processes it has reaped, both in ns; how many processes have been made, counted by
        the number that the next one gets)."""
        init = self.namespace.init
        number = subprocess.run(["nsenter", "--pid=/proc/%d/ns/pid" % init, "sh", "-c", "echo $$"],
                                stdout=subprocess.PIPE, text=True, check=True)
        fields = Path("/proc/%d/stat" % init).read_text().rpartition(")")[2].split()
        reaped = (int(fields[13]) + int(fields[14])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
        return cpu_time("/proc/%d" % init), reaped, int(number.stdout)

    def during(self, act):
        """What `act` adds to each of these; the process that counts is none of them."""
        before = self.look()
        act()
        own, reaped, made = (after - earlier for after, earlier in zip(self.look(), before))
        return own, reaped, made - 1


def measure_probes(results, name, sexton, count, probe, seconds):
    """The programs and their probes, left alone for so long."""
    with contextlib.ExitStack() as stack:
        probing = Probing(sexton, count, probe, stack)
        attempts = probing.attempts()
        own, reaped, made = probing.during(lambda: time.sleep(seconds))
        attempts = probing.attempts() - attempts
    results.add("probe_share", name, 100 * own / (seconds * 1e9))
    if attempts:
        results.add("probe_cpu", name, own / 1000 / attempts)
        results.add("probe_reaped", name, reaped / 1000 / attempts)
        results.add("probe_made", name, made / attempts)


def measure_health(results, name, sexton):
    """A kubelet's http probe, again and again."""
    def ask_all():
        for _ in range(HEALTH_REQUESTS):
            if not is_ready(probing.port):
                raise Failure("/readyz was not answered with 200")

    with contextlib.ExitStack() as stack:
        probing = Probing(sexton, 1, None, stack)
        own, reaped, made = probing.during(ask_all)
    for metric, value in (("cpu", own / 1000), ("reaped", reaped / 1000), ("made", made)):
        results.add("probe_" + metric, name, value / HEALTH_REQUESTS)


def measure_runc(results, name, calls):
    """A kubelet's exec probe, without the kubelet and containerd: `runc exec`."""
    def spent():
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (usage.ru_utime + usage.ru_stime) * 1e6

    if not shutil.which("runc"):
        raise Failure("there is no runc here")
    with tempfile.TemporaryDirectory(dir=Machine.scratch) as bundle:
        Path(bundle, "rootfs").mkdir()
        for place in ("proc", "dev", "sys"):
            Path(bundle, "rootfs", place).mkdir()
        shutil.copy(KID, Path(bundle, "rootfs/kid"))
        runc = ["runc", "--root", bundle + "/state"]
        container, quiet = "sexton-bench-%d" % os.getpid(), {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        try:
            subprocess.run(["runc", "spec", "--bundle", bundle], check=True, **quiet)
            config = json.loads(Path(bundle, "config.json").read_text())
            config["process"].update(terminal=False, args=["/kid", "sleep", "/dev/null"])
            Path(bundle, "config.json").write_text(json.dumps(config))
            subprocess.run([*runc, "run", "--detach", "--bundle", bundle, container], check=True, **quiet)
            for _ in range(calls):
                before = spent()
                subprocess.run([*runc, "exec", container, "/kid", "stamp", "/dev/null"], check=True, **quiet)
                results.add("probe_reaped", name, spent() - before)
        except subprocess.CalledProcessError as error:
            raise Failure("%s exited with %d" % (" ".join(error.cmd), error.returncode)) from error
        finally:
            subprocess.run([*runc, "delete", "--force", container], stderr=subprocess.DEVNULL, **quiet)


def measure_all_probes(results, sexton, rounds, calls):
    """One after the other, in random order: here the drift is small beside what is measured."""
    programs = "{:,} programs".format(MANY)
    command = json.dumps([KID, "stamp", "/dev/null"])
    with subprocess.Popen([TOOLS / "answer"], stdout=subprocess.PIPE, text=True) as server:
        try:
            port = int(server.stdout.readline())
            each = {
                programs + ", no probe": (measure_probes, sexton, MANY, None, PROBE_SECONDS),
                programs + ", a tcp probe each second": (
                    measure_probes, sexton, MANY, "tcp = { port = %d }, period_seconds = 1" % port, PROBE_SECONDS),
                programs + ", an http probe each second": (
                    measure_probes, sexton, MANY, "http = { port = %d }, period_seconds = 1" % port, PROBE_SECONDS),
                "one program, no probe": (measure_probes, sexton, 1, None, PROBE_SECONDS),
                "one program, an exec probe each %s s" % EXEC_PERIOD: (
                    measure_probes, sexton, 1, "exec = %s, period_seconds = %s" % (command, EXEC_PERIOD), PROBE_SECONDS),
                "a kubelet's http probe at /readyz": (measure_health, sexton),
                "a kubelet's exec probe: runc exec": (measure_runc, calls),
            }
            for number in range(rounds):
                note("probes, round %d of %d" % (number + 1, rounds))
                for name in shuffled(each):
                    measure, *arguments = each[name]
                    results.attempt("probes", name, measure, *arguments)
        finally:
            server.kill()
    return list(each)


def memory(namespace):
    """(PSS, private dirty) of the init, or of all processes of a supervisor, in KiB."""
    pss = dirty = 0
    for process in namespace.init_processes():
        for line in Path(process, "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                pss += int(line.split()[1])
            elif line.startswith("Private_Dirty:"):
                dirty += int(line.split()[1])
    return pss, dirty


def cpu_time(process):
    """CPU time of a process, in ns, by its entry in /proc."""
    threads = Path(process, "task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def context_switches(namespace):
    return sum(int(line.split()[1])
               for process in namespace.init_processes()
               for thread in Path(process, "task").iterdir()
               for line in (thread / "status").read_text().splitlines() if "ctxt_switches" in line)


# --- the report ---------------------------------------------------------------------------------

# The label, the metric, the group whose failure explains a missing figure, and the digits after the point.
ROWS = [
    ("start-up overhead, us", "startup", "start-up", 0),
    ("instructions before the child's exec", "instructions", "work", 0),
    ("system calls before the child's exec", "syscalls", "work", 0),
    ("signal forwarded, us", "signal", "signals", 1),
    ("{:,} orphans: time, ms".format(ORPHANS), "reap_time", "reaping", 0),
    ("{:,} orphans: CPU per reap, us".format(ORPHANS), "reap_cpu", "reaping", 2),
    ("{:,} orphans: left over".format(ORPHANS), "reap_left", "reaping", 0),
    ("idle: PSS, KiB", "pss", "memory", 0),
    ("idle: private dirty, KiB", "dirty", "memory", 0),
    ("idle: context switches in {} s".format(IDLE_SECONDS), "switches", "idling", 0),
    ("size on disk, bytes", "size", "size", 0),
]
MANY_ROWS = [
    ("{:,} programs: all run after, ms".format(MANY), "up_%d" % MANY, "many", 0),
    ("{:,} programs: PSS, KiB".format(FEW), "pss_%d" % FEW, "few", 0),
    ("{:,} programs: PSS, KiB".format(MANY), "pss_%d" % MANY, "many", 0),
    ("{:,} programs: private dirty, KiB".format(MANY), "dirty_%d" % MANY, "many", 0),
    ("{:,} programs: context switches in {} s".format(MANY, MANY_IDLE_SECONDS), "switches_%d" % MANY, "many", 0),
    ("{:,} programs: one restarts after, ms".format(MANY), "restart", "many", 2),
    ("{:,} programs: stopped after, ms".format(MANY), "stop_%d" % MANY, "many", 0),
]


def figure(results, metric, name):
    """The median; start-up is given as the overhead over the bare child."""
    if metric != "startup":
        return results.median(metric, name)
    first, bare = results.median("first", name), results.median("first", BARE)
    return None if first is None or bare is None else first - bare


def ratio(value, base):
    if not base or not value:
        return ""
    r = value / base
    return " ({:.{}f}x)".format(r, 4 if r < 0.01 else 3 if r < 0.1 else 2 if r < 10 else 1 if r < 100 else 0)


def table(results, candidates, rows):
    """The Markdown table and its footnotes."""
    lines = ["| | " + " | ".join(candidates) + " |", "|---|" + "---:|" * len(candidates)]
    footnotes = []
    for label, metric, group, digits in rows:
        base = figure(results, metric, "sexton")
        cells = []
        for name in candidates:
            value = figure(results, metric, name)
            cell = "-" if value is None else "{:,.{}f}".format(value, digits)
            if name != "sexton":
                cell += ratio(value, base)
            who = BARE if metric == "startup" and BARE in results.failures.get(group, {}) else name
            why = results.failures.get(group, {}).get(who)
            if why:
                text = "%s, %s: %s" % (who, group, why)
                if text not in footnotes:
                    footnotes.append(text)
                cell += " [%d]" % (footnotes.index(text) + 1)
            cells.append(cell)
        lines.append("| %s | %s |" % (label, " | ".join(cells)))
    return "\n".join(lines + [""] + ["[%d] %s" % (i, text) for i, text in enumerate(footnotes, 1)]).rstrip()


def log_table(results, loggers, mib):
    """The log pump beside others; they differ from those above."""
    lines = ["| {:,} MiB of 100-byte lines | MB/s | CPU s/GB |".format(mib), "|---|---:|---:|"]
    footnotes = []
    for name in loggers:
        cells = [name]
        for metric, digits in (("log_speed", 0), ("log_cpu", 2)):
            value = results.median(metric, name)
            cell = "-" if value is None else "{:,.{}f}".format(value, digits)
            cells.append(cell + (ratio(value, results.median(metric, "sexton")) if name != "sexton" else ""))
        why = results.failures.get("logging", {}).get(name)
        if why:
            footnotes.append("%s: %s" % (name, why))
        lines.append("| %s |" % " | ".join(cells))
    return "\n".join(lines + [""] + footnotes).rstrip()


def probe_table(results, names):
    """What probes cost; a cell is empty where there is nothing to count."""
    lines = ["| | sexton, % of one core | sexton per probe, us | other processes per probe, us | processes per probe |",
             "|---|---:|---:|---:|---:|"]
    footnotes = []
    for name in names:
        cells = [name]
        for metric, digits in (("share", 2), ("cpu", 1), ("reaped", 0), ("made", 2)):
            value = results.median("probe_" + metric, name)
            cells.append("" if value is None else "{:,.{}f}".format(value, digits))
        why = results.failures.get("probes", {}).get(name)
        if why:
            footnotes.append("%s: %s" % (name, why))
        lines.append("| %s |" % " | ".join(cells))
    return "\n".join(lines + [""] + footnotes).rstrip()


def cpu_model():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def machine(load):
    return "%s, Linux %s, %s, %d cores; load %.1f before, %.1f after" % (
        time.strftime("%Y-%m-%d %H:%M"), platform.release(), cpu_model(), os.cpu_count(), load, os.getloadavg()[0])


def package_versions(*packages):
    """The peers' versions according to dpkg, "" where there is none."""
    try:
        query = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    except OSError:
        return ""
    return query.stdout.rstrip(", ")


def main():
    parser = argparse.ArgumentParser(prog="bench/run", description="Measure sexton beside tini, dumb-init and catatonit.")
    parser.add_argument("--sexton", metavar="PATH", help="the binary to measure (default: the release build)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples")
    parser.add_argument("--json", metavar="FILE", help="save every sample")
    parser.add_argument("--log", action="store_true", help="measure the log pump, and nothing else")
    parser.add_argument("--many", action="store_true", help="measure {:,} programs under one supervisor, and nothing else".format(MANY))
    parser.add_argument("--probes", action="store_true", help="measure what probes cost, and nothing else")
    options = parser.parse_args()
    if os.geteuid():
        fatal("cannot create a PID namespace: not root")
    startups, signals, reaps, memories = (30, 200, 1, 1) if options.quick else (300, 2000, 10, 5)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # by way of every clean-up
    build_tools()
    candidates = find_candidates(sexton_binary(options.sexton))
    with_bare = {BARE: [], **candidates}
    results, load = Results(), os.getloadavg()[0]

    if options.log:
        sexton = sexton_binary(options.sexton)
        with tempfile.TemporaryDirectory(prefix="sexton-bench-") as Machine.scratch:
            loggers = list(find_loggers(sexton, []))
            rounds, mib = (1, LOG_MIB // 10) if options.quick else (3, LOG_MIB)
            for number in range(rounds):
                note("log pump, round %d of %d" % (number + 1, rounds))
                for name in shuffled(loggers):
                    results.attempt("logging", name, measure_logging, sexton, mib)
        print("%s\n" % machine(load))
        print(log_table(results, loggers, mib))
        if options.json:
            Path(options.json).write_text(json.dumps({"samples": results.samples, "failures": results.failures}))
        return

    if options.many:
        sexton = sexton_binary(options.sexton)
        rounds, restarts = (1, 3) if options.quick else (3, 30)
        directory = memory_directory()
        with tempfile.TemporaryDirectory(prefix="sexton-bench-", dir=directory) as Machine.scratch:
            for number in range(rounds):
                note("many programs, round %d of %d" % (number + 1, rounds))
                for name in shuffled(SUPERVISORS):
                    results.attempt("few", name, measure_many, sexton, FEW, 0)
                    results.attempt("many", name, measure_many, sexton, MANY, restarts)
        print("%s; rounds: %d, restarts in each: %d; files %s\n" % (
            machine(load), rounds, restarts, "in memory" if directory else "on disk"))
        print(table(results, SUPERVISORS, MANY_ROWS))
        print("\nMedians; in brackets the ratio to sexton. %s" % package_versions("supervisor", "runit", "s6"))
        if options.json:
            Path(options.json).write_text(json.dumps({"samples": results.samples, "failures": results.failures}))
        return

    if options.probes:
        sexton = sexton_binary(options.sexton)
        rounds, calls = (1, 5) if options.quick else (3, 20)
        with tempfile.TemporaryDirectory(prefix="sexton-bench-") as Machine.scratch:
            names = measure_all_probes(results, sexton, rounds, calls)
        print("%s; rounds: %d, runc exec in each: %d\n" % (machine(load), rounds, calls))
        print(probe_table(results, names))
        print("\nMedians. %s" % package_versions("runc"))
        if options.json:
            Path(options.json).write_text(json.dumps({"samples": results.samples, "failures": results.failures}))
        return

    with tempfile.TemporaryDirectory(prefix="sexton-bench-") as Machine.scratch:
        note("size, instructions, system calls")
        for name, init in candidates.items():
            results.attempt("size", name, measure_size, init)
            results.attempt("work", name, measure_work, init)
        note("memory, rounds: %d" % memories)
        for _ in range(memories):
            for name in shuffled(candidates):
                results.attempt("memory", name, measure_memory, candidates[name])
        note("idle, %d s" % IDLE_SECONDS)
        measure_idling(results, candidates)

        # What follows is timed: one CPU, and nothing ordinary may get in the way.
        Machine.pin()
        Machine.shield()
        note("start-up, rounds: %d" % startups)
        for _ in range(startups):
            for name in shuffled(with_bare):
                results.attempt("start-up", name, measure_startup, with_bare[name])
        note("signals, rounds: %d" % signals)
        measure_signals(results, candidates, signals)
        note("reaping, rounds: %d" % reaps)
        for _ in range(reaps):
            measure_reaping(results, candidates)

    facts = {
        "date": time.strftime("%Y-%m-%d %H:%M"), "kernel": platform.release(), "cpu": cpu_model(), "cores": os.cpu_count(),
        "load": "%.1f before, %.1f after" % (load, os.getloadavg()[0]),
        "rounds": {"start-up": startups, "signal": signals, "reap": reaps, "memory": memories},
        "shielded": Machine.shielded, "pinned": Machine.cpu is not None,
        "versions": package_versions("tini", "dumb-init", "catatonit"), "sexton": candidates["sexton"][0],
    }
    print("%s, Linux %s, %s, %d cores; load %s; rounds: %s; %s, %s\n" % (
        facts["date"], facts["kernel"], facts["cpu"], facts["cores"], facts["load"],
        ", ".join("%s %s" % pair for pair in facts["rounds"].items()),
        "SCHED_RR" if facts["shielded"] else "SCHED_RR not permitted: other load can disturb",
        "one CPU" if facts["pinned"] else "not pinned to a CPU"))
    print(table(results, candidates, ROWS))
    print("\nMedians; in brackets the ratio to sexton. %s" % facts["versions"])
    if options.json:
        Path(options.json).write_text(json.dumps({**facts, "samples": results.samples, "failures": results.failures}))


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
