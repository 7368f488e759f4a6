//! `--check`: what the exporter can see on this machine, why not more, and what to do about it.
//!
//! It does what the exporter does at its start, once: the same source, one collection, one question to Docker. So
//! what it says is what the exporter would find.

use std::io::Write as _;

use anyhow::Context as _;
use rustix::process::{getegid, geteuid};

use crate::cli::config::Config;
use crate::collect::pipeline::Pipeline;
use crate::collect::source_selection::Reason;
use crate::commands::check::report::Report;
use crate::model::container::Runtime;
use crate::names::config::DockerConfig;
use crate::names::docker;
use crate::names::registry::Directory;
use crate::observe::procfs::system::{HIDEPID_ADVICE, System};
use crate::resolve::process_files::ProcessFiles as _;
use crate::serve::security::rules::Security;

/// Prints what is found. Returns whether the main job can be done.
///
/// # Errors
/// When it cannot be printed.
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
    text += match report.is_fit() {
        true => "\nThe main job can be done here: the forest of every container on this machine.\n",
        false => "\nThe main job cannot be done here; mend what says NO.\n",
    };
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // A reader that has seen enough is no failure of ours.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    Ok(report.is_fit())
}

fn report(config: &Config) -> Report {
    let mut report = Report::default();
    let mut pipeline = collect(config, &mut report);
    if let Some(pipeline) = &mut pipeline {
        view(config, &mut report);
        cgroups(config, pipeline, &mut report);
        let directory = names(config.docker.as_ref(), &mut report);
        containers(pipeline, directory.as_ref(), &mut report);
        pids(config, pipeline, &mut report);
        kernel_counts(pipeline, &mut report);
        namespaces(pipeline, &mut report);
    }
    rights(pipeline.is_some_and(|it| it.events.is_some()), &mut report);
    web(config, &mut report);
    report
}

/// One collection; what follows is about its results.
fn collect(config: &Config, report: &mut Report) -> Option<Pipeline> {
    const SUBJECT: &str = "processes";
    let collected = Pipeline::new(&config.collector).and_then(|mut it| it.collect().map(|()| it));
    let pipeline = match collected {
        Ok(pipeline) => pipeline,
        // Its text has the remedy.
        Err(error) => {
            report.bad(SUBJECT, error.to_string(), "");
            return None;
        }
    };
    let count = pipeline.frames.present().records.len();
    let (denied, malformed) = (pipeline.skipped.denied, pipeline.skipped.malformed);
    let what = format!(
        "{count} read from {}",
        match pipeline.events {
            Some(_) => "the kernel's own list".to_owned(),
            None => config.collector.procfs.display().to_string(),
        }
    );
    if denied + malformed == 0 {
        report.good(SUBJECT, what);
    } else {
        let what = format!("{what}; {denied} were denied, {malformed} could not be understood");
        report.partial(SUBJECT, what, "run it as a user to whom /proc shows all processes; see also below");
    }
    Some(pipeline)
}

/// Whether they are all there are on the machine.
fn view(config: &Config, report: &mut Report) {
    let system = System::new(&config.collector.procfs);
    if system.hides_processes() {
        report.bad("view", HIDEPID_ADVICE, "");
    } else if let Some(container) = system.own_container(config.collector.container_name.as_deref()) {
        report.bad(
            "view",
            format!("only what runs in {}, by its pid namespace", container.fallback_name()),
            "run it with --pid=host, or mount the machine's /proc and give --path.procfs",
        );
    } else {
        report.good("view", "all processes of the machine, as far as this procfs goes");
    }
}

fn cgroups(config: &Config, pipeline: &Pipeline, report: &mut Report) {
    const SUBJECT: &str = "cgroups";
    let Some(layout) = pipeline.resolver.cgroup_layout() else {
        let what = "no process says which cgroup it is in, so nothing tells containers apart";
        return report.bad(SUBJECT, what, "run a kernel with cgroups, and mount them");
    };
    let layout = layout.label();
    if pipeline.resolver.has_foreign_cgroup_paths() {
        let what =
            format!("{layout}; paths lie outside our cgroup namespace: the label id lacks its first part");
        report.partial(SUBJECT, what, "run this container with --cgroupns=host");
    } else {
        let whole = System::new(&config.collector.procfs).sees_whole_cgroup_paths();
        let paths =
            if whole { "paths as the machine has them" } else { "paths as our cgroup namespace has them" };
        report.good(SUBJECT, format!("{layout}, {paths}"));
    }
}

