//! The column USER of `tree`: each container and the host have their own names, and names of another system are never
//! shown.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::process::Command;

use rustix::fs::{FileType, Mode};

use crate::support::BINARY;
use crate::support::fixture::{Fixture, Process};
use crate::support::namespaces::unshared;

/// Ids that this machine has names for, and another.
const IDS: [u32; 3] = [0, 1, 1000];

/// A host with an init, and a container `web` whose init is process 10. Each has a process of each of [`IDS`].
fn machine() -> Fixture {
    let fixture = Fixture::new();
    fixture.write("proc/uptime", "7500.00 1000.00\n");
    fixture.process(&Process::default());
    let mut pid = 100;
    for (parent, cgroup) in [(1, "0::/system.slice/x.service\n"), (10, "0::/lxc.payload.web\n")] {
        if parent == 10 {
            fixture.process(&Process { pid: 10, parent: 1, cgroup, ..Process::default() });
        }
        for user in IDS {
            pid += 1;
            fixture.process(&Process { pid, parent, cgroup, user, start: 200, ..Process::default() });
        }
    }
    fixture
}

/// The users of the processes with [`IDS`] of the container, then those of the host.
fn users(fixture: &Fixture) -> [String; 2] {
    let mut command = Command::new(BINARY);
    command.arg("tree").args(fixture.flags()).args(["--no-docker", "--debug.timeout-scale=100"]);
    let output = command.args(["--host", "--host-pids", "--no-fold"]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    let user_of = |pid: usize| {
        let row = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let row = row.into_iter().find(|row| row.first() == Some(&&*pid.to_string()));
        row.unwrap_or_else(|| panic!("no {pid} in {text}"))[2].to_owned()
    };
    [104, 101].map(|first| [first, first + 1, first + 2].map(user_of).join(" "))
}

#[test]
fn containers_and_the_host_have_their_own_names() {
    let fixture = machine();
    fixture.passwd(1, "admin:x:0:0::/:\nsystem:x:1:1::/:\n");
    fixture.passwd(10, "root:x:0:0::/:\nshop:x:1000:1000::/:\n");
    assert_eq!(users(&fixture), ["root 1 shop", "admin system 1000"]);
}

#[test]
fn without_their_names_the_number_is_shown() {
    let numbers = "0 1 1000".to_owned();
    let fixture = machine();
    assert_eq!(users(&fixture), [numbers.clone(), numbers.clone()], "nothing is readable");
    // Neither the names of the host in the container, nor those of a process that entered it from another system.
    fixture.passwd(1, "admin:x:0:0::/:\n");
    let cgroup = "0::/lxc.payload.web\n";
    fixture.process(&Process { pid: 20, parent: 1, cgroup, start: 300, ..Process::default() });
    fixture.passwd(20, "entered:x:0:0::/:\n");
    assert_eq!(users(&fixture), [numbers.clone(), "admin 1 1000".into()]);
    // The user namespace is unknown, so ids may mean other users.
    fixture.write("proc/10/root/etc/passwd", "root:x:0:0::/:\n");
    assert_eq!(users(&fixture)[0], numbers);
}

#[test]
fn names_in_a_user_namespace_are_those_of_the_ids_inside() {
    let fixture = machine();
    fixture.user_namespace(10, 2).passwd(10, "root:x:0:0::/:\nshop:x:7:7::/:\nnobody:x:1000:\n");
    fixture.write("proc/10/uid_map", "         0       1000       1000\n         7          1          1\n");
    assert_eq!(users(&fixture)[0], "0 shop root");
}

#[test]
fn a_container_chooses_no_file_outside_and_no_special_file() {
    let names = "evil:x:0:0::/:\nevil:x:1:1::/:\nevil:x:1000:1000::/:\n";
    let fixture = machine();
    fixture.passwd(10, names);
    fixture.write("outside", names);
    let file = fixture.path("proc/10/root/etc/passwd");
    let replace = |make: &dyn Fn()| {
        fs::remove_file(&file).expect("it was there");
        make();
        users(&fixture)[0].clone()
    };
    assert_eq!(users(&fixture)[0], "evil evil evil", "a regular file");

    let link = |target: &str| symlink(target, &file).expect("a scratch link");
    fixture.write("proc/10/root/usr/names", names);
    for inside in ["/usr/names", "../usr/names", "../../../../../../usr/names"] {
        assert_eq!(replace(&|| link(inside)), "evil evil evil", "{inside}");
    }
    let outside = fixture.path("outside").display().to_string();
    for target in [&*outside, "../../../../outside", "/proc/self/root/etc/passwd", "passwd", "/dev/zero"] {
        assert_eq!(replace(&|| link(target)), "0 1 1000", "{target}");
    }
    fs::remove_file(&file).expect("it was there");
    rustix::fs::mknodat(rustix::fs::CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
    // A reader of the pipe would get names.
    let mut pipe = fs::OpenOptions::new().read(true).write(true).open(&file).expect("a pipe");
    pipe.write_all(names.as_bytes()).expect("it has space");
    assert_eq!(users(&fixture)[0], "0 1 1000", "a pipe");
}

#[test]
fn only_the_complete_lines_in_the_first_mebibyte_of_a_file_count() {
    let fixture = machine();
    let start = "root:x:0:0::/:\n";
    let last = "cut:x:1000";
    let fill = "#".repeat((1 << 20) - start.len() - 1 - "cut:x:1".len());
    fixture.passwd(10, &format!("{start}{fill}\n{last}:1000::/:\nlate:x:1:1::/:\n"));
    assert_eq!(users(&fixture)[0], "root 1 1000");
}

#[test]
fn inside_a_container_its_own_names_are_shown() {
    let files = Fixture::new();
    files.write("passwd", "other:x:0:0::/:\n");
    let script = format!(
        "mount -t proc proc /proc; mount --bind {} /etc/passwd; exec {BINARY} \"$@\"",
        files.path("passwd").display()
    );
    let mut command = unshared(&["--pid", "--fork"], &script);
    let output = command.args(["tree", "--no-docker"]).output().expect("util-linux is installed");
    let text = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.iter().any(|row| row.starts_with(&["1", "other"])), "{text}");
}
