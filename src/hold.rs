//! What is said while the container is held: the exact commands that get one in and out.

use std::time::Duration;

use crate::notice::Ending;
use crate::outcome::Report;
use crate::time::Span;

/// Where we are held, as far as it can be told from inside.
#[derive(Clone, Debug)]
pub struct Place {
    /// Who runs the container.
    pub platform: Platform,
    /// The host's name: the pod's in Kubernetes, by default the container's id elsewhere.
    pub hostname: String,
    /// The container's name in its pod, where the mount of the termination message tells it.
    pub container: Option<String>,
    /// sexton's own process.
    pub pid: u32,
    /// There is a shell in the image.
    pub has_shell: bool,
    /// Where sexton's own binary is, which looks around and releases where there is nothing else.
    pub binary: String,
}

/// This binary has the subcommands that look around and release.
const HAS_SUBCOMMANDS: bool = cfg!(feature = "config");

/// Who runs the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Platform {
    /// A kubelet; with the namespace, where the service account's file says it.
    Kubernetes(Option<String>),
    /// Docker, or something like it.
    Docker,
    /// Podman.
    Podman,
    /// None that we know.
    Unknown,
}

/// The container's name in its pod: a kubelet mounts `…/pods/UID/containers/NAME/…` at /dev/termination-log, and
/// proc_pid_mountinfo(5) shows both ends in its fourth and fifth field.
#[must_use]
pub fn container_name(mountinfo: &str) -> Option<&str> {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some("/dev/termination-log"))?;
    let mut directories = line.split(' ').nth(3)?.split('/');
    directories.find(|directory| *directory == "containers")?;
    directories.next()
}

/// The lines to say; `frozen` is the process that is kept at its end.
#[must_use]
pub fn announcement(
    report: &Report,
    limit: Option<Duration>,
    frozen: Option<i32>,
    place: &Place,
) -> Vec<String> {
    let span = limit.map_or("without end".to_owned(), |limit| format!("for {}", Span(limit)));
    let (look, end, again) = commands(place);
    let frozen =
        frozen.map(|pid| format!("look at it:   /proc/{pid}   (frozen at its end; kill does not reach it)"));
    let mut lines = vec![
        format!("{}: {}; holding the container {span}", report.program, Ending(report)),
        format!("look around:  {look}"),
        format!("end the hold: {end}   (exits with code {})", report.code),
        format!("start again:  {again}"),
    ];
    if let Some(frozen) = frozen {
        lines.insert(2, frozen);
    }
    lines
}

/// The commands that look around, end the hold, and start main again.
fn commands(place: &Place) -> (String, String, String) {
    if HAS_SUBCOMMANDS && (place.pid == 1 || place.platform != Platform::Unknown) {
        return own_commands(place);
    }
    let Place { hostname: name, pid, .. } = place;
    let in_engine = |engine: &str| {
        let look = if place.has_shell {
            format!("{engine} exec -it {name} sh")
        } else {
            format!("{engine} run -it --rm --pid container:{name} busybox   (this image has no shell)")
        };
        (look, format!("{engine} stop {name}"), format!("{engine} kill --signal HUP {name}"))
    };
    match &place.platform {
        Platform::Kubernetes(namespace) => {
            let namespace = namespace.as_ref().map_or(String::new(), |namespace| format!(" -n {namespace}"));
            let (container, hint) = match &place.container {
                Some(container) => (container.as_str(), ""),
                None => ("CONTAINER", "   (CONTAINER is this container's name in the pod)"),
            };
            if place.has_shell {
                let exec = format!("kubectl exec{namespace} {name} -c {container}");
                let kill = |signal| format!("{exec} -- sh -c 'kill -{signal} {pid}'");
                (format!("{exec} -it -- sh{hint}"), kill("TERM"), kill("HUP"))
            } else {
                let debug =
                    format!("kubectl debug{namespace} {name} -it --image=busybox --target={container} --");
                let kill = |signal| format!("{debug} kill -{signal} {pid}");
                (format!("{debug} sh   (this image has no shell){hint}"), kill("TERM"), kill("HUP"))
            }
        }
        Platform::Docker => in_engine("docker"),
        Platform::Podman => in_engine("podman"),
        Platform::Unknown => {
            (format!("ls -l /proc/{pid}/cwd/"), format!("kill -TERM {pid}"), format!("kill -HUP {pid}"))
        }
    }
}

