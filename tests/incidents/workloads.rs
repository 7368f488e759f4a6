//! Incidents that must be detected, and harmless workloads for which no alert may fire.
//!
//! What is fast by nature (forks, a build, connections) runs at its own speed. What takes minutes in reality (a leak, a
//! health check, cron) is faster by the factor, like the durations in the rules.

use crate::testkit::engine::{Engine, IMAGE};

/// An incident in its own container.
pub(crate) struct Incident {
    pub(crate) title: &'static str,
    pub(crate) container: &'static str,
    pub(crate) alert: &'static str,
    pub(crate) flags: &'static [&'static str],
    /// The script of the container, from the factor. It begins when the gate is opened.
    pub(crate) script: fn(u32) -> String,
    /// What is done from outside while the container runs; called repeatedly.
    pub(crate) from_outside: Option<fn(&Engine, &str)>,
    /// Whether it is certain to be detected only with kernel counters. On a busy machine, processes that live for
    /// milliseconds exit between the listing of `/proc` and the reading of their files, so the other exporter sees none.
    requires_counters: bool,
    /// Begins before the harmless workloads and is awaited last, because the alert takes minutes.
    pub(crate) takes_minutes: bool,
    /// Begins with its container, so this starts later.
    begins_with_container: bool,
}

/// What most incidents have in common.
const INCIDENT: Incident = Incident {
    title: "",
    container: "",
    alert: "",
    flags: &[],
    script: |_| String::new(),
    from_outside: None,
    requires_counters: false,
    takes_minutes: false,
    begins_with_container: false,
};

/// The cgroup above one of the containers, with its own pids limit.
pub(crate) const POD: &str = "pstree-incidents";
pub(crate) const POD_LIMIT: u32 = 300;

