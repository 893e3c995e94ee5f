//! Steps and programs: what is run, and how.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::errors::Fault;
use super::keys::{Kind, RESOURCES};
use super::reader::{Group, Groups, Named, Reader, Table, in_order, is_name};
use super::values::number;
use super::{Process, Program, Step, variables};
use crate::plan::{
    AutoRestart, Backoff, Condition, Growth, Logfile, Output, Readiness, Resource, RestartLimit, Style,
};
use crate::signal::Signal;

/// The variable that holds a program's NAME, or a step's name.
const PROGRAM: &str = "SEXTON_PROGRAM";
/// The variable that holds a process's number among `numprocs`.
const PROCESS_NUM: &str = "SEXTON_PROCESS_NUM";

impl Reader<'_> {
    pub(super) fn step(
        &mut self,
        table: &Table,
        number: usize,
        style: Style,
        names: &mut Vec<Named>,
    ) -> Step {
        self.scope.clear();
        let name = self.name(table, "name").unwrap_or_else(|| format!("step-{number}"));
        self.enter(table, &name, 0);
        names.push(Named { name: name.clone(), at: table.at("name"), numprocs: false });
        Step {
            timeout: self.duration(table, "timeout"),
            retries: self.integer(table, "retries").unwrap_or(0),
            process: self.process(table, name, style),
        }
    }

    /// All processes of a program.
    pub(super) fn programs(
        &mut self,
        group: &Group,
        groups: &Groups,
        style: Style,
        programs: &mut Vec<Program>,
        names: &mut Vec<Named>,
    ) {
        let faults = self.faults.len();
        for number in group.numprocs_start..group.numprocs_start + group.numprocs {
            let table = &group.table;
            self.enter(table, group.name, number);
            let default = match group.numprocs {
                1 => group.name.to_owned(),
                _ => format!("{}_{number}", group.name),
            };
            let name = self.name(table, "process_name");
            let at = if name.is_some() { table.at("process_name") } else { group.at };
            let name = name.unwrap_or(default);
            if !is_name(&name) && is_name(group.name) {
                self.refuse(at, "process_name", Kind::Name, &name);
            }
            names.push(Named { name: name.clone(), at, numprocs: group.numprocs > 1 });
            let program = self.program(table, groups, name, style);
            programs.push(program);
            // The others have the same errors.
            if self.faults.len() > faults {
                break;
            }
        }
    }

    fn program(&mut self, table: &Table, groups: &Groups, name: String, style: Style) -> Program {
        let restarts = [AutoRestart::Always, AutoRestart::Never, AutoRestart::Unexpected];
        let mut handlers = Vec::new();
        let probes = self.probes(table, &mut handlers);
        let hooks = self.hooks(table, &mut handlers);
        let sockets = self.sockets(table);
        Program {
            autostart: self.boolean(table, "autostart").unwrap_or(true),
            autorestart: self
                .boolean_or_word(table, "autorestart", &restarts)
                .unwrap_or(AutoRestart::Unexpected),
            startsecs: self.seconds(table, "startsecs").unwrap_or(Duration::from_secs(1)),
            startretries: self.integer(table, "startretries").unwrap_or(3),
            priority: self.integer(table, "priority").unwrap_or(999),
            essential: self.boolean(table, "essential").unwrap_or(false),
            after: self.after(table, groups),
            readiness: self.readiness(table, sockets.len()),
            backoff: Backoff {
                growth: self.word(table, "backoff", &[Growth::Linear, Growth::Exponential]),
                max: self.duration(table, "backoff_max").unwrap_or(Duration::from_mins(5)),
            },
            restart_delay: self.duration(table, "restart_delay"),
            restart_limit: self.restart_limit(table),
            probes,
            hooks,
            handlers,
            sockets,
            process: self.process(table, name, style),
        }
    }

    /// The processes of the programs that this one waits for. Names that no program has are told elsewhere.
    fn after(&mut self, table: &Table, groups: &Groups) -> Vec<(usize, Condition)> {
        let Some((key, value)) = table.get("after") else { return Vec::new() };
        let (Kind::After(words), DeValue::Table(map)) = (key.kind, value.get_ref()) else {
            self.wrong::<()>(key.name, key.kind, value);
            return Vec::new();
        };
        let conditions = [Condition::Started, Condition::Ready, Condition::Completed];
        let mut after = Vec::new();
        for (name, value) in in_order(map) {
            let word = self.one_of(key.name, Kind::Word(words), words, value);
            let condition = word.and_then(|word| conditions.get(word).copied());
            let (Some((_, other)), Some(condition)) = (groups.find(name.get_ref()), condition) else {
                continue;
            };
            if !self.spend(name.span().start, other.numprocs * 16) {
                break;
            }
            after.extend((other.first..other.first + other.numprocs).map(|place| (place, condition)));
        }
        after
    }

    /// How it tells that it is ready, beside so many sockets.
    fn readiness(&mut self, table: &Table, sockets: usize) -> Readiness {
        let notify = self.boolean(table, "notify") == Some(true);
        match self.integer(table, "notify_fd") {
            Some(_) if notify => {
                self.conflict(table, "notify_fd", "notify");
                Readiness::Notify
            }
            Some(descriptor) => {
                // sd_listen_fds(3): the first socket is descriptor 3.
                let free = sockets.saturating_add(3);
                if usize::try_from(descriptor).is_ok_and(|number| number < free) {
                    self.fault(table.at("notify_fd"), Fault::TakenDescriptor { descriptor, free });
                }
                Readiness::Descriptor(descriptor)
            }
            None if notify => Readiness::Notify,
            None => Readiness::Running,
        }
    }

    pub(super) fn conflict(&mut self, table: &Table, one: &'static str, other: &'static str) {
        self.fault(table.at(one), Fault::Conflict { one, other });
    }

    fn restart_limit(&mut self, table: &Table) -> Option<RestartLimit> {
        let limit = self.table(table, "restart_limit")?;
        for key in ["count", "within"] {
            self.require(&limit, key);
        }
        let (count, within) = (self.integer(&limit, "count"), self.duration(&limit, "within"));
        Some(RestartLimit { count: count?, within: within? })
    }

    pub(super) fn style(&mut self, table: &Table, default: Style) -> Style {
        let outputs = [Output::Prefix, Output::Inherit, Output::Json];
        Style {
            output: self.word(table, "output", &outputs).unwrap_or(default.output),
            timestamps: self.boolean(table, "timestamps").unwrap_or(default.timestamps),
        }
    }

    /// What is run and how, in the scope of [`enter`](Reader::enter), which ends here.
    fn process(&mut self, table: &Table, name: String, style: Style) -> Process {
        let Style { output, timestamps } = self.style(table, style);
        let stopasgroup = self.boolean(table, "stopasgroup").unwrap_or(false);
        let killasgroup = self.boolean(table, "killasgroup");
        if stopasgroup && killasgroup == Some(false) {
            self.conflict(table, "killasgroup", "stopasgroup");
        }
        let redirect_stderr = self.boolean(table, "redirect_stderr").unwrap_or(false);
        let stderr = ["stderr_logfile", "stderr_logfile_maxbytes", "stderr_logfile_backups"];
        let stderr = self.logfile(table, stderr);
        if redirect_stderr && table.map.contains_key("stderr_logfile") {
            self.conflict(table, "stderr_logfile", "redirect_stderr");
        }
        Process {
            name,
            argv: self.command(table, "command"),
            exitcodes: self.exit_codes(table, "exitcodes").unwrap_or_else(|| vec![0]),
            stopsignal: self.signal(table, "stopsignal").unwrap_or(Signal::TERM),
            stopwaitsecs: self.seconds(table, "stopwaitsecs").unwrap_or(Duration::from_secs(10)),
            stopasgroup,
            killasgroup: killasgroup.unwrap_or(stopasgroup),
            user: self.user(table, "user"),
            umask: self.octal(table, "umask"),
            directory: self.path(table, "directory"),
            rlimits: self.limits(table),
            oom_score_adj: self.integer(table, "oom_score_adj"),
            nice: self.integer(table, "nice"),
            no_new_privs: self.boolean(table, "no_new_privs").unwrap_or(false),
            drop_capabilities: self.capabilities(table, "drop_capabilities").unwrap_or_default(),
            output,
            timestamps,
            redirect_stderr,
            stdout: self
                .logfile(table, ["stdout_logfile", "stdout_logfile_maxbytes", "stdout_logfile_backups"]),
            stderr,
            environment: std::mem::take(&mut self.scope).into_vec(),
        }
    }

    /// A file for output, and when it is rotated.
    fn logfile(&mut self, table: &Table, [path, maxbytes, backups]: [&'static str; 3]) -> Option<Logfile> {
        let maxbytes = self.bytes(table, maxbytes).unwrap_or(50 << 20);
        let backups = self.integer(table, backups).unwrap_or(10);
        let text = self.text(table, path)?;
        let advice = match text.to_ascii_lowercase().as_str() {
            "auto" => "leave it out: output goes to sexton's own",
            "syslog" => "leave it out: output goes to the container's own log",
            "none" | "/dev/null" => {
                return Some(Logfile { path: PathBuf::from("none"), maxbytes, backups });
            }
            _ => return Some(Logfile { path: PathBuf::from(text), maxbytes, backups }),
        };
        self.fault(
            table.at(path),
            Fault::Advice { key: path.to_owned(), got: format!("\"{text}\""), advice: advice.to_owned() },
        );
        None
    }

    fn limits(&mut self, table: &Table) -> Vec<(Resource, Option<u64>, Option<u64>)> {
        let Some((key, value)) = table.get("rlimits") else { return Vec::new() };
        let DeValue::Table(map) = value.get_ref() else {
            self.wrong::<()>(key.name, key.kind, value);
            return Vec::new();
        };
        let mut limits = Vec::new();
        for (name, value) in in_order(map) {
            let Some(resource) = RESOURCES.iter().position(|known| known == name.get_ref()) else {
                let written = name.get_ref().to_string();
                let meant = self.meant(&written, &RESOURCES);
                let owner = format!("`rlimits` of {}", table.owner);
                self.fault(name.span().start, Fault::UnknownKey { written, owner, meant });
                continue;
            };
            let (soft, hard) = if let DeValue::Table(pair) = value.get_ref() {
                let (Some(soft), Some(hard), 2) = (pair.get("soft"), pair.get("hard"), pair.len()) else {
                    self.wrong::<()>(name.get_ref(), Kind::Limit, value);
                    continue;
                };
                (self.limit(name.get_ref(), soft), self.limit(name.get_ref(), hard))
            } else {
                let both = self.limit(name.get_ref(), value);
                (both, both)
            };
            let (Some(soft), Some(hard), Ok(resource)) = (soft, hard, u32::try_from(resource)) else {
                continue;
            };
            if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
                self.fault(value.span().start, Fault::SoftAboveHard { limit: name.get_ref().to_string() });
            }
            limits.push((Resource(resource), soft, hard));
        }
        limits
    }

    /// A number, or `"unlimited"`, which is Some(None).
    #[allow(clippy::option_option)] // as in the configuration
    fn limit(&mut self, name: &str, value: &Spanned<DeValue>) -> Option<Option<u64>> {
        if let DeValue::Integer(_) = value.get_ref() {
            let limit = number(value.get_ref()).and_then(|number| u64::try_from(number).ok());
            return if limit.is_some() { Some(limit) } else { self.wrong(name, Kind::Limit, value) };
        }
        let text = self.string(name, Kind::Limit, value)?;
        if text == "unlimited" {
            return Some(None);
        }
        self.refuse(value.span().start, name, Kind::Limit, &text);
        None
    }

    /// Makes the variables of a process those that its strings refer to.
    fn enter(&mut self, table: &Table, program: &str, number: usize) {
        self.scope.clone_from(&self.globals);
        self.own_variables(program, number);
        self.variables(table);
        self.own_variables(program, number); // nobody else says what they are
        let size = self.scope.iter().map(|(name, value)| name.len() + value.len() + 64).sum();
        self.spend(table.at, size);
    }

    /// Adds what a process is called to the scope.
    fn own_variables(&mut self, program: &str, number: usize) {
        self.scope.insert(PROGRAM.to_owned(), program.to_owned());
        self.scope.insert(PROCESS_NUM.to_owned(), number.to_string());
    }

    /// Adds the variables of a table's `environment_file` and then of its `environment` to the scope.
    pub(super) fn variables(&mut self, table: &Table) {
        for (at, path) in self.paths(table, "environment_file") {
            let Some(content) = self.other_file(at, &path) else { continue };
            match variables::lines(&content) {
                Ok(list) => {
                    for (name, value) in list {
                        self.scope.insert(name.to_owned(), value);
                    }
                }
                Err(line) => self.fault(at, Fault::Line { file: path, line }),
            }
        }
        let Some((key, value)) = table.get("environment") else { return };
        let DeValue::Table(map) = value.get_ref() else {
            self.wrong::<()>(key.name, key.kind, value);
            return;
        };
        for (name, value) in in_order(map) {
            let written = name.get_ref().to_string();
            if written.is_empty() || written.contains(['=', '\0']) {
                self.fault(name.span().start, Fault::VariableName { written });
                continue;
            }
            if let Some(value) = self.variable(&written, value) {
                self.scope.insert(written, value);
            }
        }
    }

    /// The value of a variable.
    fn variable(&mut self, name: &str, value: &Spanned<DeValue>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => self.expanded(name, value.span().start, text),
            DeValue::Integer(_) => match number(value.get_ref()) {
                Some(number) => Some(number.to_string()),
                None => self.wrong(name, Kind::Variable, value),
            },
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            DeValue::Boolean(yes) => Some(yes.to_string()),
            DeValue::Table(map) if map.len() == 1 => {
                let Some(path) = map.get("file") else { return self.wrong(name, Kind::Variable, value) };
                let text = self.string(name, Kind::Variable, path)?;
                let content = self.other_file(path.span().start, &text)?;
                let line = content.strip_suffix('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
                Some(line.unwrap_or(&content).to_owned())
            }
            DeValue::Table(_) | DeValue::Array(_) | DeValue::Datetime(_) => {
                self.wrong(name, Kind::Variable, value)
            }
        }
    }
}