fn names(docker: Option<&DockerConfig>, report: &mut Report) -> Option<Directory> {
    const SUBJECT: &str = "names";
    let Some(docker) = docker else {
        report.good(SUBJECT, "not asked for (--no-docker): containers show their id");
        return None;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let asked = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(docker::ask_once(&docker.endpoint, docker.timeouts.first_answer_once, |_, _| false))
    });
    match asked {
        Ok((directory, _)) => {
            report.good(SUBJECT, format!("{} from the Docker API at {}", directory.len(), docker.endpoint));
            Some(directory)
        }
        Err(error) => {
            let remedy = if error.contains("Permission denied") {
                "give this user the group of the socket (that is as good as root), or put a proxy before it that \
                 passes GET alone; --no-docker to do without"
            } else if error.contains("No such file") {
                "start Docker or Podman's API, mount its socket into this container, or give --docker.host; \
                 --no-docker to do without"
            } else {
                "look whether the daemon answers `docker ps`; --no-docker to do without"
            };
            let what = format!("the Docker API at {} does not answer: {error}", docker.endpoint);
            report.partial(SUBJECT, what, remedy);
            None
        }
    }
}

fn containers(pipeline: &Pipeline, directory: Option<&Directory>, report: &mut Report) {
    const SUBJECT: &str = "containers";
    let by_runtime: Vec<String> = pipeline
        .containers_by_runtime
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(runtime, count)| format!("{count} {}", runtime.label()))
        .collect();
    if by_runtime.is_empty() {
        return report.good(SUBJECT, "none runs here now");
    }
    let is_nameless = |directory: &Directory| {
        let known = pipeline.walk.containers.iter().flatten();
        let of_docker = known.filter(|it| it.runtime == Runtime::Docker);
        of_docker.filter(|it| !directory.contains_key(&*it.container_id)).count()
    };
    match directory.map(is_nameless) {
        Some(nameless) if nameless > 0 => report.partial(
            SUBJECT,
            format!("{}; {nameless} of Docker have no name in that daemon", by_runtime.join(", ")),
            "another daemon runs them: give --docker.host its address",
        ),
        _ => report.good(SUBJECT, by_runtime.join(", ")),
    }
}

fn pids(config: &Config, pipeline: &Pipeline, report: &mut Report) {
    const SUBJECT: &str = "pids limits";
    let root = config.collector.cgroupfs.display();
    if pipeline.reads_pids() && (pipeline.shown.is_empty() || pipeline.pids_run.success) {
        report.good(SUBJECT, format!("from the pids controller below {root}"));
    } else {
        let what = format!("no pids controller of these containers below {root}");
        let remedy = "mount the machine's /sys/fs/cgroup and give --path.cgroupfs; in a container with --cgroupns=host";
        report.partial(SUBJECT, what, remedy);
    }
}

fn kernel_counts(pipeline: &Pipeline, report: &mut Report) {
    const SUBJECT: &str = "forks, execs, exits";
    let reason = &pipeline.reason;
    match (&pipeline.events, reason) {
        (Some(_), _) => report.good(SUBJECT, "counted by the kernel"),
        (None, Reason::Flag) => report.good(SUBJECT, "not counted, as the flags say"),
        // Its text has the remedy.
        (None, _) => report.partial(SUBJECT, format!("not counted by the kernel: {reason}"), ""),
    }
}

/// What needs other users' pid namespaces.
fn namespaces(pipeline: &mut Pipeline, report: &mut Report) {
    const SUBJECT: &str = "pid namespaces";
    if pipeline.events.is_some() || pipeline.files().pid_namespace(1).is_ok() {
        report.good(SUBJECT, "of all processes");
    } else {
        report.partial(
            SUBJECT,
            "of our own processes alone, so pstree_host_namespace_intruders has no samples",
            "nothing, if you can do without; else let the kernel count, or grant CAP_SYS_PTRACE",
        );
    }
}

fn rights(has_counts: bool, report: &mut Report) {
    match geteuid().is_root() {
        // Container engines give capabilities to root alone.
        true if has_counts => report.good("rights", "root, and the kernel counts"),
        true => report.partial("rights", "root, which is not needed", "run it as a user of its own"),
        false => report.good("rights", "not root"),
    }
}

fn web(config: &Config, report: &mut Report) {
    let Some(path) = &config.web.config_file else { return };
    match Security::start(path, config.web.timeouts.reload_interval) {
        Ok(_) => report.good("web configuration", path.display().to_string()),
        // It names the file, the line and what is wrong; the exporter would not start.
        Err(error) => report.bad("web configuration", error, ""),
    }
}
