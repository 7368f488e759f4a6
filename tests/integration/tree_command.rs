//! `tree` and `roots` of the real binary on fixtures made of files: compares the output of each option, byte for byte.
//!
//! After an intentional change: `UPDATE_GOLDEN=1 cargo test --test integration tree_command`, then review the
//! difference.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::BINARY;
use crate::support::fixture::{Fixture, Process};
use serde_json::Value;

const WEB: &str = "0::/lxc.payload.web\n";
const DATABASE: &str = "0::/lxc.payload.database/postgresql.service\n";
/// Two hours and five minutes after the boot, in clock ticks.
const NOW: u64 = 750_000;

/// A web server with a leaked shell that does not reap its children, a database, and processes of the host.
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("proc/uptime", format!("{}.00 1000.00\n", NOW / 100));
    let host = |pid, parent, comm, start| Process { pid, parent, comm, start, ..Process::default() };
    fixture.process(&host(1, 0, b"systemd", 100));
    fixture.process(&Process { flags: 0x0020_8040, ..host(2, 0, b"kthreadd", 0) });
    fixture.process(&Process { threads: 11, ..host(50, 1, b"containerd-shim", 200) });
    fixture.process(&host(60, 1, b"sshd", 150));

    let web = |pid, parent, comm, start, inner_pids| Process {
        pid,
        parent,
        comm,
        start,
        inner_pids,
        cgroup: WEB,
        ..Process::default()
    };
    let arguments = b"nginx: master process nginx -g daemon off;\0";
    fixture.process(&Process { arguments, ..web(100, 50, &b"nginx"[..], 300, "100\t1") });
    for (pid, inner_pids) in [(101, "101\t7"), (102, "102\t8"), (103, "103\t9"), (104, "104\t10")] {
        fixture.process(&Process { user: 4711, ..web(pid, 100, b"nginx", 310, inner_pids) });
    }
    fixture.process(&Process {
        user: 4711,
        threads: 4,
        state: 'R',
        ..web(105, 100, b"nginx", 720_000, "105\t11")
    });
    fixture.process(&Process {
        arguments: b"/bin/sh\0-c\0make check\0",
        ..web(110, 50, b"sh", 700_000, "110\t20")
    });
    fixture.process(&Process { state: 'Z', ..web(111, 110, b"curl", 700_100, "111\t21") });
    fixture.process(&Process { state: 'Z', ..web(112, 110, b"curl", 700_200, "112\t22") });
    fixture.process(&Process {
        state: 'T',
        arguments: b"make\0check\0",
        ..web(113, 110, b"make", 700_300, "113\t23")
    });
    fixture.process(&Process { resident_pages: 30_000, ..web(114, 113, b"cc1", 749_900, "114\t24") });

    let database = |pid, parent, comm, start| Process {
        pid,
        parent,
        comm,
        start,
        cgroup: DATABASE,
        user: 999,
        ..Process::default()
    };
    fixture.process(&database(200, 50, b"postgres", 400));
    for pid in 201..204 {
        fixture.process(&database(pid, 200, b"postgres", 410));
    }
    fixture.process(&Process { state: 'D', resident_pages: 400_000, ..database(204, 200, b"postgres", 410) });
    for pid in [1, 100, 200] {
        fixture.passwd(pid, "root:x:0:0:root:/root:/bin/sh\n");
    }
    fixture
}

fn command(fixture: &Fixture, arguments: &[&str]) -> Command {
    // Fifty seconds to read command lines; no read blocks.
    command_with(fixture, "--debug.timeout-scale=100", arguments)
}

fn command_with(fixture: &Fixture, flag: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg(arguments[0]).args(fixture.flags()).args(["--no-docker", flag]).args(&arguments[1..]);
    command.env_remove("DOCKER_HOST").env_remove("NO_COLOR").env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command
}

fn run(fixture: &Fixture, arguments: &[&str]) -> Output {
    command(fixture, arguments).output().expect("the command runs")
}

