//! `tree` and `roots` on real containers: equal to `ps`, `pstree` and the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::inside_containers::INSIDE;
use crate::support::{BINARY, wait_for};
use crate::testkit::binaries::static_binary;
use crate::testkit::engine::Engine;
use crate::testkit::oracle::{members, ps};

fn command(engine: &Engine, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).arg(engine.flag()).env("LC_ALL", "C.UTF-8").env_remove("DOCKER_HOST");
    command
}

fn printed(engine: &Engine, arguments: &[&str]) -> String {
    let output = command(engine, arguments).output().expect("the command runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

/// Parents by pid, both as the host numbers them. The parent of a root is 0.
fn parents(document: &Value) -> BTreeMap<u32, u32> {
    let mut parents = BTreeMap::new();
    let mut left = vec![(0, &document["roots"])];
    while let Some((parent, siblings)) = left.pop() {
        for process in siblings.as_array().expect("a list") {
            let pid = process["host_pid"].as_u64().expect("a pid") as u32;
            parents.insert(pid, parent);
            left.push((pid, &process["children"]));
        }
    }
    parents
}

/// Compares the trees with `ps`, and what is below the init with `pstree -p`.
fn assert_same(engine: &Engine, name: &str) {
    let members = members(engine, name);
    let rows = ps();
    let expected: BTreeMap<u32, u32> = members
        .iter()
        .map(|pid| (*pid, Some(rows[pid].parent).filter(|parent| members.contains(parent)).unwrap_or(0)))
        .collect();
    let all: Value = serde_json::from_str(&printed(engine, &["tree", "--json"])).unwrap();
    let named: Value = serde_json::from_str(&printed(engine, &["tree", name, "--json"])).unwrap();
    let of_all = all["trees"].as_array().unwrap().iter().find(|tree| tree["container"]["name"] == name);
    for document in [of_all.expect("it is one of all"), &named["trees"][0]] {
        assert_eq!(parents(document), expected, "{name}");
        assert_eq!(document["container"]["processes"], expected.len(), "{name}");
    }
    let init = engine.pid(name);
    let pstree =
        Command::new("pstree").args(["-lpT", &init.to_string()]).output().expect("pstree is installed");
    let pstree = String::from_utf8_lossy(&pstree.stdout).into_owned();
    let pstree: BTreeSet<u32> =
        pstree.split('(').filter_map(|it| it.split(')').next()?.parse().ok()).collect();
    let mut below = BTreeSet::from([init]);
    for _ in 0..expected.len() {
        below.extend(
            expected
                .iter()
                .filter(|(_, parent)| below.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(below, pstree, "{name}");
    // As text: one line for each process, with its pid inside the container.
    let text = printed(engine, &["tree", name, "--no-fold", "--host-pids"]);
    let shown: BTreeMap<u32, u32> = text
        .lines()
        .filter_map(|line| {
            let mut numbers = line.trim_start_matches('>').split_whitespace().map(str::parse);
            let inside = numbers.next()?.ok()?;
            Some((numbers.next()?.ok()?, inside))
        })
        .collect();
    let inner: BTreeMap<u32, u32> = members.iter().map(|pid| (*pid, innermost_pid(*pid))).collect();
    assert_eq!(shown, inner, "{name}: {text}");
}

fn innermost_pid(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:")).expect("the kernel reports it");
    line.split_whitespace().next_back().expect("a pid").parse().expect("a number")
}

#[test]
fn trees_match_ps_and_pstree() {
    let engine = Engine::shared();
    engine.run_workload("fan", &[], &["fan", "5"]);
    engine.run_workload("chain", &["--init"], &["chain", "12"]);
    engine.run_workload("dead", &[], &["zombies", "4"]);
    engine.run_workload("leader", &["--init"], &["zombie-leader", "3"]);
    engine.run_workload("host-pids", &["--pid=host"], &["fan", "2"]);
    engine.run("execs", &["--", "/bin/sleep", "1000"]);
    for _ in 0..3 {
        engine.docker(&["exec", "-d", "execs", "/bin/sh", "-c", "/bin/sleep 1000; true"]);
    }
    wait_for("the shells' children", || (members(&engine, "execs").len() == 7).then_some(()));
    for name in ["fan", "chain", "dead", "leader", "host-pids", "execs"] {
        assert_same(&engine, name);
    }
}

#[test]
fn a_container_is_found_by_name_id_service_or_pid() {
    let engine = Engine::shared();
    let service = "--label=com.docker.compose.service=backend";
    let id = engine.run_workload("store-backend-1", &[service], &["zombies", "2"]);
    engine.run_workload("store-backend-2", &[service], &["fan", "2"]);
    let names = |arguments: &[&str]| -> Vec<String> {
        let text = printed(&engine, &[&["tree"], arguments].concat());
        text.lines().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect()
    };
    let zombie =
        ps().into_values().find(|row| row.state == 'Z' && row.parent == engine.pid("store-backend-1"));
    let zombie = zombie.expect("a zombie").pid.to_string();
    assert_eq!(names(&["store-backend-2"]), ["store-backend-2"]);
    assert_eq!(names(&[&id[..7]]), ["store-backend-1"]);
    assert_eq!(names(&["backend"]), ["store-backend-1", "store-backend-2"]);
    assert_eq!(names(&[&zombie]), ["store-backend-1"], "the container of a zombie");
    let marked = printed(&engine, &["tree", &zombie, "--host-pids"]);
    let marked = marked.lines().find(|line| line.starts_with('>')).expect("a mark");
    assert!(marked.contains(&zombie) && marked.contains("zombie"), "{marked}");
    // Without Docker, the id and a pid still find it.
    let mut without = Command::new(BINARY);
    without.args(["tree", "--no-docker", "--json", &zombie, &id[..20]]);
    let without: Value = serde_json::from_slice(&without.output().expect("it runs").stdout).unwrap();
    assert_eq!(without["trees"].as_array().map(Vec::len), Some(1));
    assert_eq!(without["trees"][0]["container"]["name"], &id[..12]);

    let refused = command(&engine, &["tree", "backent"]).output().expect("it runs");
    let line = String::from_utf8(refused.stderr).expect("text");
    assert_eq!((refused.status.code(), line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains("backend"), "{line}");
}

#[test]
fn the_output_of_roots_works_with_xargs() {
    let engine = Engine::shared();
    engine.run("web", &["--", "/bin/sleep", "1000"]);
    engine.docker(&["exec", "-d", "web", "/bin/sh", "-c", "/bin/sleep 1001; true"]);
    wait_for("the shell's child", || (members(&engine, "web").len() == 3).then_some(()));
    let members = members(&engine, "web");
    let rows = ps();
    let expected: Vec<u32> =
        members.iter().copied().filter(|pid| !members.contains(&rows[pid].parent)).collect();
    let numbers = |text: &str| text.lines().map(|line| line.parse().expect("a pid")).collect::<Vec<u32>>();
    assert_eq!(numbers(&printed(&engine, &["roots", "web"])), expected);
    let inside: Vec<u32> = expected.iter().map(|pid| innermost_pid(*pid)).collect();
    assert_eq!(numbers(&printed(&engine, &["roots", "web", "--inside"])), inside);
    let mut roots = command(&engine, &["roots", "web"]).stdout(Stdio::piped()).spawn().expect("it runs");
    let trees = Command::new("xargs")
        .args(["-n1", "pstree", "-a"])
        .stdin(roots.stdout.take().expect("a pipe"))
        .output()
        .expect("xargs is installed");
    assert!(roots.wait().expect("it ends").success());
    let trees = String::from_utf8_lossy(&trees.stdout).into_owned();
    assert!(trees.contains("sleep 1000") && trees.contains("sleep 1001"), "{trees}");
}

#[test]
fn tree_and_roots_work_inside_an_image_that_contains_one_program_only() {
    let engine = Engine::shared();
    engine.run_bare("bare", &["fan", "3"]);
    engine.docker(&["cp", &static_binary(), &format!("bare:{INSIDE}")]);
    let inside = |arguments: &[&str]| engine.docker(&[&["exec", "bare", INSIDE][..], arguments].concat());
    // Mounted into a container, it works the same.
    engine.run_workload("mounted", &[&format!("--volume={}:{INSIDE}:ro", static_binary())], &["fan", "3"]);
    let mounted = engine.docker(&["exec", "mounted", INSIDE, "tree"]);
    assert!(mounted.contains("5 processes") && mounted.contains("3*[workload]"), "{mounted}");
    let text = inside(&["tree", "--no-fold", "--args"]);
    assert!(text.contains("5 processes") && text.contains("1 init 1 exec"), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.contains("-workload") && line.ends_with("fan 3")).count(),
        3,
        "{text}"
    );
    assert!(
        text.lines().any(|line| line.contains("exec") && line.contains("tree --no-fold --args")),
        "{text}"
    );
    assert!(text.is_ascii(), "without a locale, the output is ASCII");
    assert_eq!(inside(&["roots", "1"]), "1");
    let document: Value = serde_json::from_str(&inside(&["tree", "--json"])).unwrap();
    let pids: Vec<u64> = document["trees"][0]["roots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|root| root["pid"].as_u64().unwrap())
        .collect();
    assert_eq!(pids[0], 1);
    assert_eq!(document["trees"][0]["roots"][0]["children"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_tree_of_one_container_reads_no_details_of_other_processes() {
    let engine = Engine::shared();
    engine.run_workload("web", &[], &["fan", "3"]);
    engine.run_workload("other", &[], &["zombies", "20"]);
    let members = members(&engine, "web");
    let trace = std::env::temp_dir().join(format!("pstree-trace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-e", "trace=openat", "-o"])
        .arg(&trace)
        .arg(BINARY)
        .args(["tree", "web", &engine.flag()])
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("strace is installed").success());
    let text = fs::read_to_string(&trace).expect("a trace");
    let _ = fs::remove_file(&trace);
    let mut opened: BTreeMap<(u32, &str), u32> = BTreeMap::new();
    for path in text.lines().filter(|line| !line.contains("ENOENT")).filter_map(|line| line.split('"').nth(1))
    {
        let path = path.strip_prefix("/proc/").unwrap_or(path);
        if let Some((Ok(pid), file)) = path.split_once('/').map(|(pid, file)| (pid.parse(), file)) {
            *opened.entry((pid, file)).or_default() += 1;
        }
    }
    let of = |file: &str| -> BTreeSet<u32> {
        opened.keys().filter(|(_, name)| *name == file).map(|(pid, _)| *pid).collect()
    };
    assert!(of("stat").len() > 30 && members.is_subset(&of("stat")));
    // The names of users are read from the root directory of the init, after a check that it is the same process.
    let init = engine.pid("web");
    let is_allowed = |pid: u32, times: u32| times == 1 || (pid == init && times == 2);
    assert!(
        opened.iter().all(|(&(pid, file), &times)| file != "stat" || is_allowed(pid, times)),
        "{opened:?}"
    );
    let rows = ps();
    for file in ["cgroup", "status"] {
        assert!(members.is_subset(&of(file)), "{file}");
        let all = of(file);
        // No cgroup lists zombies, so theirs are read.
        let living = all.difference(&members).filter(|pid| rows.get(pid).is_some_and(|row| row.state != 'Z'));
        assert_eq!(living.collect::<Vec<_>>(), [&0; 0], "{file} is read of members only");
    }
    assert!(of("cmdline").is_empty());
}

#[test]
fn hostile_process_names_are_printable_in_a_tree() {
    let engine = Engine::shared();
    let names: [&[u8]; 5] = [b") R 1 1", b"a\nb", b"\xff", b"\x1b[31m\x9b", "\u{202e}x".as_bytes()];
    for (number, name) in names.iter().enumerate() {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        engine.run_workload(&format!("hostile-{number}"), &["--init"], &["name", &hex]);
    }
    let text = printed(&engine, &["tree", "--args"]);
    let is_unsafe = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!text.contains(is_unsafe), "{text:?}");
    for (number, shown) in
        [") R 1 1", "a\u{fffd}b", "\u{fffd}", "\u{fffd}[31m\u{fffd}", "\u{fffd}x"].iter().enumerate()
    {
        let tree = printed(&engine, &["tree", &format!("hostile-{number}")]);
        assert!(tree.lines().last().is_some_and(|line| line.ends_with(&format!("└─{shown}"))), "{tree}");
    }
}

#[test]
fn a_tree_is_printed_without_names_when_docker_hangs() {
    let engine = Engine::start(&[]);
    let id = engine.run_workload("web", &[], &["fan", "2"]);
    engine.signal(Signal::STOP);
    let output = command(&engine, &["tree", &id[..12], "--color=never"]).output().expect("it runs");
    engine.signal(Signal::CONT);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.lines().count() == 1 && stderr.contains("Docker"), "{stderr}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&format!("{}: 3 processes", &id[..12])));
}

#[test]
fn the_busiest_commands_are_shown_beside_the_tree() {
    let engine = Engine::shared();
    // For each `date`, the shell forks once and also runs a failing `false`.
    let storm = "while :; do /bin/date; /bin/false; done >/dev/null";
    engine.run("storm", &["--", "/bin/sh", "-c", storm]);
    engine.run_workload("calm", &[], &["fan", "2"]);
    let text = printed(&engine, &["tree", "storm", "--busy=1", "--no-fold"]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("storm: ") && lines[0].contains(" forks/s"), "{text}");
    assert_eq!(lines[1].split_whitespace().last(), Some("COMMAND"), "{text}");
    let end = lines.iter().position(|line| line.is_empty()).expect("an empty line");
    let rows: Vec<&str> = lines[2..end].iter().map(|line| line.split_whitespace().last().unwrap()).collect();
    let row = |command: &str| {
        let position = rows.iter().position(|&row| row == command).unwrap_or_else(|| panic!("{text}"));
        // A column without a number is blank, so the cell ends where its title ends.
        let cell = |title: &str| {
            let line = lines[2 + position];
            let end = lines[1].find(title).expect("a column") + title.len();
            line[..end].rsplit(' ').next().and_then(|cell| cell.parse::<f64>().ok()).unwrap_or_default()
        };
        ["FORKS/s", "EXECS/s", "FAILED/s", "KILLED/s"].map(cell)
    };
    let [sh, date, failing] = ["sh", "date", "false"].map(row);
    assert!(sh[0] > 0.0 && sh[1] == 0.0, "{text}");
    assert!(date[0] == 0.0 && date[1] > 0.0 && date[2] == 0.0, "{text}");
    assert!(failing[1] > 0.0 && failing[2] > 0.0 && failing[3] == 0.0, "{text}");
    assert!(lines[end + 1].ends_with("COMMAND") && lines[end + 2].ends_with("sh"), "{text}");

    let calm = printed(&engine, &["tree", "calm", "--busy=0.3"]);
    let note = calm.lines().nth(1).expect("a line");
    assert!(note.starts_with("no command forked, executed or failed in 0."), "{calm}");
    // Without kernel counters, the tree is printed, and the reason.
    let output = command(&engine, &["tree", "storm", "--busy=0.2", "--collection.source=proc"]).output();
    let output = output.expect("it runs");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && stdout.contains("COMMAND") && !stdout.contains("EXECS/s"), "{stdout}");
    assert!(stderr.contains("no rates by command") && stderr.lines().count() == 1, "{stderr}");
}
