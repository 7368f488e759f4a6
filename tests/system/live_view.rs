//! The live view in a real pseudo-terminal: tmux sends the keys and reads the screen.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{BINARY, wait_for};
use crate::testkit::engine::Engine;
use crate::testkit::oracle::{members, ps};

/// A terminal with 100 columns, 20 lines and a shell, on its own tmux server.
pub(crate) struct Terminal {
    socket: String,
}

impl Terminal {
    pub(crate) fn open() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let terminal = Self { socket: format!("pstree-live-{}-{number}", std::process::id()) };
        let shell = "env -u NO_COLOR LC_ALL=C.UTF-8 PS1='ready> ' bash --norc --noprofile";
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "100", "-y", "20", "-s", "s", shell]);
        terminal.wait_for("a prompt", |screen| screen.contains("ready>"));
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.socket])
            .args(arguments)
            .env("LC_ALL", "C.UTF-8")
            .output()
            .expect("tmux is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    pub(crate) fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys", "-t", "s"], keys].concat());
    }

    pub(crate) fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "s"])
    }

    pub(crate) fn wait_for(&self, what: &str, is_there: impl Fn(&str) -> bool) -> String {
        wait_for(what, || Some(self.screen()).filter(|screen| is_there(screen)))
    }

    pub(crate) fn watch(&self, engine: &Engine, arguments: &str) {
        self.keys(&[&format!("{BINARY} tree {arguments} {}; echo status $?", engine.flag()), "Enter"]);
        self.wait_for("the live view", |screen| screen.contains("q quits"));
        assert_eq!(self.state(), "1 0", "the alternate screen, without a cursor");
    }

    /// Whether the alternate screen is on, and whether the cursor is visible.
    fn state(&self) -> String {
        self.tmux(&["display-message", "-p", "-t", "s", "#{alternate_on} #{cursor_flag}"]).trim().to_owned()
    }

    /// The view has ended, and the terminal is as before.
    pub(crate) fn assert_restored(&self, status: &str) {
        self.wait_for("the shell again", |screen| screen.contains(&format!("status {status}")));
        assert_eq!(self.state(), "0 1", "the normal screen, with a cursor");
        self.keys(&["stty -a", "Enter"]);
        let settings = self.wait_for("the settings", |screen| screen.contains("icanon"));
        assert!(!settings.contains("-icanon") && !settings.contains("-echo "), "{settings}");
        self.keys(&["clear", "Enter"]);
    }

    /// The live view's own pid.
    fn pid(&self) -> Pid {
        let shell = self.tmux(&["display-message", "-p", "-t", "s", "#{pane_pid}"]);
        let shell: u32 = shell.trim().parse().expect("a pid");
        let row = ps().into_values().find(|row| row.parent == shell).expect("it runs");
        Pid::from_raw(row.pid as i32).expect("a pid")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.socket, "kill-server"]).output();
    }
}

#[test]
fn processes_that_start_and_end_are_marked() {
    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "3"]);
    let terminal = Terminal::open();
    terminal.watch(&engine, "--watch 1.5 web");
    let screen = terminal.screen();
    let head = screen.lines().next().unwrap_or_default();
    assert!(head.starts_with("web: 4 processes, depth 2, roots: 1 init, 0 zombies"), "{screen}");
    assert!(screen.contains("─3*[workload]") && screen.contains("every 1.5s"), "{screen}");
    engine.docker(&["exec", "-d", "web", "/bin/sleep", "4711"]);
    // At first, a process started by exec has the runtime's name.
    terminal.wait_for("the new process", |screen| {
        screen.contains("roots: 1 init 1 exec")
            && screen.lines().any(|line| line.starts_with('+') && line.contains(" exec "))
    });
    terminal.wait_for("its name", |screen| screen.contains("exec sleep"));
    terminal.wait_for("a frame without a new process", |screen| {
        screen.lines().all(|line| !line.starts_with('+'))
    });
    let sleep = ps().into_values().filter(|row| row.comm == "sleep");
    let sleep = sleep.map(|row| row.pid).find(|pid| members(&engine, "web").contains(pid));
    kill_process(Pid::from_raw(sleep.expect("it sleeps") as i32).expect("a pid"), Signal::KILL)
        .expect("ours");
    let screen =
        terminal.wait_for("the ended process", |screen| screen.lines().any(|line| line.starts_with('-')));
    assert!(screen.lines().any(|line| line.starts_with('-') && line.ends_with("sleep")), "{screen}");
    terminal.wait_for("it is no longer shown", |screen| !screen.contains("sleep"));
    terminal.keys(&["q"]);
    terminal.assert_restored("0");
}