/// The standard output of a command that must succeed without messages on standard error.
fn printed(fixture: &Fixture, arguments: &[&str]) -> String {
    let output = run(fixture, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

fn check(name: &str, fixture: &Fixture, arguments: &[&str]) {
    let got = printed(fixture, arguments);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tree").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, got).expect("the golden file can be written");
        return;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(got, wanted, "{name}");
}

#[test]
fn the_output_of_each_option() {
    let fixture = machine();
    check("all.txt", &fixture, &["tree"]);
    check("web.txt", &fixture, &["tree", "web"]);
    check("no-fold.txt", &fixture, &["tree", "web", "--no-fold"]);
    check("args.txt", &fixture, &["tree", "web", "--args"]);
    check("ascii.txt", &fixture, &["tree", "web", "--ascii"]);
    check("host-pids.txt", &fixture, &["tree", "web", "--host-pids"]);
    check("depth.txt", &fixture, &["tree", "web", "--depth=1"]);
    check("zombies.txt", &fixture, &["tree", "--zombies"]);
    check("sort-age.txt", &fixture, &["tree", "web", "--sort=age", "--no-fold"]);
    check("sort-children.txt", &fixture, &["tree", "web", "--sort=children"]);
    check("usage.txt", &fixture, &["tree", "web", "--usage"]);
    check("sort-memory.txt", &fixture, &["tree", "--sort=memory"]);
    check("color.txt", &fixture, &["tree", "web", "--color=always"]);
    check("host.txt", &fixture, &["tree", "web", "--host"]);
    check("pid.txt", &fixture, &["tree", "112"]);
    check("two.txt", &fixture, &["tree", "web", "database"]);
}

#[test]
fn json_has_every_process_in_the_list_of_its_parent() {
    let json: Value =
        serde_json::from_str(&printed(&machine(), &["tree", "web", "database", "--json"])).unwrap();
    let names: Vec<&Value> =
        json["trees"].as_array().unwrap().iter().map(|tree| &tree["container"]["name"]).collect();
    assert_eq!(names, ["web", "database"]);
    let roots = &json["trees"][0]["roots"];
    let pids = |list: &Value| -> Vec<u64> {
        list.as_array().unwrap().iter().map(|process| process["pid"].as_u64().unwrap()).collect()
    };
    assert_eq!(pids(roots), [1, 20]);
    assert_eq!(pids(&roots[0]["children"]), [7, 8, 9, 10, 11]);
    assert_eq!(pids(&roots[1]["children"]), [21, 22, 23]);
    let compiler = &roots[1]["children"][2]["children"][0];
    let expected = serde_json::json!({
        "pid": 24, "host_pid": 114, "command": "cc1", "state": "sleeping", "threads": 1,
        "cpu_seconds": 0.03, "resident_bytes": 122_880_000, "start_time": 1_700_007_499.0, "children": [],
    });
    assert_eq!(*compiler, expected);
    let with_host: Value = serde_json::from_str(&printed(&machine(), &["tree", "--host", "--json"])).unwrap();
    assert_eq!(with_host["trees"][2]["container"], Value::Null);
    assert_eq!(with_host["trees"][2]["roots"][0]["command"], "systemd");
}

#[test]
fn a_locale_without_utf_8_gets_ascii() {
    let fixture = machine();
    let of = |variable: &str, value: &str| {
        let mut command = command(&fixture, &["tree", "web"]);
        command.env_remove("LC_ALL").env_remove("LC_CTYPE").env_remove("LANG").env(variable, value);
        command.output().expect("the command runs").stdout
    };
    let ascii = printed(&fixture, &["tree", "web", "--ascii"]).into_bytes();
    let unicode = printed(&fixture, &["tree", "web"]).into_bytes();
    assert_ne!(ascii, unicode);
    assert!(ascii.is_ascii());
    for (variable, value) in [("LC_ALL", "C"), ("LANG", "POSIX"), ("LANG", "de_DE.ISO-8859-1"), ("LANG", "")]
    {
        assert_eq!(of(variable, value), ascii, "{variable}={value}");
    }
    for (variable, value) in [("LANG", "en_US.UTF-8"), ("LC_CTYPE", "C.utf8")] {
        assert_eq!(of(variable, value), unicode, "{variable}={value}");
    }
}

#[test]
fn a_pipe_gets_color_only_with_the_flag() {
    let fixture = machine();
    assert!(!printed(&fixture, &["tree"]).contains('\x1b'));
    assert!(!printed(&fixture, &["tree", "--color=never"]).contains('\x1b'));
    let mut with_no_color = command(&fixture, &["tree", "--color=always"]);
    let output = with_no_color.env("NO_COLOR", "1").output().expect("the command runs");
    assert!(output.stdout.contains(&0x1b), "the flag says always");
}

#[test]
fn roots_are_pids_for_xargs() {
    let fixture = machine();
    assert_eq!(printed(&fixture, &["roots", "web"]), "100\n110\n");
    assert_eq!(printed(&fixture, &["roots", "web", "--inside"]), "1\n20\n");
    assert_eq!(printed(&fixture, &["roots", "database"]), "200\n");
    assert_eq!(printed(&fixture, &["roots", "113"]), "100\n110\n", "by a pid inside");
}

#[test]
fn an_unknown_name_is_reported_in_one_line_with_the_nearest_name() {
    let fixture = machine();
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = run(&fixture, arguments);
        let stderr = String::from_utf8(output.stderr).expect("messages are text");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(output.stdout.is_empty());
        for word in words {
            assert!(stderr.contains(word), "{arguments:?} gave {stderr:?}, which lacks {word:?}");
        }
        assert!(!stderr.trim_end().contains(|c: char| c.is_control()), "{stderr:?}");
    };
    refused(&["tree", "databse"], &["\"databse\"", "database"]);
    refused(&["tree", "web", "wbe"], &["\"wbe\"", "web"]);
    refused(&["roots", "zzz"], &["\"zzz\""]);
    refused(&["tree", "60"], &["60", "sshd", "no container", "--host"]);
    refused(&["roots", "60"], &["60", "sshd"]);
    refused(&["tree", "99999"], &["99999"]);
    refused(&["tree", ""], &["\"\""]);
    refused(&["tree", "\x1b[31m\nx"], &["no container matches"]);
    refused(&["tree", "--watch", "web"], &["terminal"]);
}

#[test]
fn a_reader_that_closes_the_pipe_is_no_failure() {
    let fixture = machine();
    for arguments in [&["tree"][..], &["roots", "web"], &["tree", "--json"], &["tree", "--help"]] {
        let mut child = command(&fixture, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command runs");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("wait works");
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn hostile_names_and_arguments_cannot_control_the_terminal() {
    let fixture = machine();
    let names: [&[u8]; 7] =
        [b") R 1 1", b"a\nb", b"\xff", b"", b"\"}\\", b"\x1b[31m\x9b", "\u{202e}x\u{85}\u{9b}".as_bytes()];
    for (pid, comm) in (300..).zip(names) {
        let arguments = b"x\0\x1b]0;title\x07\0two\nlines\0\xc2\x9b\0";
        fixture.process(&Process {
            pid,
            parent: 100,
            comm,
            start: 500,
            cgroup: WEB,
            arguments,
            ..Process::default()
        });
    }
    for arguments in
        [&["tree", "web", "--args"][..], &["tree", "web", "--json", "--args"], &["tree", "--ascii"]]
    {
        let text = printed(&fixture, arguments);
        let is_unsafe = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(is_unsafe), "{arguments:?}: {text:?}");
    }
    let rows = printed(&fixture, &["tree", "web", "--no-fold"]);
    let shown = [") R 1 1", "a\u{fffd}b", "\u{fffd}", "?", "\"}\\", "\u{fffd}[31m\u{fffd}"];
    for name in shown {
        let row = rows.lines().find(|line| line.ends_with(&format!("─{name}")));
        assert!(row.is_some(), "{name:?} in {rows}");
    }
    let json: Value = serde_json::from_str(&printed(&fixture, &["tree", "web", "--json"])).unwrap();
    let nginx = &json["trees"][0]["roots"][0]["children"];
    assert!(nginx.as_array().unwrap().iter().any(|child| child["command"] == "\"}\\"), "{nginx}");
}

#[test]
fn a_chain_of_5000_processes() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    for pid in 100..5100 {
        fixture.process(&Process { pid, parent: pid - 1, comm: b"deep", cgroup: WEB, ..Process::default() });
    }
    let text = printed(&fixture, &["tree", "web"]);
    assert!(text.lines().next().unwrap().contains("5000 processes, depth 5000"), "{:.200}", text);
    assert_eq!(text.lines().filter(|line| line.ends_with("─deep") || line.ends_with(" deep")).count(), 5000);
    assert!(text.contains("⋯5000"), "the last one says how deep it is");
    assert!(text.len() < 2_000_000, "{} bytes", text.len());
    let json = printed(&fixture, &["tree", "web", "--json"]);
    assert_eq!(deepest(&json), 2 + 5000, "each inside the list of its parent");
}

/// Maximum nesting of lists. Does not use a JSON parser, because parsers limit the depth.
fn deepest(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for c in json.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            '[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            ']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    assert_eq!((depth, in_string), (0, false));
    deepest
}

#[test]
fn zombies_that_look_alike_are_one_row() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    fixture.process(&Process { pid: 100, parent: 1, comm: b"careless", cgroup: WEB, ..Process::default() });
    for pid in 1000..11_000 {
        let dead = Process { pid, parent: 100, comm: b"dead", state: 'Z', cgroup: WEB, ..Process::default() };
        fixture.process(&dead);
    }
    let text = printed(&fixture, &["tree", "web"]);
    assert!(text.contains("10000*[dead]") && text.contains("10000 zombies"), "{text}");
    let all = printed(&fixture, &["tree", "web", "--no-fold"]);
    assert_eq!(all.lines().filter(|line| line.contains("zombie ") && line.ends_with("dead")).count(), 10_000);
}

