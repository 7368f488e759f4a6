//! The checks. They perform the steps of the exporter at start, with the same flags: select the source, collect, and
//! list the containers in Docker.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::Context as _;
use rustix::process::{getegid, geteuid};

use crate::cli::config::Config;
use crate::collect::pipeline::Pipeline;
use crate::collect::source_selection::Reason;
use crate::commands::check::report_table::Report;
use crate::model::cgroup_layout::CgroupPaths;
use crate::model::container::{Container, Runtime};
use crate::model::snapshot::Snapshot;
use crate::names::config::NamesConfig;
use crate::names::cri;
use crate::names::docker_error::NO_SOCKET;
use crate::names::once::{self, Answers};
use crate::observe::procfs::system::{HIDEPID_ADVICE, SUBSET_ADVICE, System};
use crate::resolve::process_files::ProcessFiles as _;
use crate::serve::security::Security;

/// Prints the report. Returns whether the containers of this machine can be monitored.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(config: &Config) -> anyhow::Result<bool> {
    let kernel = rustix::system::uname();
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    let mut text = format!(
        "pstree-exporter {} (revision {}) on {} {}, as user {user}, group {group}\n\n",
        env!("CARGO_PKG_VERSION"),
        crate::REVISION,
        kernel.sysname().to_string_lossy(),
        kernel.release().to_string_lossy(),
    );
    let report = report(config);
    text += &report.render();
    text += match report.can_monitor() {
        true => "\nThis machine can be monitored: the process forest of every container is visible.\n",
        false => "\nThis machine cannot be monitored. Fix the checks marked FAIL.\n",
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that closes the pipe early, such as head, is not an error.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    Ok(report.can_monitor())
}

fn report(config: &Config) -> Report {
    let mut report = Report::default();
    let mut collected = collect(config, &mut report);
    if let Some(Collected { pipeline, snapshot }) = &mut collected {
        view(config, &mut report);
        system_files(config, &mut report);
        cgroups(pipeline, &mut report);
        let answers = ask_for_names(&config.names, &mut report).unwrap_or_default();
        names(&config.names, &answers, snapshot, &mut report);
        pod_names(&config.names, &answers, snapshot, &mut report);
        containers(snapshot, &answers, &mut report);
        pids_limits(config, pipeline, snapshot, &mut report);
        event_counts(pipeline, &mut report);
        pid_namespaces(pipeline, &mut report);
    }
    privileges(collected.is_some_and(|it| it.pipeline.counts_events()), &mut report);
    web(config, &mut report);
    report
}

/// One collection and its pipeline.
struct Collected {
    pipeline: Pipeline,
    snapshot: Arc<Snapshot>,
}

/// Collects once. The other checks use the result.
fn collect(config: &Config, report: &mut Report) -> Option<Collected> {
    const SUBJECT: &str = "processes";
    let collected = Pipeline::new(&config.collector).and_then(|mut pipeline| {
        let snapshot = pipeline.collect()?;
        Ok(Collected { pipeline, snapshot })
    });
    let collected = match collected {
        Ok(collected) => collected,
        // The message contains the fix.
        Err(error) => {
            report.fail(SUBJECT, error.to_string(), "");
            return None;
        }
    };
    let count = collected.snapshot.processes.records.len();
    let skipped = collected.pipeline.status().skipped;
    let (denied, malformed) = (skipped.denied, skipped.malformed);
    let message = format!(
        "{count} read from {}",
        match collected.pipeline.counts_events() {
            true => "the kernel by BPF".to_owned(),
            false => config.collector.procfs.display().to_string(),
        }
    );
    if denied + malformed == 0 {
        report.ok(SUBJECT, message);
    } else {
        let message =
            format!("{message}; {denied} skipped: permission denied; {malformed} skipped: malformed");
        report.partial(SUBJECT, message, "run as a user that can read all processes in /proc");
    }
    Some(collected)
}

/// Whether all processes of the machine are visible.
fn view(config: &Config, report: &mut Report) {
    let system = System::new(&config.collector.procfs);
    if system.hides_other_users() {
        report.fail("view", HIDEPID_ADVICE, "");
    } else if let Some(container) = system.own_container(config.collector.container_name.as_deref()) {
        report.fail(
            "view",
            format!("only the processes in the pid namespace of {}", container.fallback_name()),
            "run with --pid=host, or mount the host's /proc and set --path.procfs",
        );
    } else {
        report.ok("view", "all processes in this procfs");
    }
}