#[test]
fn the_view_shows_a_fork_rate_and_follows_a_container_that_is_replaced() {
    let engine = Engine::shared();
    engine.run("web", &["--", "/bin/sh", "-c", "while true; do /bin/true; /bin/sleep 0.02; done"]);
    let terminal = Terminal::open();
    terminal.watch(&engine, "--watch=0.3 web");
    terminal.wait_for("forks a second", |screen| {
        let number =
            screen.split(" forks/s").next().and_then(|it| it.rsplit(['=', ' ']).next()?.parse::<f64>().ok());
        number.is_some_and(|number| number > 0.0)
    });
    engine.docker(&["rm", "-f", "web"]);
    terminal.wait_for("it waits", |screen| screen.contains("no container matches \"web\"; waiting"));
    engine.run_workload("web", &[], &["fan", "7"]);
    terminal.wait_for("the new one", |screen| screen.contains("web: 8 processes"));
    terminal.keys(&["C-c"]);
    terminal.assert_restored("0");
}

#[test]
fn the_view_scrolls_and_adapts_to_the_size_of_the_terminal() {
    let engine = Engine::shared();
    engine.run_workload("deep", &[], &["chain", "60"]);
    let terminal = Terminal::open();
    terminal.watch(&engine, "--watch 0.5 deep");
    let pids = |screen: &str| -> Vec<u32> {
        screen.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect()
    };
    let first = pids(&terminal.screen());
    assert_eq!(first.len(), 17, "20 lines without two headings and the column names");
    assert_eq!(first[0], 1);
    terminal.keys(&["End"]);
    terminal.wait_for("the end", |screen| screen.contains("to 61 of 61") && pids(screen).len() == 18);
    terminal.keys(&["Up"]);
    terminal.wait_for("one line up", |screen| screen.contains("to 60 of 61"));
    terminal.keys(&["g"]);
    terminal.wait_for("the top", |screen| screen.contains("lines 1 to 18"));
    terminal.keys(&["PageDown"]);
    terminal.wait_for("a page down", |screen| screen.contains("lines 18 to 35"));
    terminal.tmux(&["resize-window", "-t", "s", "-x", "40", "-y", "10"]);
    let small = terminal.wait_for("a small screen", |screen| screen.contains("lines 18 to 25"));
    assert_eq!(pids(&small).len(), 8, "nothing wraps: {small}");
    assert!(small.lines().next().is_some_and(|head| head.ends_with('…')), "{small}");
    terminal.tmux(&["resize-window", "-t", "s", "-x", "120", "-y", "70"]);
    terminal.wait_for("all of it", |screen| pids(screen).len() == 60);
    terminal.keys(&["Escape"]);
    terminal.assert_restored("0");
}

#[test]
fn every_way_to_quit_restores_the_terminal() {
    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "2"]);
    let terminal = Terminal::open();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        terminal.watch(&engine, "--watch 0.5 --host");
        kill_process(terminal.pid(), signal).expect("ours");
        terminal.assert_restored("0");
    }
    terminal.watch(&engine, "--watch 0.5");
    terminal.keys(&["C-z"]);
    terminal.wait_for("the shell", |screen| screen.contains("Stopped"));
    assert_eq!(terminal.state(), "0 1");
    terminal.keys(&["clear; fg; echo status $?", "Enter"]);
    terminal.wait_for("the view again", |screen| screen.contains("q quits"));
    terminal.keys(&["q"]);
    terminal.assert_restored("0");

    // A panic message is printed to the normal screen.
    let panicking = Path::new(BINARY).with_file_name("examples").join("panicking-screen");
    terminal.keys(&[&format!("{}; echo status $?", panicking.display()), "Enter"]);
    terminal.wait_for("its message", |screen| screen.contains("on purpose"));
    terminal.assert_restored("101");

    // If the terminal is closed, the view exits.
    terminal.watch(&engine, "--watch 0.5");
    let pid = terminal.pid();
    terminal.tmux(&["kill-session", "-t", "s"]);
    wait_for("the view ends", || {
        // Only the machine's init can reap it, which may take a while.
        let state = ps().get(&(pid.as_raw_nonzero().get() as u32)).map(|row| row.state);
        matches!(state, None | Some('Z')).then_some(())
    });
}

#[test]
fn a_key_shows_and_hides_cpu_and_memory() {
    let engine = Engine::shared();
    // One process that is busy all the time.
    engine.run("burn", &["--", "/bin/sh", "-c", "while :; do :; done"]);
    let terminal = Terminal::open();
    terminal.watch(&engine, "--watch 0.5 burn");
    assert!(!terminal.screen().contains("CPU%"));
    terminal.keys(&["u"]);
    let share = |screen: &str| {
        let row = screen.lines().find(|line| line.ends_with(" sh"))?;
        let mut cells = row.split_whitespace();
        cells.find_map(|cell| cell.parse::<f64>().ok().filter(|_| cell.contains('.')))
    };
    terminal.wait_for("the share of a core", |screen| {
        screen.contains("CPU%") && screen.contains(" RES ") && share(screen).is_some_and(|cpu| cpu > 1.0)
    });
    terminal.keys(&["u"]);
    terminal.wait_for("no columns", |screen| !screen.contains("CPU%"));
    terminal.keys(&["q"]);
    terminal.assert_restored("0");
}
