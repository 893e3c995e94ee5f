//! The walk through a file: what it says as a whole, and every error on the way.

use std::cmp::Ordering;
use std::io;
use std::path::Path;

use log::LevelFilter;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Errors, Fault};
use super::keys::{self, Kind, MAX_PROGRAMS, Section, key_elsewhere, section_elsewhere};
use super::source::{self, MAX_FILE, Place, Unreadable};
use super::{Config, Step, dependencies};
use crate::plan::{Format, HoldOn, Output, Sidecars, Style};
use crate::sorted::Sorted;
use crate::suggest::suggest;

/// Of a text longer than this only the first syntax error is told: a long file that is no TOML at all has an error at
/// every character.
const MANY_ERRORS: usize = 1 << 16;
/// The memory that all values together may take, those of `numprocs` each counted, in bytes. It stops a short file that
/// asks for very much.
const ROOM: usize = 64 << 20;
/// How many words are compared for suggestions.
const PATIENCE: usize = 20_000;

/// What the configuration takes from outside the file.
pub struct Outside<'a> {
    /// A variable of sexton's own environment; None where it is not set or not UTF-8.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The content of a file, that many bytes of it and one more at most: [`read_file`](super::read_file).
    pub file: &'a dyn Fn(&Path, usize) -> io::Result<Vec<u8>>,
}

/// Reads the file at `path`.
///
/// # Errors
/// With everything that is wrong with it.
pub fn read(path: &Path, outside: &Outside) -> Result<Config, Errors> {
    let name = path.display().to_string();
    match source::text((outside.file)(path, MAX_FILE)) {
        Ok(text) => parse(&name, &text, outside),
        Err(why) => {
            Err(Errors { file: name.clone(), list: vec![(None, Fault::Unreadable { file: name, why })] })
        }
    }
}

/// Reads the text of the file `name`.
///
/// # Errors
/// With everything that is wrong with it.
pub fn parse(name: &str, text: &str, outside: &Outside) -> Result<Config, Errors> {
    let (table, syntax) = if text.len() <= MANY_ERRORS {
        DeTable::parse_recoverable(text)
    } else {
        match DeTable::parse(text) {
            Ok(table) => (table, Vec::new()),
            Err(error) => (Spanned::new(0..0, DeTable::new()), vec![error]),
        }
    };
    let mut reader = Reader {
        outside,
        text,
        faults: Vec::new(),
        files: Sorted::default(),
        globals: Sorted::default(),
        scope: Sorted::default(),
        addresses: Vec::new(),
        room: ROOM,
        patience: PATIENCE,
    };
    let config = reader.config(table.get_ref());
    let list = placed(text, &syntax, reader.faults);
    if list.is_empty() { Ok(config) } else { Err(Errors { file: name.to_owned(), list }) }
}

/// All errors with their places, in order. Of what cannot be parsed only the first error of a line is told, and nothing
/// that may only follow from it.
fn placed(
    text: &str,
    syntax: &[toml::de::Error],
    faults: Vec<(usize, Fault)>,
) -> Vec<(Option<Place>, Fault)> {
    let told = syntax.iter().map(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (at, false, section_of(text, at).unwrap_or_else(|| Fault::Syntax(error.message().to_owned())))
    });
    let faults = faults.into_iter().filter(|(_, fault)| syntax.is_empty() || !fault.is_consequence());
    let all: Vec<_> = told.chain(faults.map(|(at, fault)| (at, true, fault))).collect();
    let (mut place, mut passed) = (Place::START, 0);
    let mut list: Vec<(Place, bool, Fault)> = Vec::new();
    let at = |index: usize| all.get(index).map(|(at, ..)| *at);
    for index in sorted(all.len(), &|a, b| at(a).cmp(&at(b))) {
        let Some((at, meaning, fault)) = all.get(index) else { continue };
        let at = text.floor_char_boundary(*at);
        place = place.after(text.get(passed..at).unwrap_or_default());
        passed = at;
        let error = (place, *meaning, fault.clone());
        if list.last() != Some(&error) {
            list.push(error);
        }
    }
    let broken: Vec<usize> =
        list.iter().filter(|(_, meaning, _)| !meaning).map(|(place, ..)| place.line).collect();
    list.dedup_by(|next, kept| !next.1 && !kept.1 && next.0.line == kept.0.line);
    list.retain(|(place, meaning, _)| !meaning || broken.binary_search(&place.line).is_err());
    list.into_iter().map(|(place, _, fault)| (Some(place), fault)).collect()
}