pub(crate) const INCIDENTS: [Incident; 14] = [
    Incident {
        title: "fork bomb without limit",
        container: "bomb",
        alert: "PstreeRunawayForks",
        script: |_| "exec /bin/loads bomb 4000".into(),
        ..INCIDENT
    },
    Incident {
        title: "fork bomb into a limit",
        container: "bomb-limited",
        alert: "PstreeForksRefused",
        flags: &["--pids-limit=300"],
        script: |_| "exec /bin/loads bomb 4000".into(),
        ..INCIDENT
    },
    Incident {
        title: "slow leak of processes, one per second",
        container: "leak",
        alert: "PstreeProcessGrowth",
        script: |factor| format!("exec /bin/loads leak {}", 1000 / factor),
        takes_minutes: true,
        ..INCIDENT
    },
    Incident {
        title: "slow leak of processes, one every 2 s",
        container: "slower-leak",
        alert: "PstreeProcessGrowth",
        script: |factor| format!("exec /bin/loads leak {}", 2000 / factor),
        takes_minutes: true,
        ..INCIDENT
    },
    Incident {
        title: "fork bomb into the limit of a pod",
        container: "bomb-in-pod",
        alert: "PstreeForksRefused",
        flags: &["--cgroup-parent=/pstree-incidents"],
        script: |_| "exec /bin/loads bomb 4000".into(),
        ..INCIDENT
    },
    Incident {
        title: "storm of processes that live 5 ms",
        container: "storm",
        alert: "PstreeRunawayForks",
        script: |_| "exec /bin/loads storm 5".into(),
        requires_counters: true,
        ..INCIDENT
    },
    Incident {
        title: "zombies from a health check every 5 s",
        container: "unhealthy",
        alert: "PstreeZombiesGrowing",
        // The check leaves its child to the container's init, which never reaps it.
        script: |_| "exec /bin/sleep 100000".into(),
        begins_with_container: true,
        takes_minutes: true,
        ..INCIDENT
    },
    Incident {
        title: "zombies from a parent that never waits, one every 5 s",
        container: "neglect",
        alert: "PstreeZombiesGrowing",
        script: |factor| format!("exec /bin/loads neglect {}", 5000 / factor),
        takes_minutes: true,
        ..INCIDENT
    },
    Incident {
        title: "shells left behind by exec, one every 3 s",
        container: "execs",
        alert: "PstreeExecLeak",
        script: |_| "exec /bin/sleep 100000".into(),
        from_outside: Some(|engine, name| {
            engine.docker(&["exec", "--detach", "--tty", name, "/bin/sh", "-c", "sleep 100000; true"]);
        }),
        ..INCIDENT
    },
    Incident {
        title: "recursion 200 levels deep",
        container: "recursion",
        alert: "PstreeTreeTooDeep",
        script: |_| "exec /bin/loads recurse 200 20".into(),
        ..INCIDENT
    },
    Incident {
        title: "thread explosion",
        container: "threads",
        alert: "PstreeThreadGrowth",
        script: |factor| format!("exec /bin/loads threads 3000 {}", 1000 / factor),
        ..INCIDENT
    },
    Incident {
        title: "leak of threads, five per second",
        container: "thread-leak",
        alert: "PstreeThreadGrowth",
        script: |factor| format!("exec /bin/loads threads 3000 {}", 20_000 / factor),
        takes_minutes: true,
        ..INCIDENT
    },
    Incident {
        title: "container that exits after 10 s and is restarted",
        container: "restarts",
        alert: "PstreeRestartLoop",
        flags: &["--restart=always"],
        script: |factor| format!("exec /bin/sleep {}", 10.0 / f64::from(factor)),
        begins_with_container: true,
        takes_minutes: true,
        ..INCIDENT
    },
    // Nobody but the kernel's counters sees how a process ends.
    Incident {
        title: "worker that is killed at the memory limit every 10 s",
        container: "out-of-memory",
        alert: "PstreeRespawnLoop",
        flags: &["--memory=32m"],
        script: |factor| {
            let pause = 10.0 / f64::from(factor);
            format!("while :; do busybox awk 'BEGIN {{ s = \"x\"; while (1) s = s s }}'; sleep {pause}; done")
        },
        requires_counters: true,
        takes_minutes: true,
        ..INCIDENT
    },
];

impl Incident {
    /// Whether the exporter with this source must detect it.
    pub(crate) fn is_certain_with(&self, source: &str) -> bool {
        source == "bpf" || !self.requires_counters
    }

    /// Starts the container, which waits.
    pub(crate) fn prepare(&self, engine: &Engine, factor: u32) {
        if !self.begins_with_container {
            engine.run_gated_with(self.flags, self.container, "", &(self.script)(factor));
        }
    }

    pub(crate) fn begin(&self, engine: &Engine, factor: u32) {
        if !self.begins_with_container {
            return engine.open_gate(self.container);
        }
        let script = (self.script)(factor);
        let command = ["--", "/bin/sh", "-c", &script];
        if self.container == "unhealthy" {
            let interval = format!("--health-interval={}ms", 5000 / factor);
            let check = "--health-cmd=sleep 0.1 & true";
            engine.run(self.container, &[&[check, &interval][..], &command].concat());
        } else {
            engine.run(self.container, &[self.flags, &command].concat());
        }
    }
}

/// A normal workload in one or more containers.
pub(crate) struct Harmless {
    pub(crate) title: &'static str,
    /// The prefix of its containers' names.
    pub(crate) prefix: &'static str,
    /// Starts the workload, with the factor.
    pub(crate) begin: fn(&Engine, u32),
    /// What is done from outside while it runs; called repeatedly, with the number of calls before.
    pub(crate) from_outside: Option<fn(&Engine, usize)>,
}

