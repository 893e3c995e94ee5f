//! Every section and key of the file, said once: what kind of value it takes, its default, what it is for.
//!
//! The check for unknown keys, the suggestions, what a wrong value is told it should be, and the JSON schema come from
//! this table.

use crate::plan::Resource;

/// A table of the file.
#[derive(Debug)]
pub(super) struct Section {
    /// Its keys; what several sections share is a slice of its own.
    pub(super) keys: &'static [&'static [Key]],
    /// What JSON schema is to check besides: members of its object, each after a comma.
    pub(super) rules: &'static str,
}

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// As it is written in the file, which is how JSON writes it too; empty for none.
    pub(super) default: &'static str,
    pub(super) doc: &'static str,
}

/// What a key takes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Boolean,
    /// A whole number, from and to.
    Integer(i64, i64),
    /// A number of seconds, whole or not.
    Seconds,
    /// Seconds above zero.
    SpanSeconds,
    Duration,
    /// A duration above zero.
    Span,
    /// A duration, or this word for one that has no end.
    DurationOr(&'static str),
    /// Any string.
    String,
    /// A text that is not empty.
    Text,
    /// The name of a process.
    Name,
    /// One of these.
    Word(&'static [&'static str]),
    /// `true`, `false`, or one of these.
    BooleanOr(&'static [&'static str]),
    Signal,
    /// Signals, none of which is KILL, STOP or CHLD.
    StopSignals,
    /// File permissions.
    Octal,
    /// A number of bytes.
    Bytes,
    /// A path, or `NONE`.
    Logfile,
    /// A path, or several.
    Paths,
    User,
    Command,
    ExitCodes,
    Capabilities,
    /// A table of environment variables.
    Variables,
    /// The value of one of them.
    Variable,
    /// A table of limits, by the names in [`RESOURCES`].
    Limits,
    /// The value of one of them.
    Limit,
    Port,
    /// Several ports, one at least.
    Ports,
    /// An IP address, or `localhost`.
    Host,
    /// IP addresses.
    Addresses,
    /// An IP address and a port.
    Listen,
    /// A table of sockets.
    Sockets,
    /// One of them: what [`Kind::Listen`] takes, or a path.
    Socket,
    /// The path of a URL, with its query.
    UrlPath,
    /// A table of HTTP headers.
    Headers,
    /// The value of one of them.
    Header,
    /// A table of other programs and these words.
    After(&'static [&'static str]),
    /// A table.
    Table(&'static Section),
    /// `[[NAME]]`, several tables.
    Tables(&'static Section),
    /// `[NAME.ANY]`, a table of such tables.
    Named(&'static Section),
}

/// Ten years: nobody waits longer on purpose.
pub(super) const MAX_SECONDS: u64 = 315_360_000;
/// How many programs there can be, counting each of `numprocs`.
pub(super) const MAX_PROGRAMS: usize = 10_000;
/// How long the path of a socket can be: a sockaddr_un has 108 bytes, and the last is a NUL (unix(7)).
pub(super) const MAX_SOCKET_PATH: usize = 107;
/// How long the name of a process can be.
pub(super) const MAX_NAME: usize = 64;

/// setrlimit(2)'s resources, each at the number that Linux gives it (asm-generic/resource.h).
pub(super) const RESOURCES: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// The capabilities of capabilities(7), each at its number.
pub(super) const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The name of a resource in the file.
#[must_use]
pub fn resource_name(resource: Resource) -> &'static str {
    usize::try_from(resource.0).ok().and_then(|number| RESOURCES.get(number).copied()).unwrap_or("?")
}

/// The names of capabilities in the file.
#[must_use]
pub fn capability_names(numbers: &[u8]) -> Vec<&'static str> {
    if numbers.len() == CAPABILITIES.len() {
        return vec!["ALL"];
    }
    numbers.iter().filter_map(|number| CAPABILITIES.get(usize::from(*number)).copied()).collect()
}

impl Section {
    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&'static Key> {
        self.all().find(|key| key.name == name)
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.keys.iter().flat_map(|keys| keys.iter())
    }
}