/// A section of Supervisor's in the line that the parser stumbled over: `[program:web]`. It looks at no more than this
/// much of a line, which may be the whole file.
fn section_of(text: &str, at: usize) -> Option<Fault> {
    const NEAR: usize = 80;
    let near = text.get(text.floor_char_boundary(at.saturating_sub(NEAR))..at)?;
    let before = match near.rsplit_once('\n') {
        Some((_, line)) => line,
        None if near.len() == at => near,
        None => return None,
    };
    let end = text.floor_char_boundary(at.saturating_add(NEAR));
    let line = text.get(at - before.len()..end)?;
    let (written, _) = line.trim_start().strip_prefix('[')?.split_once([']', '\n'])?;
    let advice = written.contains(':').then(|| section_elsewhere(written))??;
    Some(Fault::Section { written: written.to_owned(), advice })
}

/// What is known while a file is read.
pub(super) struct Reader<'a> {
    pub(super) outside: &'a Outside<'a>,
    pub(super) text: &'a str,
    /// What is wrong, and at which byte of the text.
    pub(super) faults: Vec<(usize, Fault)>,
    /// Other files that have been read, by their paths: all processes see the same content.
    pub(super) files: Sorted<String, String>,
    /// The variables of the whole file.
    pub(super) globals: Sorted<String, String>,
    /// The variables that strings may refer to besides sexton's own.
    pub(super) scope: Sorted<String, String>,
    /// Where we listen, at which byte of the text that is said, and who it is for.
    pub(super) addresses: Vec<(String, usize, String)>,
    /// What is left of [`ROOM`].
    room: usize,
    /// What is left of [`PATIENCE`].
    patience: usize,
}

/// A table of the file.
#[derive(Clone)]
pub(super) struct Table<'t> {
    pub(super) map: &'t DeTable<'t>,
    pub(super) section: &'static Section,
    /// Where it begins.
    pub(super) at: usize,
    /// What it is, for messages: `` program `web` ``; empty for the file itself.
    pub(super) owner: String,
}

/// A `[program.NAME]`.
pub(super) struct Group<'t> {
    pub(super) name: &'t str,
    pub(super) table: Table<'t>,
    /// Where its name is.
    pub(super) at: usize,
    /// The place of its first process among all.
    pub(super) first: usize,
    /// How many processes it has.
    pub(super) numprocs: usize,
    /// The number of the first.
    pub(super) numprocs_start: usize,
}

/// Every `[program.NAME]`.
#[derive(Default)]
pub(super) struct Groups<'t> {
    /// In the order of the file.
    pub(super) all: Vec<Group<'t>>,
    /// Their places in `all`, by name.
    by_name: Vec<usize>,
}

impl<'t> Groups<'t> {
    fn new(all: Vec<Group<'t>>) -> Groups<'t> {
        let name = |place: usize| all.get(place).map(|group| group.name);
        let by_name = sorted(all.len(), &|a, b| name(a).cmp(&name(b)));
        Groups { all, by_name }
    }

    /// The program of this name, and its place.
    pub(super) fn find(&self, name: &str) -> Option<(usize, &Group<'t>)> {
        let name_of = |place: &usize| self.all.get(*place).map(|group| group.name);
        let found = self.by_name.binary_search_by(|place| name_of(place).cmp(&Some(name))).ok()?;
        let place = *self.by_name.get(found)?;
        Some((place, self.all.get(place)?))
    }
}

/// The name of a process, and where it comes from.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) at: usize,
    pub(super) numprocs: bool,
}