pub(crate) const BUILD: Harmless = Harmless {
    title: "parallel build: make -j8 of many short compilations",
    prefix: "build",
    begin: |engine, _| {
        let makefile =
            "all: $(patsubst %.c,%.o,$(wildcard *.c))\n%.o: %.c\n\t@/bin/sh -c 'gcc -O1 -c -o $@ $<'\n";
        let script = format!(
            "export PATH=/usr/bin:/bin; mkdir /tmp/b; cd /tmp/b; printf '{makefile}' >Makefile; \
             for i in $(seq 400); do echo \"int f$i(int x) {{ return x + $i; }}\" >f$i.c; done; \
             while :; do make -s -j8 || exit; echo built; rm *.o; done",
            makefile = makefile.replace('%', "%%").replace('\'', "'\\''"),
        );
        // The image has no compiler, so it uses the host's.
        let mounts = ["--volume=/usr:/usr:ro", "--volume=/lib:/lib:ro", "--volume=/lib64:/lib64:ro"];
        engine.run("build", &[&mounts[..], &["--", "/bin/sh", "-c", &script]].concat());
    },
    from_outside: None,
};

pub(crate) const HARMLESS: [Harmless; 7] = [
    Harmless {
        title: "worker pool of a web server, 5 to 40 workers and back",
        prefix: "pool",
        begin: |engine, factor| {
            let step = (1000 / factor).to_string();
            engine.run("pool", &["--", "/bin/loads", "pool", "5", "40", &step]);
        },
        from_outside: None,
    },
    Harmless {
        title: "database: 20 connections per second that live 0.3 s",
        prefix: "database",
        begin: |engine, _| {
            engine.run("database", &["--", "/bin/loads", "connections", "50", "300"]);
        },
        from_outside: None,
    },
    Harmless {
        title: "cron: a burst of 20 jobs every minute",
        prefix: "cron",
        begin: |engine, factor| {
            let minute = 60.0 / f64::from(factor);
            let script = format!(
                "while :; do for job in $(busybox seq 20); do (cat /bin/sh | busybox wc -c; sleep 1) & done; \
                 wait; sleep {minute}; done"
            );
            engine.run("cron", &["--", "/bin/sh", "-c", &script]);
        },
        from_outside: None,
    },
    Harmless {
        title: "ten containers starting at once",
        prefix: "start-",
        begin: |engine, _| start_ten(engine, "start"),
        from_outside: None,
    },
    Harmless {
        title: "deployment that replaces ten containers, twice",
        prefix: "deploy-",
        begin: |engine, _| start_ten(engine, "deploy"),
        from_outside: Some(|engine, round| {
            if round >= 2 {
                return;
            }
            let names: Vec<String> = (0..10).map(|i| format!("deploy-{i}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            engine.docker(&[&["rm", "--force"][..], &names].concat());
            start_ten(engine, "deploy");
        }),
    },
    Harmless {
        title: "paused container with 50 processes",
        prefix: "paused",
        begin: |engine, _| {
            engine.run_workload("paused", &[], &["fan", "50"]);
            engine.docker(&["pause", "paused"]);
        },
        from_outside: None,
    },
    Harmless {
        title: "shell session with pipelines",
        prefix: "session",
        begin: |engine, _| {
            engine.run("session", &["--", "/bin/sleep", "100000"]);
        },
        from_outside: Some(|engine, _| {
            let line = "busybox seq 20000 | busybox sort | busybox uniq | busybox tail -n 1";
            let script = format!("for i in 1 2 3 4 5; do {line}; {line} >/dev/null & sleep 0.5; done; wait");
            engine.docker(&["exec", "session", "/bin/sh", "-c", &script]);
        }),
    },
];

/// Ten services of a supervisor and four workers.
fn start_ten(engine: &Engine, prefix: &str) {
    std::thread::scope(|scope| {
        for i in 0..10 {
            scope.spawn(move || {
                let name = format!("{prefix}-{i}");
                let run =
                    ["run", "-d", "--network=none", "--name", &name, IMAGE, "/bin/workload", "fan", "4"];
                engine.docker(&run);
            });
        }
    });
}