impl Kind {
    /// What stands after "expected".
    pub(super) fn expected(self) -> String {
        let text = match self {
            Kind::Boolean => "`true` or `false`",
            Kind::Integer(1, 1) => "`1`, for only a readiness probe counts successes",
            Kind::Integer(min, max) => return format!("a whole number from {min} to {max}"),
            Kind::Seconds => return format!("a number of seconds from 0 to {MAX_SECONDS}"),
            Kind::SpanSeconds => return format!("a number of seconds above 0, up to {MAX_SECONDS}"),
            Kind::Duration => "a duration such as `\"5s\"`",
            Kind::Span => "a duration above zero such as `\"5s\"`",
            Kind::DurationOr(word) => return format!("a duration such as `\"5s\"`, or `\"{word}\"`"),
            Kind::String => "a string",
            Kind::Text => "a string that is not empty",
            Kind::Name => {
                return format!("a name of 1 to {MAX_NAME} bytes without white space and control characters");
            }
            Kind::Word(words) => return one_of("", words),
            Kind::BooleanOr(words) => return one_of("`true`, `false`", words),
            Kind::Signal => "a signal such as `\"TERM\"`, `15` or `\"RTMIN+3\"`",
            Kind::StopSignals => "an array of signals such as `\"TERM\"`, none of them KILL, STOP or CHLD",
            Kind::Octal => "an octal string from `\"000\"` to `\"777\"`",
            Kind::Bytes => "a number of bytes, or a string such as `\"50MB\"`",
            Kind::Logfile => "a path, or `\"NONE\"`",
            Kind::Paths => "a path or an array of paths",
            Kind::User => "USER or USER:GROUP, by name or number",
            Kind::Command => "a string or an array of strings that names a program",
            Kind::ExitCodes => "an array of exit codes, 0 to 255",
            Kind::Capabilities => "an array of capabilities such as `\"NET_RAW\"`, or of `\"ALL\"`",
            Kind::Variables => "a table such as `{ NAME = \"text\" }`",
            Kind::Variable => "a string, a number, a boolean or `{ file = \"PATH\" }`",
            Kind::Limits => "a table such as `{ nofile = 1024 }`",
            Kind::Limit => "a number, `\"unlimited\"` or `{ soft = 1024, hard = 4096 }`",
            Kind::Port => "a port from 1 to 65535",
            Kind::Ports => "an array of ports from 1 to 65535 such as `[8080]`",
            Kind::Host => "an IP address or `\"localhost\"`",
            Kind::Addresses => "an array of IP addresses such as `[\"10.0.0.7\"]`",
            Kind::Listen => "IP:PORT or PORT, such as `\"0.0.0.0:9000\"`",
            Kind::Sockets => "a table such as `{ http = \"0.0.0.0:8080\" }`",
            Kind::Socket => {
                return format!("IP:PORT, PORT or an absolute path of at most {MAX_SOCKET_PATH} bytes");
            }
            Kind::UrlPath => "a path that begins with `/`, without white space and control characters",
            Kind::Headers => "a table such as `{ X-Probe = \"1\" }`",
            Kind::Header => "a string without control characters",
            Kind::After(_) => "a table such as `{ cache = \"ready\" }`",
            Kind::Table(section) if section.key("port").is_some() => "a table such as `{ port = 8080 }`",
            Kind::Table(_) => "a table",
            Kind::Tables(_) => "an array of tables, `[[step]]`",
            Kind::Named(_) => "a table for each program, `[program.NAME]`",
        };
        text.to_owned()
    }
}

/// `a`, `b` or `c`.
fn one_of(first: &str, words: &[&str]) -> String {
    let mut text = first.to_owned();
    for (place, word) in words.iter().enumerate() {
        if !text.is_empty() {
            text.push_str(if place + 1 == words.len() { " or " } else { ", " });
        }
        text.extend(["`\"", word, "\"`"]);
    }
    text
}

const fn key(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    Key { name, kind, default, doc }
}