#[test]
fn a_command_line_that_blocks_costs_its_arguments_only() {
    let fixture = machine();
    fixture.process(&Process { pid: 301, parent: 100, comm: b"stuck", cgroup: WEB, ..Process::default() });
    let fifo = fixture.path("proc/301/cmdline");
    let made = Command::new("mkfifo").arg(&fifo).status().expect("mkfifo is installed");
    assert!(made.success());
    // Two seconds to read all command lines.
    let mut command = command_with(&fixture, "--debug.timeout-scale=4", &["tree", "web", "--args"]);
    let text = String::from_utf8(command.output().expect("the command runs").stdout).expect("UTF-8");
    assert!(text.contains("stuck") && text.contains("sh -c make check"), "{text}");
}

#[test]
fn digits_are_a_pid_before_they_are_the_beginning_of_an_id() {
    let fixture = machine();
    // The id of a container begins with the digits of a pid.
    let cgroup = format!("0::/docker/6000{}\n", "ab".repeat(30));
    fixture.process(&Process { pid: 6000, parent: 1, comm: b"cron", start: 160, ..Process::default() });
    fixture.process(&Process {
        pid: 7000,
        parent: 50,
        comm: b"app",
        start: 500,
        cgroup: &cgroup,
        ..Process::default()
    });
    let output = run(&fixture, &["tree", "6000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&fixture, &["tree", "6000ab"]).contains("app"));
    let host = printed(&fixture, &["tree", "6000", "--host"]);
    assert!(host.lines().any(|line| line.starts_with('>') && line.ends_with("cron")), "{host}");
}

#[test]
fn processes_of_the_host_show_their_host_pids() {
    let fixture = machine();
    fixture.process(&Process {
        pid: 500,
        parent: 1,
        comm: b"bwrap",
        start: 160,
        inner_pids: "500\t2",
        ..Process::default()
    });
    let host = printed(&fixture, &["tree", "--host"]);
    assert!(
        host.lines().any(|line| line.trim_start().starts_with("500 ") && line.ends_with("bwrap")),
        "{host}"
    );
}

#[test]
fn the_zero_bytes_after_a_title_are_no_arguments() {
    let fixture = machine();
    let arguments = b"postgres: writer \0\0\0\0\0";
    let cgroup = DATABASE;
    fixture.process(&Process {
        pid: 210,
        parent: 200,
        comm: b"pg",
        start: 500,
        cgroup,
        arguments,
        ..Process::default()
    });
    let json: Value =
        serde_json::from_str(&printed(&fixture, &["tree", "database", "--json", "--args"])).unwrap();
    let writer = json["trees"][0]["roots"][0]["children"].as_array().unwrap().last().unwrap();
    assert_eq!(writer["arguments"], serde_json::json!(["postgres: writer "]));
    let long = [b"java\0".to_vec(), vec![b'x'; 5000]].concat();
    fixture.process(&Process {
        pid: 211,
        parent: 200,
        comm: b"java",
        start: 500,
        cgroup,
        arguments: &long,
        ..Process::default()
    });
    let text = printed(&fixture, &["tree", "database", "--args"]);
    let line = text.lines().find(|line| line.contains("java")).expect("a line");
    assert!(line.ends_with("xxx…") && line.len() < 4200, "{} bytes", line.len());
}

#[test]
fn inconsistent_parents_lose_no_process() {
    let fixture = Fixture::new();
    fixture.process(&Process::default());
    // A cycle, a process that is its own parent, and one whose parent does not exist.
    for (pid, parent) in [(10, 11), (11, 10), (12, 12), (13, 4000)] {
        fixture.process(&Process { pid, parent, comm: b"odd", cgroup: WEB, ..Process::default() });
    }
    let text = printed(&fixture, &["tree", "web", "--no-fold"]);
    assert_eq!(text.lines().filter(|line| line.ends_with("odd")).count(), 4, "{text}");
}