/// Nothing if the procfs is complete.
fn system_files(config: &Config, report: &mut Report) {
    if System::new(&config.collector.procfs).has_only_processes() {
        // The message contains the fix.
        report.partial("procfs", SUBSET_ADVICE, "");
    }
}

fn cgroups(pipeline: &Pipeline, report: &mut Report) {
    const SUBJECT: &str = "cgroups";
    let Some(layout) = pipeline.status().cgroup_layout else {
        let message = "no process has a cgroup, so processes cannot be assigned to containers";
        return report.fail(SUBJECT, message, "use a kernel with cgroups, and mount the cgroup hierarchies");
    };
    let layout = layout.label();
    match pipeline.status().cgroup_paths {
        CgroupPaths::Host => {
            report.ok(SUBJECT, format!("{layout}, paths relative to the host's cgroup namespace"));
        }
        CgroupPaths::Resolved => {
            report.ok(SUBJECT, format!("{layout}, paths completed from this container's cgroup namespace"));
        }
        CgroupPaths::Relative if !pipeline.status().has_relative_cgroup_paths => {
            report.ok(SUBJECT, format!("{layout}, paths relative to this container's cgroup namespace"));
        }
        CgroupPaths::Relative => {
            let message =
                format!("{layout}; paths are outside this cgroup namespace: the label id is incomplete");
            let remedy = "mount the host's /sys/fs/cgroup and set --path.cgroupfs, or run this container with \
                          --cgroupns=host";
            report.partial(SUBJECT, message, remedy);
        }
    }
}

/// Asks all sources of names. `None` if they cannot be asked.
fn ask_for_names(config: &NamesConfig, report: &mut Report) -> Option<Answers> {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            report.partial("names", format!("cannot start the event loop: {error}"), "raise ulimit -n");
            return None;
        }
    };
    let limit = config.timeouts.first_answer_once;
    Some(runtime.block_on(once::ask(config, limit, &[], |_, _, _| false)))
}

fn names(config: &NamesConfig, answers: &Answers, snapshot: &Snapshot, report: &mut Report) {
    const SUBJECT: &str = "names";
    if config.docker.is_none() {
        return report.ok(SUBJECT, "the Docker API is not used (--no-docker)");
    }
    if answers.docker.is_empty() {
        let message = "no socket of Docker or Podman exists";
        let is_nameless =
            |it: &Container| it.runtime.has_docker_api_name() && answers.names.engine_metadata(it).is_none();
        return match snapshot.containers.iter().any(|it| is_nameless(&it.container)) {
            true => report.partial(SUBJECT, format!("{message}, so containers are shown by id"), NO_SOCKET),
            false => report.ok(SUBJECT, format!("{message}, and no container of them")),
        };
    }
    for (endpoint, answer) in &answers.docker {
        match answer {
            Ok(count) => report.ok(SUBJECT, format!("{count} from the Docker API at {endpoint}")),
            Err(error) => {
                let message = format!("the Docker API at {endpoint} does not answer: {error}");
                report.partial(SUBJECT, message, error.remedy());
            }
        }
    }
}

/// Nothing on a machine without pods.
fn pod_names(config: &NamesConfig, answers: &Answers, snapshot: &Snapshot, report: &mut Report) {
    const SUBJECT: &str = "pod names";
    let in_pods = || snapshot.containers.iter().filter(|it| !it.container.pod_uid.is_empty());
    let (all, named) =
        (in_pods().count(), in_pods().filter(|it| answers.names.pod_container(it).is_some()).count());
    if all == 0 {
        return;
    }
    let logs = config.kubernetes_logs.as_ref();
    if logs.is_none() && config.cri.is_none() {
        return report.ok(SUBJECT, "disabled (--names.kubernetes=off)");
    }
    let answering = answers.cri.iter().filter(|(_, answer)| answer.is_ok());
    let mut sources: Vec<String> = answering.map(|(endpoint, _)| endpoint.to_string()).collect();
    sources.extend(
        logs.filter(|_| answers.names.logs.is_some()).map(|logs| logs.containers.display().to_string()),
    );
    let from = if sources.is_empty() { "no source".to_owned() } else { sources.join(" and ") };
    if named == all {
        return report.ok(SUBJECT, format!("{named} from {from}"));
    }
    let remedy = match logs {
        Some(_) => "mount /var/log/containers and /var/log/pods of the host, and set --path.kubernetes-logs",
        None => cri::REMEDY,
    };
    report.partial(SUBJECT, format!("{named} of {all} containers in pods from {from}"), remedy);
    for (endpoint, answer) in answers.cri.iter().filter(|_| config.expects_cri()) {
        if let Err(error) = answer {
            report.partial(
                SUBJECT,
                format!("the CRI API at {endpoint} does not answer: {error}"),
                cri::REMEDY,
            );
        }
    }
}