/// The file itself.
pub(super) static FILE: Section = Section {
    keys: &[&[
        key("main", Kind::Text, "", "the program whose end is the container's end"),
        key(
            "grace_period",
            Kind::Span,
            "",
            "what the platform gives between its stop signal and its SIGKILL",
        ),
        key("stop_on", Kind::StopSignals, "", "the signals that ask for the end"),
        key("reload", Kind::Boolean, "", "SIGHUP reads this file again"),
        key("environment", Kind::Variables, "", "variables for all steps and programs"),
        key("environment_file", Kind::Paths, "", "files of KEY=value lines for all steps and programs"),
        key("crash_dir", Kind::Text, "", "a directory for the last crash reports"),
        key("hold", Kind::Table(&HOLD), "", "keep the container open after a crash"),
        key("drain", Kind::Table(&DRAIN), "", "serve on after the stop signal"),
        key("health", Kind::Table(&HEALTH), "", "answer to the platform's probes"),
        key("control", Kind::Table(&CONTROL), "", "where operators find sexton"),
        key("log", Kind::Table(&LOG), "", "what becomes of output"),
        key("termination_message", Kind::Table(&MESSAGE), "", "where and how the end is explained"),
        key("step", Kind::Tables(&STEP), "", "runs once, before all programs, one after the other"),
        key("program", Kind::Named(&PROGRAM), "", "a program to run and to keep running"),
    ]],
    rules: r#","anyOf":[{"required":["step"]},{"required":["program"]}]"#,
};

static HOLD: Section = Section {
    keys: &[&[
        key(
            "on",
            Kind::Word(&["never", "failure", "always"]),
            "",
            "when main's end keeps the container open",
        ),
        key("for", Kind::DurationOr("forever"), "", "how long at most"),
        key("file", Kind::Text, "", "`true` in this file turns the hold on, `false` off"),
        key("freeze", Kind::Boolean, "false", "what failed stays as it was, to be looked at in /proc"),
        key("sidecars", Kind::Word(&["keep", "stop"]), "\"keep\"", "what becomes of the other programs"),
    ]],
    rules: "",
};

static DRAIN: Section = Section {
    keys: &[&[
        key("delay", Kind::Duration, "", "how long programs serve on after the stop signal; as quiet"),
        key(
            "readiness",
            Kind::Word(&["keep", "fail"]),
            "\"keep\"",
            "whether readiness fails from its beginning on",
        ),
        key("quiet", Kind::Span, "", "then until no new connection has come for so long"),
        key("ports", Kind::Ports, "", "the ports whose connections count"),
        key("loopback", Kind::Boolean, "false", "connections from this machine count too"),
        key("ignore", Kind::Addresses, "[]", "where connections come from that do not count"),
    ]],
    rules: r#","dependentRequired":{"quiet":["ports"],"ports":["quiet"],"loopback":["quiet"],"ignore":["quiet"]}"#,
};

static HEALTH: Section = Section {
    keys: &[&[key("listen", Kind::Listen, "", "where /livez, /readyz and /startupz are answered over HTTP")]],
    rules: r#","required":["listen"]"#,
};

static CONTROL: Section =
    Section { keys: &[&[key("socket", Kind::Text, "", "the control socket; `none` for none")]], rules: "" };

static LOG: Section = Section {
    keys: &[&[
        key("output", Kind::Word(OUTPUTS), "\"prefix\"", "how lines of programs look"),
        key("timestamps", Kind::Boolean, "false", "put the time in front"),
        key(
            "level",
            Kind::Word(&["off", "error", "warn", "info", "debug"]),
            "",
            "how much sexton itself has to say",
        ),
    ]],
    rules: "",
};

static MESSAGE: Section = Section {
    keys: &[&[
        key("path", Kind::Text, "", "where it goes; `none` for nowhere"),
        key("format", Kind::Word(&["text", "json"]), "", "for people, or one JSON object"),
        key("lines", Kind::Integer(0, 1000), "", "how many of the last lines of output it quotes"),
    ]],
    rules: "",
};

const OUTPUTS: &[&str] = &["prefix", "inherit", "json"];

static STEP: Section = Section {
    keys: &[
        &[
            key("name", Kind::Name, "", "its name; `step-1` and so on by default"),
            key("timeout", Kind::Span, "", "how long it may take; without end by default"),
            key("retries", Kind::Integer(0, 1_000_000), "0", "how often it is tried again"),
        ],
        PROCESS,
    ],
    rules: PROCESS_RULES,
};

