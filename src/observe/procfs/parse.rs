//! Bytes of procfs files to values. No I/O, and no panic for any input: a process chooses its own name, and a file can
//! change while it is read.

use crate::model::process::{Comm, Membership, NsPids, ProcessKey, ProcessRecord, ProcessState};
use crate::model::usage::Usage;

/// `PF_KTHREAD` (include/linux/sched.h), in the flags of `proc_pid_stat(5)`, field 9.
pub(crate) const KERNEL_THREAD_FLAG: u64 = 0x0020_0000;

/// Parses `/proc/PID/stat` (`proc_pid_stat(5)`): `pid (comm) state ppid … utime stime … num_threads …
/// starttime vsize rss …`.
///
/// `pid` is the number of the directory. `comm` is raw and may contain any bytes, including parentheses, spaces and
/// newlines, so the fields begin after the *last* closing parenthesis. `None` if a required field is missing, not a
/// number, or out of range.
#[must_use]
pub fn parse_stat(pid: u32, bytes: &[u8]) -> Option<ProcessRecord> {
    let open = bytes.iter().position(|&b| b == b'(')?;
    let close = bytes.iter().rposition(|&b| b == b')').filter(|&close| close > open)?;
    let comm = Comm::new(&bytes[open + 1..close]);

    let mut fields = bytes[close + 1..].trim_ascii_start().split(|&b| b == b' ' || b == b'\n');
    let &[letter] = fields.next()? else { return None };
    let state = ProcessState::from_letter(letter)?;
    let parent_pid = u32::try_from(parse_number(fields.next()?)?).ok()?;
    // After ppid (field 4) come pgrp and session, then tty_nr (7), which is 0 without a controlling terminal.
    let has_terminal = fields.nth(2)? != b"0";
    // tpgid (8), then flags (9).
    let flags = parse_number(fields.nth(1)?)?;
    // minflt (10) … cmajflt (13), then utime (14) and stime (15).
    let user_ticks = parse_number(fields.nth(4)?)?;
    let cpu_ticks = user_ticks.saturating_add(parse_number(fields.next()?)?);
    // cutime (16) … nice (19), then num_threads (20).
    let num_threads = u32::try_from(parse_number(fields.nth(4)?)?).unwrap_or(u32::MAX);
    // itrealvalue (21), then starttime (22).
    let start_time = parse_number(fields.nth(1)?)?;
    // vsize (23), then rss (24).
    let resident_pages = parse_number(fields.nth(1)?)?;
    // Another field must follow, otherwise rss may be truncated.
    fields.next()?;

    // The kernel counts a zombie leader in num_threads until it is reaped.
    let is_zombie = state == ProcessState::Zombie;
    let leader_exited = is_zombie && num_threads > 1;
    Some(ProcessRecord {
        key: ProcessKey { start_time, pid },
        parent_pid,
        threads: if is_zombie && !leader_exited { 0 } else { num_threads },
        state: if leader_exited { ProcessState::Sleeping } else { state },
        kernel_thread: flags & KERNEL_THREAD_FLAG != 0,
        comm,
        membership: Membership::HOST,
        leader_exited,
        has_terminal,
        ns_pid: 0,
        usage: Usage { cpu_ticks, resident_pages },
    })
}

/// Parses only the state of `/proc/PID/task/TID/stat`.
#[must_use]
pub fn parse_state(bytes: &[u8]) -> Option<ProcessState> {
    let close = bytes.iter().rposition(|&b| b == b')')?;
    ProcessState::from_letter(*bytes.get(close + 2)?)
}

/// Parses `NSpid:` in `/proc/PID/status` (`proc_pid_status(5)`): the pids of a process from the namespace of the procfs
/// down to its own. The kernel escapes newlines in `Name:`, so a process cannot forge the line.
#[must_use]
pub fn parse_ns_pids(status: &[u8]) -> Option<NsPids> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"NSpid:"))?;
    let mut innermost = None;
    let mut below = None;
    let mut count = 0;
    for field in line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()) {
        let pid = parse_number(field)?.try_into().ok()?;
        innermost = Some(pid);
        if count == 1 {
            below = Some(pid);
        }
        count += 1;
    }
    Some(NsPids { pid: innermost?, level: count - 1, below })
}

/// Parses the target of a namespace link, such as `pid:[4026531836]` (`namespaces(7)`), to its inode number.
#[must_use]
pub fn parse_namespace_link(target: &[u8]) -> Option<u64> {
    let number = target.strip_suffix(b"]")?.split(|&byte| byte == b'[').nth(1)?;
    parse_number(number)
}

/// Parses decimal digits. `None` if there are none, if there are other characters, or if 64 bits are exceeded.
#[must_use]
pub fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// Parses the first number of `/proc/uptime` (`proc_uptime(5)`). Returns hundredths of a second.
#[must_use]
pub fn parse_uptime(file: &[u8]) -> Option<u64> {
    let seconds = file.split(|&b| b == b' ').next()?;
    let mut parts = seconds.split(|&b| b == b'.');
    let (whole, hundredths) = (parse_number(parts.next()?)?, parse_number(parts.next()?)?);
    whole.checked_mul(100)?.checked_add(hundredths.min(99))
}

