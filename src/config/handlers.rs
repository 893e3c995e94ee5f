//! Probes and hooks: when, how often, and what they do.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use toml::de::DeValue;

use super::errors::Fault;
use super::keys::Kind;
use super::reader::{Reader, Table, in_order};
use crate::calls::is_header_name;
use crate::plan::{Endpoint, Handler, Hook, Hooks, HttpGet, Probe, Probes, Role};

/// How long a hook may take that says nothing else.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// What was read so far of what probes and hooks do.
type Handlers = Vec<(Role, Handler)>;

impl Reader<'_> {
    pub(super) fn probes(&mut self, program: &Table, handlers: &mut Handlers) -> Probes {
        let Some(table) = &self.table(program, "probe") else { return Probes::default() };
        Probes {
            startup: self.probe(table, "startup", Role::Startup, handlers),
            readiness: self.probe(table, "readiness", Role::Readiness, handlers),
            liveness: self.probe(table, "liveness", Role::Liveness, handlers),
        }
    }

    pub(super) fn hooks(&mut self, program: &Table, handlers: &mut Handlers) -> Hooks {
        let Some(table) = &self.table(program, "hook") else { return Hooks::default() };
        Hooks {
            post_start: self.hook(table, "post_start", Role::PostStart, handlers),
            pre_stop: self.hook(table, "pre_stop", Role::PreStop, handlers),
        }
    }

    fn probe(
        &mut self,
        probes: &Table,
        name: &'static str,
        role: Role,
        handlers: &mut Handlers,
    ) -> Option<Probe> {
        let table = &self.table(probes, name)?;
        self.handler(table, role, handlers);
        Some(Probe {
            initial_delay: self.seconds(table, "initial_delay_seconds").unwrap_or_default(),
            period: self.seconds(table, "period_seconds").unwrap_or(Duration::from_secs(10)),
            timeout: self.seconds(table, "timeout_seconds").unwrap_or(Duration::from_secs(1)),
            success_threshold: self.integer(table, "success_threshold").unwrap_or(1),
            failure_threshold: self.integer(table, "failure_threshold").unwrap_or(3),
            stopwait: self.seconds(table, "termination_grace_period_seconds"),
        })
    }

    fn hook(
        &mut self,
        hooks: &Table,
        name: &'static str,
        role: Role,
        handlers: &mut Handlers,
    ) -> Option<Hook> {
        let table = &self.table(hooks, name)?;
        self.handler(table, role, handlers);
        let (sleep, timeout) = (self.duration(table, "sleep"), self.duration(table, "timeout"));
        if table.map.contains_key("sleep") && table.map.contains_key("timeout") {
            self.conflict(table, "timeout", "sleep");
        }
        Some(Hook { timeout: sleep.or(timeout).unwrap_or(HOOK_TIMEOUT), is_sleep: sleep.is_some() })
    }

    /// Reads the one key that says what is done, and tells where there is none, or more than one.
    fn handler(&mut self, table: &Table, role: Role, handlers: &mut Handlers) {
        let names = ["exec", "tcp", "http", "grpc", "sleep"];
        let mut first = None;
        for name in names.into_iter().filter(|name| table.get(name).is_some()) {
            match first {
                None => first = Some(name),
                Some(first) => self.conflict(table, name, first),
            }
            let handler = match name {
                "exec" => {
                    let words = self.command(table, name).into_iter().map(OsString::from);
                    Some(Handler::Exec(words.collect()))
                }
                "sleep" => Some(Handler::Sleep),
                _ => self.table(table, name).and_then(|endpoint| self.request(name, &endpoint)),
            };
            handlers.extend(handler.map(|handler| (role, handler)));
        }
        if first.is_none() {
            let is_hook = table.section.key("sleep").is_some();
            let keys =
                if is_hook { "`exec`, `http` and `sleep`" } else { "`exec`, `tcp`, `http` and `grpc`" };
            self.fault(table.at, Fault::NoHandler { keys, owner: table.owner.clone() });
        }
    }

    /// What is sent to whom.
    fn request(&mut self, name: &str, table: &Table) -> Option<Handler> {
        self.require(table, "port");
        let is_host = |text: &str| text == "localhost" || text.parse::<IpAddr>().is_ok();
        // The name is none, and what it stands for is the default.
        let host = self.fitting_at(table, "host", &is_host).and_then(|text| text.parse().ok());
        let port = table.get("port").and_then(|(key, value)| self.port(key.name, key.kind, value));
        let path = self.fitting_at(table, "path", &|text| {
            text.starts_with('/') && !text.contains(|c: char| c.is_whitespace() || c.is_control())
        });
        let headers = self.headers(table);
        let service = self.fitting_at(table, "service", &|_| true);
        let endpoint = Endpoint { host, port: port? };
        Some(match name {
            "tcp" => Handler::Tcp(endpoint),
            "http" => {
                Handler::Http(HttpGet { endpoint, path: path.unwrap_or_else(|| "/".to_owned()), headers })
            }
            _ => Handler::Grpc(endpoint, service.unwrap_or_default()),
        })
    }

    fn headers(&mut self, table: &Table) -> Vec<(String, String)> {
        let Some((key, value)) = table.get("headers") else { return Vec::new() };
        let DeValue::Table(map) = value.get_ref() else {
            self.wrong::<()>(key.name, key.kind, value);
            return Vec::new();
        };
        let mut headers = Vec::new();
        for (name, value) in in_order(map) {
            let written = name.get_ref().to_string();
            let mut refuse = |what| {
                self.fault(name.span().start, Fault::Header { written: written.clone(), what });
            };
            if !is_header_name(&written) {
                refuse("a name is made of letters, digits and `-`");
                continue;
            }
            let Some(text) = self.string(&written, Kind::Header, value) else { continue };
            // It may be a secret, so it is not told.
            if text.contains(char::is_control) {
                self.fault(
                    value.span().start,
                    Fault::Header { written, what: "its value has a control character" },
                );
                continue;
            }
            headers.push((written, text));
        }
        headers
    }
}