/// What steps and programs have in common.
const PROCESS: &[Key] = &[
    key("command", Kind::Command, "", "what is run; a string is split like a shell splits words"),
    key("exitcodes", Kind::ExitCodes, "[0]", "the exit codes that are expected"),
    key("stopsignal", Kind::Signal, "\"TERM\"", "the signal that asks it to end"),
    key("stopwaitsecs", Kind::Seconds, "10", "how long it has from there to SIGKILL"),
    key("stopasgroup", Kind::Boolean, "false", "the stop signal goes to its whole process group"),
    key("killasgroup", Kind::Boolean, "", "SIGKILL goes to its whole process group; as stopasgroup"),
    key("user", Kind::User, "", "whom it runs as, USER or USER:GROUP"),
    key("umask", Kind::Octal, "", "its file mode creation mask, an octal string"),
    key("directory", Kind::Text, "", "its working directory"),
    key("environment", Kind::Variables, "", "its variables; one may refer to those before it"),
    key("environment_file", Kind::Paths, "", "files of KEY=value lines"),
    key("rlimits", Kind::Limits, "", "its limits, by the names of ulimit"),
    key("oom_score_adj", Kind::Integer(-1000, 1000), "", "how readily the kernel kills it for memory"),
    key("nice", Kind::Integer(-20, 19), "", "its scheduling priority"),
    key("no_new_privs", Kind::Boolean, "false", "it gains nothing from set-user-ID files"),
    key("drop_capabilities", Kind::Capabilities, "[]", "capabilities that it never has"),
    key("output", Kind::Word(OUTPUTS), "", "how its lines look; as in `log`"),
    key("timestamps", Kind::Boolean, "", "put the time in front; as in `log`"),
    key("redirect_stderr", Kind::Boolean, "false", "its stderr goes where its stdout goes"),
    key("stdout_logfile", Kind::Logfile, "", "a file for its stdout; sexton's own stdout by default"),
    key(
        "stdout_logfile_maxbytes",
        Kind::Bytes,
        "\"50MB\"",
        "from how many bytes on it is rotated; 0 is never",
    ),
    key("stdout_logfile_backups", Kind::Integer(0, 1000), "10", "how many old files are kept"),
    key("stderr_logfile", Kind::Logfile, "", "a file for its stderr; sexton's own stderr by default"),
    key(
        "stderr_logfile_maxbytes",
        Kind::Bytes,
        "\"50MB\"",
        "from how many bytes on it is rotated; 0 is never",
    ),
    key("stderr_logfile_backups", Kind::Integer(0, 1000), "10", "how many old files are kept"),
];

const PROCESS_RULES: &str = r#","required":["command"],"allOf":[{"not":{"required":["redirect_stderr","stderr_logfile"],"properties":{"redirect_stderr":{"const":true}}}},{"not":{"required":["stopasgroup","killasgroup"],"properties":{"stopasgroup":{"const":true},"killasgroup":{"const":false}}}},{"not":{"required":["notify","notify_fd"],"properties":{"notify":{"const":true}}}}]"#;

