//! Which program waits for which, and whether they wait for each other.

use super::errors::Fault;
use super::reader::{Groups, Reader, in_order};

/// How many cycles are told.
const TOLD: usize = 20;

/// For each program those that it waits for, and where the file says so.
pub(super) type Edges = Vec<Vec<(usize, usize)>>;

impl Reader<'_> {
    /// Who waits for whom. Tells of names that no program has.
    pub(super) fn edges(&mut self, groups: &Groups) -> Edges {
        let known: Vec<&str> = groups.all.iter().map(|group| group.name).collect();
        let mut edges = Vec::new();
        for group in &groups.all {
            let mut own = Vec::new();
            if let Some(after) = group.table.map.get("after").and_then(|value| value.get_ref().as_table()) {
                for (key, _) in in_order(after) {
                    let (name, at): (&str, usize) = (key.get_ref(), key.span().start);
                    match groups.find(name) {
                        Some((_, other)) if other.at == group.at => {
                            self.fault(at, Fault::AfterItself { name: name.to_owned() });
                        }
                        Some((place, _)) => own.push((place, at)),
                        None => {
                            let meant = self.meant(name, &known).map(str::to_owned);
                            self.fault(
                                at,
                                Fault::UnknownProgram { key: "after", written: name.to_owned(), meant },
                            );
                        }
                    }
                }
            }
            edges.push(own);
        }
        edges
    }
}

/// How far the search has come with a program.
#[derive(Clone, Copy)]
enum Mark {
    New,
    /// On the path that is being followed, so far down.
    Open(usize),
    Done,
}

/// The cycles, each with the place that closes it: programs from one on until the same one comes again.
pub(super) fn cycles(edges: &Edges) -> Vec<(usize, Vec<usize>)> {
    let mut marks = vec![Mark::New; edges.len()];
    let mut found = Vec::new();
    for root in 0..edges.len() {
        // A program, and how many of its edges have been followed. No recursion: a chain may have thousands.
        let mut path = vec![(root, 0)];
        if !open(&mut marks, root, 0) {
            continue;
        }
        while let Some((program, next)) = path.last_mut() {
            let edge = edges.get(*program).and_then(|own| own.get(*next)).copied();
            *next += 1;
            let Some((to, at)) = edge else {
                if let Some(mark) = marks.get_mut(*program) {
                    *mark = Mark::Done;
                }
                path.pop();
                continue;
            };
            let depth = path.len();
            match marks.get(to) {
                Some(Mark::Open(from)) if found.len() < TOLD => {
                    let cycle = path.iter().skip(*from).map(|(program, _)| *program).chain([to]);
                    found.push((at, cycle.collect()));
                }
                Some(Mark::New) => {
                    open(&mut marks, to, depth);
                    path.push((to, 0));
                }
                Some(Mark::Open(_) | Mark::Done) | None => {}
            }
        }
    }
    found
}

/// Marks a new program as open at this depth, and says whether it was new.
fn open(marks: &mut [Mark], program: usize, depth: usize) -> bool {
    match marks.get_mut(program) {
        Some(mark @ Mark::New) => {
            *mark = Mark::Open(depth);
            true
        }
        Some(Mark::Open(_) | Mark::Done) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cycle_is_found_once_and_a_diamond_is_none() {
        let edges = |list: &[&[usize]]| -> Edges {
            list.iter().map(|own| own.iter().map(|to| (*to, 0)).collect()).collect()
        };
        let found = |list: &[&[usize]]| -> Vec<Vec<usize>> {
            cycles(&edges(list)).into_iter().map(|(_, cycle)| cycle).collect()
        };
        assert!(found(&[&[1, 2], &[3], &[3], &[]]).is_empty());
        assert_eq!(found(&[&[1], &[2], &[1], &[0]]), [[1, 2, 1]]);
        assert_eq!(found(&[&[1], &[0], &[3], &[2]]), [[0, 1, 0], [2, 3, 2]]);
        let long: Vec<Vec<(usize, usize)>> = (0..100_000).map(|n| vec![((n + 1) % 100_000, n)]).collect();
        assert_eq!(cycles(&long).len(), 1);
    }
}