/// The entries of a table as they stand in the file; TOML's own order is by name.
pub(super) fn in_order<'t>(
    map: &'t DeTable<'t>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>)> {
    let entries: Vec<_> = map.iter().collect();
    let at = |place: usize| entries.get(place).map(|(key, _)| key.span().start);
    let order = sorted(entries.len(), &|a, b| at(a).cmp(&at(b)));
    order.into_iter().filter_map(|place| entries.get(place).copied()).collect()
}

/// The numbers below `count` in the order of what they stand for. One sort for everything keeps the binary small.
pub(super) fn sorted(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    order
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, at: usize, fault: Fault) {
        self.faults.push((at, fault));
    }

    /// Takes so many bytes of the room that there is, and says whether there were as many.
    pub(super) fn spend(&mut self, at: usize, bytes: usize) -> bool {
        let had = self.room;
        self.room = had.saturating_sub(bytes);
        // Told once.
        if self.room == 0 && had > 0 {
            self.fault(at, Fault::TooMuch);
        }
        self.room > 0
    }

    /// Whether there was not room enough, so that values are missing.
    pub(super) fn is_spent(&self) -> bool {
        self.room == 0
    }

    /// Tells of a key that has to be there and is not.
    pub(super) fn require(&mut self, table: &Table, key: &'static str) {
        if !table.map.contains_key(key) {
            self.fault(table.at, Fault::MissingKey { key, owner: table.owner.clone() });
        }
    }

    /// What `word` may have been meant for.
    pub(super) fn meant<'w>(&mut self, word: &str, candidates: &[&'w str]) -> Option<&'w str> {
        if word.len() > keys::MAX_NAME || self.patience < candidates.len() {
            return None;
        }
        self.patience -= candidates.len();
        let close = |word: &str| {
            suggest(word, candidates.iter().copied().filter(|candidate| candidate.len() <= keys::MAX_NAME))
        };
        // Docker's `restart` is `autorestart` here.
        close(word).or_else(|| close(&format!("auto{word}")))
    }

    /// The table with its unknown keys told.
    fn checked<'t>(
        &mut self,
        map: &'t DeTable<'t>,
        section: &'static Section,
        at: usize,
        owner: String,
    ) -> Table<'t> {
        for key in map.keys() {
            let written = key.get_ref().to_string();
            if section.key(&written).is_some() {
                continue;
            }
            let top = std::ptr::eq(section, &raw const keys::FILE);
            let names: Vec<&'static str> = section.all().map(|key| key.name).collect();
            // A kubelet's `periodSeconds` is `period_seconds` here.
            let same = names.iter().copied().find(|name| is_spelt(name, &written));
            let other = if top { section_elsewhere(&written) } else { None };
            let fault = match (same, other, key_elsewhere(&written)) {
                (None, Some(advice), _) => Fault::Section { written, advice },
                (None, None, Some(advice)) => Fault::KeyElsewhere { written, advice },
                (same, _, _) => {
                    let meant = same.or_else(|| self.meant(&written, &names));
                    Fault::UnknownKey { written, owner: owner.clone(), meant }
                }
            };
            self.fault(key.span().start, fault);
        }
        Table { map, section, at, owner }
    }

    /// The table at `key`.
    pub(super) fn table<'t>(&mut self, parent: &Table<'t>, name: &'static str) -> Option<Table<'t>> {
        let (key, value) = parent.get(name)?;
        match (key.kind, value.get_ref()) {
            (Kind::Table(section), DeValue::Table(map)) => {
                let owner = if parent.owner.is_empty() {
                    format!("`{name}`")
                } else {
                    format!("`{name}` of {}", parent.owner)
                };
                Some(self.checked(map, section, value.span().start, owner))
            }
            _ => self.wrong(key.name, key.kind, value),
        }
    }

    fn config(&mut self, map: &DeTable) -> Config {
        let file = &self.checked(map, &keys::FILE, 0, String::new());
        self.variables(file);
        self.globals = std::mem::take(&mut self.scope);
        let mut config = Config {
            grace_period: self.duration(file, "grace_period"),
            stop_on: self.stop_signals(file, "stop_on"),
            reload: self.boolean(file, "reload"),
            crash_dir: self.path(file, "crash_dir"),
            ..Config::default()
        };
        if let Some(hold) = &self.table(file, "hold") {
            config.hold = self.word(hold, "on", &[HoldOn::Never, HoldOn::Failure, HoldOn::Always]);
            config.hold_for = self.duration_or_word(hold, "for");
            config.hold_file = self.path(hold, "file");
            config.hold_freeze = self.boolean(hold, "freeze").unwrap_or_default();
            config.hold_sidecars =
                self.word(hold, "sidecars", &[Sidecars::Keep, Sidecars::Stop]).unwrap_or_default();
        }
        self.drain(file, &mut config);
        config.health = self.health(file);
        if let Some(control) = &self.table(file, "control") {
            config.control = self.path(control, "socket");
        }
        let mut style = Style { output: Output::Prefix, timestamps: false };
        if let Some(log) = &self.table(file, "log") {
            style = self.style(log, style);
            let levels = [
                LevelFilter::Off,
                LevelFilter::Error,
                LevelFilter::Warn,
                LevelFilter::Info,
                LevelFilter::Debug,
            ];
            config.log_level = self.word(log, "level", &levels);
        }
        if let Some(message) = &self.table(file, "termination_message") {
            config.termination_message = self.path(message, "path");
            config.termination_format = self.word(message, "format", &[Format::Text, Format::Json]);
            config.tail = self.integer(message, "lines");
        }
        config.log = style;
        let mut names = Vec::new();
        config.steps = self.steps(file, style, &mut names);
        let groups = self.groups(file);
        let edges = self.edges(&groups);
        for group in &groups.all {
            self.programs(group, &groups, style, &mut config.programs, &mut names);
        }
        for (at, cycle) in dependencies::cycles(&edges) {
            let names =
                cycle.iter().filter_map(|place| groups.all.get(*place)).map(|group| group.name.to_owned());
            self.fault(at, Fault::Cycle(names.collect()));
        }
        self.unique(&names);
        self.unique_addresses();
        config.main = self.main(file, &groups);
        if groups.all.is_empty() && !file.map.contains_key("step") && !file.map.contains_key("program") {
            self.fault(0, Fault::Empty);
        }
        config
    }

    fn steps(&mut self, file: &Table, style: Style, names: &mut Vec<Named>) -> Vec<Step> {
        let Some((key, value)) = file.get("step") else { return Vec::new() };
        let (Kind::Tables(section), DeValue::Array(array)) = (key.kind, value.get_ref()) else {
            self.wrong::<()>(key.name, key.kind, value);
            return Vec::new();
        };
        if array.is_empty() {
            self.wrong::<()>(key.name, key.kind, value);
        }
        let mut steps = Vec::new();
        for (place, value) in array.iter().enumerate() {
            let DeValue::Table(map) = value.get_ref() else {
                self.wrong::<()>(key.name, key.kind, value);
                continue;
            };
            let number = place + 1;
            let table = self.checked(map, section, value.span().start, format!("step {number}"));
            steps.push(self.step(&table, number, style, names));
        }
        steps
    }

    /// The programs there are, in the order of the file.
    fn groups<'t>(&mut self, file: &Table<'t>) -> Groups<'t> {
        let Some((key, value)) = file.get("program") else { return Groups::default() };
        let (Kind::Named(section), DeValue::Table(map)) = (key.kind, value.get_ref()) else {
            self.wrong::<()>(key.name, key.kind, value);
            return Groups::default();
        };
        if map.is_empty() {
            self.wrong::<()>(key.name, key.kind, value);
        }
        let (mut groups, mut first) = (Vec::new(), 0);
        for (name, value) in in_order(map) {
            let at = name.span().start;
            let DeValue::Table(map) = value.get_ref() else {
                self.wrong::<()>(name.get_ref(), Kind::Named(section), value);
                continue;
            };
            let name: &str = name.get_ref();
            if !is_name(name) {
                self.refuse(at, "program", Kind::Name, name);
            }
            let owner = format!("program `{}`", shortened(name).escape_debug());
            let table = self.checked(map, section, value.span().start, owner);
            let numprocs = self.integer(&table, "numprocs").unwrap_or(1);
            let numprocs_start = self.integer(&table, "numprocs_start").unwrap_or(0);
            if first + numprocs > MAX_PROGRAMS {
                self.fault(at, Fault::TooManyPrograms);
                break;
            }
            groups.push(Group { name, table, at, first, numprocs, numprocs_start });
            first += numprocs;
        }
        Groups::new(groups)
    }

    /// Tells of every process that has another's name.
    fn unique(&mut self, names: &[Named]) {
        let key = |place: usize| names.get(place).map(|named| (&named.name, named.at));
        let order = sorted(names.len(), &|a, b| key(a).cmp(&key(b)));
        let in_order = || order.iter().filter_map(|place| names.get(*place));
        for (before, named) in in_order().zip(in_order().skip(1)) {
            if before.name == named.name {
                let numprocs = named.numprocs && before.at == named.at;
                self.fault(named.at, Fault::TwiceNamed { name: named.name.clone(), numprocs });
            }
        }
    }

    fn main(&mut self, file: &Table, groups: &Groups) -> Option<usize> {
        let name = self.text(file, "main")?;
        let at = file.at("main");
        let Some((_, group)) = groups.find(&name) else {
            let known: Vec<&str> = groups.all.iter().map(|group| group.name).collect();
            let meant = self.meant(&name, &known).map(str::to_owned);
            self.fault(at, Fault::UnknownProgram { key: "main", written: name, meant });
            return None;
        };
        let autostart = group.table.get("autostart").and_then(|(_, value)| value.get_ref().as_bool());
        if group.numprocs > 1 {
            self.fault(at, Fault::MainRule { name, rule: "`numprocs` is above 1" });
        } else if autostart == Some(false) {
            self.fault(at, Fault::MainRule { name, rule: "it has `autostart = false`" });
        }
        Some(group.first)
    }

    /// The content of another file that the file names at `at`.
    pub(super) fn other_file(&mut self, at: usize, path: &str) -> Option<String> {
        if let Some(size) = self.files.get(path).map(String::len) {
            return if self.spend(at, size) { self.files.get(path).cloned() } else { None };
        }
        let read = source::text((self.outside.file)(Path::new(path), MAX_FILE));
        let content = read.and_then(|text| if text.contains('\0') { Err(Unreadable::Nul) } else { Ok(text) });
        match content {
            Ok(content) => {
                self.files.insert(path.to_owned(), content.clone());
                Some(content)
            }
            Err(why) => {
                self.fault(at, Fault::Unreadable { file: path.to_owned(), why });
                None
            }
        }
    }
}

impl<'t> Table<'t> {
    /// The value of a key, where it has one, and what the key takes.
    pub(super) fn get(&self, name: &str) -> Option<(&'static keys::Key, &'t Spanned<DeValue<'t>>)> {
        Some((self.section.key(name)?, self.map.get(name)?))
    }

    /// Where the value of a key is; where the table is, for one that is not there.
    pub(super) fn at(&self, name: &str) -> usize {
        self.map.get(name).map_or(self.at, |value| value.span().start)
    }
}

/// Whether only underscores and capitals are other ones.
fn is_spelt(name: &str, written: &str) -> bool {
    let letters = |c: &u8| *c != b'_';
    let written = written.bytes().filter(letters).map(|c| c.to_ascii_lowercase());
    name.bytes().filter(letters).eq(written)
}

/// Whether a process can be called so.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= keys::MAX_NAME
        && !name.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// As much of somebody's words as a message has use for.
pub(super) fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(400)).unwrap_or_default()
}