static PROGRAM: Section = Section {
    keys: &[
        PROCESS,
        &[
            key("process_name", Kind::Name, "", "its name; with numprocs its key, `_` and its number"),
            key("numprocs", Kind::Integer(1, 10_000), "1", "how many of it there are"),
            key("numprocs_start", Kind::Integer(0, 1_000_000), "0", "the number of the first"),
            key("priority", Kind::Integer(-2_147_483_648, 2_147_483_647), "999", "lower starts first"),
            key("autostart", Kind::Boolean, "true", "it starts with the container"),
            key(
                "autorestart",
                Kind::BooleanOr(&["true", "false", "unexpected"]),
                "\"unexpected\"",
                "whether it starts again when it ends",
            ),
            key("startsecs", Kind::Seconds, "1", "how long it must live to count as started"),
            key(
                "startretries",
                Kind::Integer(0, 1_000_000),
                "3",
                "how many failed starts are followed by another",
            ),
            key("essential", Kind::Boolean, "false", "its failure ends the container"),
            key(
                "after",
                Kind::After(&["started", "ready", "completed"]),
                "",
                "what has to be there before it starts",
            ),
            key("notify", Kind::Boolean, "false", "it says on $NOTIFY_SOCKET that it is ready"),
            key("notify_fd", Kind::Integer(3, 1023), "", "it writes a newline here when it is ready"),
            key("backoff", Kind::Word(&["linear", "exponential"]), "", "how the wait before a restart grows"),
            key("backoff_max", Kind::Span, "\"5m\"", "the longest wait before a restart"),
            key("restart_delay", Kind::Duration, "", "from an exit to the restart"),
            key("restart_limit", Kind::Table(&RESTART_LIMIT), "", "how many restarts are too many"),
            key("sockets", Kind::Sockets, "", "listening sockets that it is handed, by name ($LISTEN_FDS)"),
            key("probe", Kind::Table(&PROBES), "", "how it is asked about itself, with a kubelet's meanings"),
            key("hook", Kind::Table(&HOOKS), "", "what is called when it starts and before it stops"),
        ],
    ],
    rules: PROCESS_RULES,
};

static PROBES: Section = Section {
    keys: &[&[
        key("startup", Kind::Table(&RESTARTING_PROBE), "", "has it started? The others wait for it"),
        key("readiness", Kind::Table(&READINESS_PROBE), "", "is it ready?"),
        key("liveness", Kind::Table(&RESTARTING_PROBE), "", "does it have to be started again?"),
    ]],
    rules: "",
};

static READINESS_PROBE: Section = Section {
    keys: &[
        PROBE,
        &[key(
            "success_threshold",
            Kind::Integer(1, 1_000_000),
            "1",
            "how many answers in a row make it a success",
        )],
    ],
    rules: PROBE_RULES,
};

/// A probe whose failure stops the program.
static RESTARTING_PROBE: Section = Section {
    keys: &[
        PROBE,
        &[
            key("success_threshold", Kind::Integer(1, 1), "1", "one answer makes it a success"),
            key(
                "termination_grace_period_seconds",
                Kind::SpanSeconds,
                "",
                "in place of stopwaitsecs when its failure stops the program",
            ),
        ],
    ],
    rules: PROBE_RULES,
};

/// What the probes have in common.
const PROBE: &[Key] = &[
    key("exec", Kind::Command, "", "runs a command; code 0 is success"),
    key("tcp", Kind::Table(&TCP), "", "connects"),
    key("http", Kind::Table(&HTTP), "", "sends a GET request; a code from 200 to 399 is success"),
    key("grpc", Kind::Table(&GRPC), "", "asks a grpc.health.v1.Health service"),
    key("initial_delay_seconds", Kind::Seconds, "0", "from the start of the process to the first time"),
    key("period_seconds", Kind::SpanSeconds, "10", "from one time to the next"),
    key("timeout_seconds", Kind::SpanSeconds, "1", "how long an answer may take"),
    key("failure_threshold", Kind::Integer(1, 1_000_000), "3", "how many in a row make it a failure"),
];

const PROBE_RULES: &str =
    r#","oneOf":[{"required":["exec"]},{"required":["tcp"]},{"required":["http"]},{"required":["grpc"]}]"#;

static HOOKS: Section = Section {
    keys: &[&[
        key("post_start", Kind::Table(&HOOK), "", "after its process has been started"),
        key("pre_stop", Kind::Table(&HOOK), "", "before it is told to end"),
    ]],
    rules: "",
};

static HOOK: Section = Section {
    keys: &[&[
        key("exec", Kind::Command, "", "runs a command"),
        key("http", Kind::Table(&HTTP), "", "sends a GET request"),
        key("sleep", Kind::Span, "", "lets so much time pass"),
        key("timeout", Kind::Span, "\"10s\"", "how long it may take"),
    ]],
    rules: r#","oneOf":[{"required":["exec"]},{"required":["http"]},{"required":["sleep"]}],"not":{"required":["sleep","timeout"]}"#,
};

static TCP: Section = Section { keys: &[ENDPOINT], rules: ENDPOINT_RULES };

