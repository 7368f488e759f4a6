//! One log line for each process of a container that the kernel's OOM killer ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use crate::model::container::Container;
use crate::model::text::comm_text;
use crate::observe::bpf::oom_victims::OomVictim;
use crate::resolve::cgroup_owners::{CgroupOwners, Owner};

/// Limits the number of lines.
#[derive(Debug, Default)]
pub struct OomVictimLog {
    minute_began: Option<Instant>,
    lines: u32,
}

impl OomVictimLog {
    const MAX_PER_MINUTE: u32 = 10;

    /// Logs a victim, unless this minute already has too many lines.
    pub fn log(&mut self, victim: &OomVictim, container: &Arc<Container>, cgroups: &CgroupOwners) {
        let line = self.next_line(Instant::now());
        if line > Self::MAX_PER_MINUTE {
            return;
        }
        let more = if line == Self::MAX_PER_MINUTE { "; no more are logged in this minute" } else { "" };
        warn!(
            id = %container.id,
            victim = %comm_text(victim.comm.as_bytes()),
            path = %path(victim, container, cgroups),
            age = %format_args!("{}s", victim.lifetime / 1_000_000_000),
            "the OOM killer ended a process{more}"
        );
    }

    /// The number of this line in its minute, from 1.
    fn next_line(&mut self, now: Instant) -> u32 {
        let is_new = |began: Instant| now.saturating_duration_since(began) >= Duration::from_secs(60);
        if self.minute_began.is_none_or(is_new) {
            *self = Self { minute_began: Some(now), lines: 0 };
        }
        self.lines = self.lines.saturating_add(1);
        self.lines
    }
}

/// The commands from the root process to the victim, joined with `;`. Ancestors outside the container are omitted.
fn path(victim: &OomVictim, container: &Arc<Container>, cgroups: &CgroupOwners) -> String {
    let is_inside = |id: u64| {
        let is_owner = |owner: &Owner| matches!(owner, Owner::Container(it) | Owner::Unit(it) if it.path == container.path);
        id == victim.cgroup_id || cgroups.owner(id).is_some_and(is_owner)
    };
    let ancestors = victim.ancestors.iter().take_while(|&&(cgroup, _)| is_inside(cgroup));
    let commands = std::iter::once(&victim.comm).chain(ancestors.map(|(_, comm)| comm));
    let mut commands: Vec<_> = commands.map(|comm| comm_text(comm.as_bytes())).collect();
    commands.reverse();
    commands.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Runtime;
    use crate::model::process::Comm;

    #[test]
    fn the_path_ends_at_the_border_of_the_container() {
        let container = |path: &str| {
            Arc::new(Container {
                path: path.into(),
                id: path.into(),
                container_id: "".into(),
                pod_uid: "".into(),
                own_name: None,
                runtime: Runtime::Docker,
            })
        };
        let web = container("/docker/web");
        let mut cgroups = CgroupOwners::default();
        cgroups.learn(10, Owner::Container(Arc::clone(&web)));
        cgroups.learn(11, Owner::Container(Arc::clone(&web)));
        cgroups.learn(20, Owner::Container(container("/docker/other")));
        let mut ancestors = [(1, Comm::new(b"systemd")); 8];
        ancestors[0] = (10, Comm::new(b"gunicorn"));
        // A cgroup below that of the container.
        ancestors[1] = (11, Comm::new(b"gunicorn"));
        ancestors[2] = (20, Comm::new(b"shim"));
        let victim = OomVictim { cgroup_id: 10, comm: Comm::new(b"python3"), lifetime: 0, ancestors };
        assert_eq!(path(&victim, &web, &cgroups), "gunicorn;gunicorn;python3");
    }

    #[test]
    fn lines_are_numbered_in_each_minute() {
        let mut log = OomVictimLog::default();
        let begin = Instant::now();
        let lines: Vec<u32> =
            (0..12).map(|second| log.next_line(begin + Duration::from_secs(second))).collect();
        assert_eq!(lines, (1..=12).collect::<Vec<_>>());
        assert_eq!(log.next_line(begin + Duration::from_secs(59)), 13);
        assert_eq!(log.next_line(begin + Duration::from_secs(60)), 1);
    }
}