/// Parses the effective user id: the second number of `Uid:` in `/proc/PID/status` (`proc_pid_status(5)`).
#[must_use]
pub fn parse_effective_user(status: &[u8]) -> Option<u32> {
    let line = status.split(|&b| b == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let second = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(1)?;
    parse_number(second)?.try_into().ok()
}

/// Finds the value of a key in a flat keyed file, with lines of `key value` (cgroup-v2.rst, "Format"; `proc_stat(5)`).
#[must_use]
pub fn parse_keyed(file: &[u8], key: &[u8]) -> Option<u64> {
    file.split(|&b| b == b'\n').find_map(|line| parse_number(line.strip_prefix(key)?.strip_prefix(b" ")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: &str = "0 -1 4194304 100 0 0 0 1 2 0 0 20 0 3 0 12345 1000 10 18446744073709551615 0";

    fn stat_of(comm: &[u8], head: &str) -> Vec<u8> {
        [b"42 (", comm, b") ", head.as_bytes(), b" 7 7 ", TAIL.as_bytes(), b"\n"].concat()
    }

    #[test]
    fn stat_fields() {
        let stat = parse_stat(42, &stat_of(b"nginx", "S 7")).unwrap();
        assert_eq!(stat.key, ProcessKey { start_time: 12345, pid: 42 });
        assert_eq!(stat.parent_pid, 7);
        assert_eq!(stat.threads, 3);
        assert_eq!(stat.state, ProcessState::Sleeping);
        assert_eq!(stat.comm.as_bytes(), b"nginx");
        assert!(!stat.kernel_thread && !stat.leader_exited);
        // utime 1, stime 2 and rss 10.
        assert_eq!(stat.usage, Usage { cpu_ticks: 3, resident_pages: 10 });
    }

    #[test]
    fn a_hostile_comm_does_not_change_the_parent() {
        for comm in [&b") R 1 1"[..], b"a\nb", b"\xff\xfe", b"", b"\"}\\", b"\x1b[2J", b"((((", b"))))"] {
            let stat = parse_stat(42, &stat_of(comm, "S 7")).unwrap();
            assert_eq!(stat.parent_pid, 7, "{comm:?}");
            assert_eq!(stat.comm.as_bytes(), comm);
        }
    }

    #[test]
    fn garbage_and_truncated_stat_are_rejected() {
        for garbage in ["", "1 (a)", "(a) S 1", "1 )a( S 1", "1 (a) ", "1 (a) S", "1 (a) ? 1 1", "garbage"] {
            assert_eq!(parse_stat(1, garbage.as_bytes()), None, "{garbage:?}");
        }
        let whole = stat_of(b"nginx", "S 7");
        let after_rss = whole.len() - " 18446744073709551615 0\n".len();
        for end in 0..=after_rss {
            assert_eq!(parse_stat(42, &whole[..end]), None, "truncated to {end} bytes");
        }
    }

    #[test]
    fn numbers_at_the_integer_limits() {
        let with = |ppid: &str, threads: &str, start: &str| {
            let line = format!("1 (a) S {ppid} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 {start} 0 0 0");
            parse_stat(1, line.as_bytes())
        };
        let most = with("4294967295", "18446744073709551615", "18446744073709551615").unwrap();
        assert_eq!(most.parent_pid, u32::MAX);
        assert_eq!(most.threads, u32::MAX);
        assert_eq!(most.key.start_time, u64::MAX);
        assert_eq!(with("4294967296", "1", "1"), None);
        assert_eq!(with("1", "1", "18446744073709551616"), None);
        assert_eq!(with("-1", "1", "1"), None);
    }

    #[test]
    fn a_zombie_leader_with_live_threads_is_not_a_zombie() {
        let lone = parse_stat(1, b"1 (a) Z 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0").unwrap();
        assert_eq!((lone.state, lone.threads), (ProcessState::Zombie, 0));
        let leader = parse_stat(1, b"1 (a) Z 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 2 0 5 0 0 0").unwrap();
        assert_eq!((leader.state, leader.threads), (ProcessState::Sleeping, 2));
        assert!(leader.leader_exited);
    }

    #[test]
    fn a_controlling_terminal_has_a_device_number() {
        // tty_nr is a signed number; 34816 is the first pseudo terminal.
        for (tty, has_terminal) in [("0", false), ("34816", true), ("-1", true)] {
            let line = format!("1 (a) S 0 1 1 {tty} -1 0 0 0 0 0 0 0 0 0 20 0 1 0 5 0 0 0");
            assert_eq!(parse_stat(1, line.as_bytes()).unwrap().has_terminal, has_terminal, "{tty}");
        }
    }

    #[test]
    fn the_pid_in_its_own_namespace_is_the_last_of_nspid() {
        assert_eq!(
            parse_ns_pids(b"Name:\tsh\nNSpid:\t4711\t12\t1\nThreads:\t1\n"),
            Some(NsPids { pid: 1, level: 2, below: Some(12) })
        );
        assert_eq!(parse_ns_pids(b"NSpid:\t4711\n"), Some(NsPids { pid: 4711, level: 0, below: None }));
        assert_eq!(parse_ns_pids(b"Name:\tNSpid: 1\n"), None);
        assert_eq!(parse_ns_pids(b"NSpid:\n"), None);
    }

    #[test]
    fn keyed_files() {
        assert_eq!(parse_keyed(b"max 7\n", b"max"), Some(7));
        assert_eq!(parse_keyed(b"cpu 1 2 3\nbtime 1700000000\n", b"btime"), Some(1_700_000_000));
        assert_eq!(parse_keyed(b"maximum 7\n", b"max"), None);
        assert_eq!(parse_keyed(b"", b"max"), None);
    }

    #[test]
    fn namespace_links() {
        assert_eq!(parse_namespace_link(b"pid:[4026531836]"), Some(4_026_531_836));
        assert_eq!(parse_namespace_link(b"cgroup:[4026531835]"), Some(4_026_531_835));
        assert_eq!(parse_namespace_link(b"pid:4026531836"), None);
        assert_eq!(parse_namespace_link(b"pid:[]"), None);
    }
}