static HTTP: Section = Section {
    keys: &[
        ENDPOINT,
        &[
            key("path", Kind::UrlPath, "\"/\"", "what is asked for"),
            key("headers", Kind::Headers, "", "more headers"),
        ],
    ],
    rules: ENDPOINT_RULES,
};

static GRPC: Section = Section {
    keys: &[&[
        key("port", Kind::Port, "", "the port"),
        key("service", Kind::String, "\"\"", "the service whose health is asked"),
    ]],
    rules: ENDPOINT_RULES,
};

/// Where to connect to.
const ENDPOINT: &[Key] =
    &[key("port", Kind::Port, "", "the port"), key("host", Kind::Host, "\"localhost\"", "the address")];

const ENDPOINT_RULES: &str = r#","required":["port"]"#;

static RESTART_LIMIT: Section = Section {
    keys: &[&[
        key("count", Kind::Integer(1, 1000), "", "more restarts than that"),
        key("within", Kind::Span, "", "within so long"),
    ]],
    rules: r#","required":["count","within"]"#,
};

/// Sections that Supervisor has, and what stands for them here.
pub(super) fn section_elsewhere(name: &str) -> Option<&'static str> {
    let first = name.split(':').next()?;
    let advice = match first {
        "program" if name.contains(':') => "a program is `[program.NAME]`",
        "supervisord" => {
            "its settings are `grace_period`, `environment` and `[log]` here, and `user` of each program"
        }
        "group" => "there are no groups; `numprocs` and `after` belong to a program",
        "eventlistener" => "there are no event listeners; `main` and `essential` end the container",
        "fcgi-program" => "there are no FastCGI programs",
        "unix_http_server" | "inet_http_server" | "supervisorctl" | "rpcinterface" => {
            "there is nothing to configure for it"
        }
        "include" => "there is one file; `environment_file` reads variables",
        _ => return None,
    };
    Some(advice)
}

/// Keys that Supervisor or a pod's specification has, and what stands for them here. Each is unknown where it is found.
pub(super) fn key_elsewhere(name: &str) -> Option<&'static str> {
    let advice = match name {
        "serverurl" => "the subcommands read `SEXTON_SOCKET`",
        "stdout_syslog" | "stderr_syslog" => "leave it out: output goes to the container's own log",
        "stdout_capture_maxbytes" | "stderr_capture_maxbytes" => "there is no capture mode",
        "stdout_events_enabled" | "stderr_events_enabled" => "there are no event listeners",
        "startupProbe" | "readinessProbe" | "livenessProbe" => {
            "a probe is `startup`, `readiness` or `liveness` in `[program.NAME.probe]`"
        }
        "startup" | "readiness" | "liveness" => "a probe stands in `[program.NAME.probe]`",
        "preStop" | "postStart" | "pre_stop" | "post_start" => "a hook stands in `[program.NAME.hook]`",
        "lifecycle" => "hooks stand in `[program.NAME.hook]`",
        "probe" | "hook" | "sockets" => "it belongs to a `[program.NAME]`; a step has none",
        "httpGet" => "it is `http` here",
        "tcpSocket" => "it is `tcp` of a probe here",
        "httpHeaders" => "it is `headers` here, a table such as `{ X-Probe = \"1\" }`",
        "scheme" => "a probe speaks HTTP without TLS",
        "terminationGracePeriodSeconds" => "it is `grace_period` of the whole file here",
        "terminationMessagePath" => "it is `path` in `[termination_message]` here",
        "termination_grace_period_seconds" => "only a startup or a liveness probe stops the program",
        _ => return None,
    };
    Some(advice)
}