fn containers(snapshot: &Snapshot, answers: &Answers, report: &mut Report) {
    const SUBJECT: &str = "containers";
    let by_runtime: Vec<String> = snapshot
        .containers_by_runtime
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(runtime, count)| format!("{count} {}", runtime.label()))
        .collect();
    if by_runtime.is_empty() {
        return report.ok(SUBJECT, "none running");
    }
    let known = snapshot.containers.iter().map(|it| &it.container);
    let of_docker = known.filter(|it| it.runtime == Runtime::Docker);
    let nameless = of_docker.filter(|it| answers.names.engine_metadata(it).is_none()).count();
    match nameless {
        1.. if answers.docker.iter().any(|(_, answer)| answer.is_ok()) => report.partial(
            SUBJECT,
            format!("{}; {nameless} of runtime docker are unknown to the Docker API", by_runtime.join(", ")),
            "set --docker.host to the daemon that runs them",
        ),
        _ => report.ok(SUBJECT, by_runtime.join(", ")),
    }
}

fn pids_limits(config: &Config, pipeline: &Pipeline, snapshot: &Snapshot, report: &mut Report) {
    const SUBJECT: &str = "pids limits";
    let root = config.collector.cgroupfs.display();
    let is_read = pipeline.status().pids.is_some_and(|run| run.success);
    if pipeline.reads_pids() && (snapshot.containers.is_empty() || is_read) {
        report.ok(SUBJECT, format!("read from the pids controller in {root}"));
    } else {
        let message = format!("no pids controller of these containers in {root}");
        let fix =
            "mount the host's /sys/fs/cgroup and set --path.cgroupfs; in a container, use --cgroupns=host";
        report.partial(SUBJECT, message, fix);
    }
}

fn event_counts(pipeline: &Pipeline, report: &mut Report) {
    const SUBJECT: &str = "forks, execs, exits";
    let reason = pipeline.source_reason();
    match (pipeline.counts_events(), reason) {
        (true, _) => report.ok(SUBJECT, "counted by BPF"),
        (false, Reason::Flag) => report.ok(SUBJECT, "not counted (--collection.source)"),
        // The message contains the fix.
        (false, _) => report.partial(SUBJECT, format!("not counted: {reason}"), ""),
    }
}

/// Whether the pid namespaces of other users' processes can be read.
fn pid_namespaces(pipeline: &mut Pipeline, report: &mut Report) {
    const SUBJECT: &str = "pid namespaces";
    if pipeline.counts_events() || pipeline.files().pid_namespace(1).is_ok() {
        report.ok(SUBJECT, "readable for all processes");
    } else {
        report.partial(
            SUBJECT,
            "readable only for own processes; pstree_container_namespace_intruders has no samples",
            "if you need this metric, use --collection.source=bpf or grant CAP_SYS_PTRACE",
        );
    }
}

/// Whether the exporter has privileges that it does not use.
fn privileges(has_counts: bool, report: &mut Report) {
    match geteuid().is_root() {
        // Container engines grant capabilities only to root.
        true if has_counts => report.ok("privileges", "root, with BPF in use"),
        true => report.partial("privileges", "root, which is not required", "run as an unprivileged user"),
        false => report.ok("privileges", "unprivileged"),
    }
}

fn web(config: &Config, report: &mut Report) {
    let Some(path) = &config.web.config_file else { return };
    match Security::start(path, config.web.timeouts.reload_interval) {
        Ok(_) => report.ok("web configuration", path.display().to_string()),
        // The exporter would not start. The message contains the fix.
        Err(error) => report.fail("web configuration", error.to_string(), ""),
    }
}