/// The same where sexton's binary does it: in any image, and without a signal to the wrong process.
fn own_commands(place: &Place) -> (String, String, String) {
    let Place { hostname: name, binary, .. } = place;
    let (exec, hint) = match (&place.platform, &place.container) {
        (Platform::Kubernetes(namespace), container) => {
            let namespace = namespace.as_ref().map_or(String::new(), |namespace| format!(" -n {namespace}"));
            let (container, hint) = match container {
                Some(container) => (container.as_str(), ""),
                None => ("CONTAINER", "   (CONTAINER is this container's name in the pod)"),
            };
            (format!("kubectl exec{namespace} {name} -c {container}"), hint)
        }
        (Platform::Docker, _) => (format!("docker exec {name}"), ""),
        (Platform::Podman, _) => (format!("podman exec {name}"), ""),
        (Platform::Unknown, _) => (String::new(), ""),
    };
    let inside = |words: &str| match &place.platform {
        Platform::Kubernetes(_) => format!("{exec} -- {binary} {words}"),
        Platform::Docker | Platform::Podman => format!("{exec} {binary} {words}"),
        Platform::Unknown => format!("{binary} {words}"),
    };
    let look = match &place.platform {
        Platform::Kubernetes(_) if place.has_shell => format!("{exec} -it -- sh"),
        Platform::Docker | Platform::Podman if place.has_shell => {
            exec.replacen("exec", "exec -it", 1) + " sh"
        }
        Platform::Kubernetes(_) | Platform::Docker | Platform::Podman | Platform::Unknown => {
            inside("inspect ps")
        }
    };
    (look + hint, inside("release"), inside("release --restart"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Cause, Sequel, Status};

    fn said(platform: Platform, has_shell: bool) -> Vec<String> {
        said_of(platform, has_shell, None)
    }

    fn said_of(platform: Platform, has_shell: bool, frozen: Option<i32>) -> Vec<String> {
        let report = Report {
            id: crate::plan::ProgramId(0),
            program: "main".to_owned(),
            cause: Cause::Ended {
                status: Status::Exited(3),
                memory: None,
                by_us: None,
                failed: None,
                ran: Duration::from_secs(20),
            },
            sequel: Sequel::Nothing,
            is_expected: 3 == 0,
            code: 3,
            stopped_by: None,
            held: None,
            uptime: Duration::from_secs(20),
        };
        let place = Place {
            platform,
            hostname: "web-0".to_owned(),
            container: None,
            pid: 1,
            has_shell,
            binary: "/sexton".to_owned(),
        };
        announcement(&report, Some(Duration::from_hours(1)), frozen, &place)
    }

    #[test]
    fn kubernetes_users_get_kubectl_with_their_pod_and_namespace() {
        assert_eq!(
            said(Platform::Kubernetes(Some("shop".to_owned())), true),
            [
                "main: exited with code 3 after 20s (unexpected); holding the container for 1h00m",
                "look around:  kubectl exec -n shop web-0 -c CONTAINER -it -- sh   (CONTAINER is this container's name in the pod)",
                "end the hold: kubectl exec -n shop web-0 -c CONTAINER -- /sexton release   (exits with code 3)",
                "start again:  kubectl exec -n shop web-0 -c CONTAINER -- /sexton release --restart",
            ]
        );
    }

    #[test]
    fn where_there_is_no_shell_sexton_looks_around() {
        let lines = said(Platform::Kubernetes(None), false);
        assert!(
            lines[1].starts_with("look around:  kubectl exec web-0 -c CONTAINER -- /sexton inspect ps   ("),
            "{lines:?}"
        );
        let lines = said(Platform::Docker, false);
        assert_eq!(lines[1], "look around:  docker exec web-0 /sexton inspect ps");
        let lines = said(Platform::Unknown, false);
        assert_eq!(lines[2], "end the hold: /sexton release   (exits with code 3)");
    }

    #[test]
    fn what_is_frozen_is_pointed_at() {
        let lines = said_of(Platform::Podman, true, Some(7));
        assert_eq!(lines[2], "look at it:   /proc/7   (frozen at its end; kill does not reach it)");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn an_engine_is_asked_in_its_own_words() {
        let lines = said(Platform::Podman, true);
        assert_eq!(
            lines[1..],
            [
                "look around:  podman exec -it web-0 sh",
                "end the hold: podman exec web-0 /sexton release   (exits with code 3)",
                "start again:  podman exec web-0 /sexton release --restart",
            ]
        );
    }

    #[test]
    fn the_containers_name_is_read_from_the_kubelets_mount() {
        let line = "712 690 254:0 /var/lib/kubelet/pods/0c-1/containers/web/5e0f1a2b /dev/termination-log rw - ext4 /dev/vda rw";
        assert_eq!(container_name(line), Some("web"));
        assert_eq!(container_name("712 690 254:0 /tmp/why /dev/termination-log rw - ext4 /dev/vda rw"), None);
        assert_eq!(container_name("1 2 0:5 / /proc rw - proc proc rw\nbroken\n"), None);
    }
}