/// What Supervisor puts into strings as `%(NAME)s`, and what stands for it here; `rest` is what follows `%(`.
pub(super) fn format_elsewhere(rest: &str) -> Option<String> {
    let simple = [
        ("program_name)", "write `$(SEXTON_PROGRAM)`"),
        ("process_num)", "write `$(SEXTON_PROCESS_NUM)`"),
        ("host_node_name)", "write `$(HOSTNAME)`"),
        ("group_name)", "there are no groups"),
        ("numprocs)", "write the number"),
        ("here)", "write the directory"),
    ];
    if let Some(name) = rest.strip_prefix("ENV_") {
        let end = name.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(name.len());
        return Some(format!("write `$({})`", name.get(..end).unwrap_or_default()));
    }
    simple.iter().find(|(name, _)| rest.starts_with(name)).map(|(_, advice)| (*advice).to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Errors, Outside, parse};
    use super::*;

    fn read(text: &str) -> Result<Config, Errors> {
        let outside = Outside { variable: &|_| None, file: &|_, _| Err(std::io::ErrorKind::NotFound.into()) };
        parse("a.toml", text, &outside)
    }

    /// Every section with the lines that lead to it, and with what it cannot do without.
    const SECTIONS: [(&str, &str, &Section); 17] = [
        ("", "", &FILE),
        ("[hold]\n", "", &HOLD),
        ("[drain]\n", "quiet = '1s'\nports = [1]\n", &DRAIN),
        ("[health]\n", "listen = ':1'\n", &HEALTH),
        ("[log]\n", "", &LOG),
        ("[termination_message]\n", "", &MESSAGE),
        ("[[step]]\n", "command = 'x'\nstdout_logfile = 'x'\nstderr_logfile = 'x'\n", &STEP),
        ("[program.x]\n", "command = 'x'\nstdout_logfile = 'x'\nstderr_logfile = 'x'\n", &PROGRAM),
        ("[program.x.restart_limit]\n", "count = 1\nwithin = '1s'\n", &RESTART_LIMIT),
        ("[program.x.probe]\n", "", &PROBES),
        ("[program.x.probe.startup]\n", "exec = 'x'\n", &RESTARTING_PROBE),
        ("[program.x.probe.readiness]\n", "exec = 'x'\n", &READINESS_PROBE),
        ("[program.x.probe.liveness.tcp]\n", "port = 1\n", &TCP),
        ("[program.x.probe.liveness.http]\n", "port = 1\n", &HTTP),
        ("[program.x.probe.liveness.grpc]\n", "port = 1\n", &GRPC),
        ("[program.x.hook]\n", "", &HOOKS),
        ("[program.x.hook.pre_stop]\n", "exec = 'x'\n", &HOOK),
    ];

    #[test]
    fn every_key_of_the_table_is_read_and_says_what_it_expects() {
        for (header, key) in
            SECTIONS.iter().flat_map(|(header, _, section)| section.all().map(move |key| (header, key)))
        {
            // No key takes a date.
            let said = read(&format!("{header}{} = 1979-05-27", key.name)).expect_err("wrong").to_string();
            let expected =
                format!("cannot read `{}`: expected {}, got `1979-05-27`", key.name, key.kind.expected());
            assert!(said.contains(&expected), "{said}\nlacks\n{expected}");
        }
    }

    #[test]
    fn the_defaults_of_the_table_are_those_of_the_reader() {
        for (header, needs, section) in SECTIONS {
            let end = if matches!(header, "[[step]]\n" | "[program.x]\n") {
                ""
            } else {
                "[program.x]\ncommand = 'x'\n"
            };
            for key in section.all().filter(|key| !key.default.is_empty()) {
                let without = read(&format!("{header}{needs}{end}")).expect("good");
                let with = read(&format!("{header}{needs}{} = {}\n{end}", key.name, key.default));
                assert_eq!(Ok(without), with, "{header}{}", key.name);
            }
        }
    }

    #[test]
    fn a_section_names_each_key_once() {
        for (_, _, section) in SECTIONS {
            let mut names: Vec<&str> = section.all().map(|key| key.name).collect();
            names.sort_unstable();
            assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
        }
    }

    #[test]
    fn resources_stand_at_the_kernels_numbers() {
        let known = [
            ("cpu", libc::RLIMIT_CPU),
            ("stack", libc::RLIMIT_STACK),
            ("nofile", libc::RLIMIT_NOFILE),
            ("as", libc::RLIMIT_AS),
            ("rttime", libc::RLIMIT_RTTIME),
        ];
        for (name, number) in known {
            assert_eq!(RESOURCES.get(usize::try_from(number).expect("small")), Some(&name));
        }
    }
}
