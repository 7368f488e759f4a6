//! `/proc/PID/stat`: processes choose their commands, and a read can be truncated at any byte.

use pstree_exporter::observe::procfs::parse::{parse_stat, parse_state};

const PID: u32 = 42;

pub fn check(data: &[u8]) {
    let parsed = parse_stat(PID, data);
    let state = parse_state(data);
    let naive = Naive::read(data);
    let Some(record) = parsed else {
        assert!(!naive.is_some_and(|it| it.is_as_printed()), "a line of the kernel is refused");
        return;
    };
    let naive = naive.expect("accepted without a command in parentheses");
    assert_eq!(record.key.pid, PID);
    assert_eq!(Some(record.parent_pid), naive.number(4), "the parent");
    assert_eq!(Some(record.key.start_time), naive.number(22), "the start time");
    let cpu = naive.number::<u64>(14).zip(naive.number(15)).map(|(user, system)| user.saturating_add(system));
    assert_eq!(Some(record.usage.cpu_ticks), cpu, "CPU time");
    assert_eq!(Some(record.usage.resident_pages), naive.number(24), "memory");
    assert_eq!(record.comm.as_bytes(), &naive.comm[..naive.comm.len().min(15)]);
    assert_eq!(record.kernel_thread, naive.number::<u64>(9).is_some_and(|flags| flags & 0x20_0000 != 0));
    if naive.is_as_printed() {
        let is_zombie = naive.fields[0] == "Z";
        assert_eq!(record.leader_exited, is_zombie && naive.number::<u64>(20) > Some(1));
        assert!(state.is_some_and(|state| record.leader_exited || state == record.state));
    }
}

/// The text after the last `)`, split at spaces.
struct Naive<'a> {
    comm: &'a [u8],
    /// The fields from field 3 of `proc_pid_stat(5)` on.
    fields: Vec<String>,
    has_space: bool,
}

impl<'a> Naive<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let end = data.iter().rposition(|&byte| byte == b')')?;
        let start = 1 + data[..end].iter().position(|&byte| byte == b'(')?;
        let behind = String::from_utf8_lossy(&data[end + 1..]).into_owned();
        let fields = behind.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']).split([' ', '\n']);
        Some(Self {
            comm: &data[start..end],
            fields: fields.map(str::to_owned).collect(),
            has_space: behind.strip_prefix(' ').is_some_and(|rest| rest.trim_ascii_start() == rest),
        })
    }

    fn number<T: std::str::FromStr>(&self, field: usize) -> Option<T> {
        self.fields.get(field - 3)?.parse().ok()
    }

    /// Whether a kernel can have printed the line: a known state letter, followed only by numbers.
    fn is_as_printed(&self) -> bool {
        let is_number = |field: &String| {
            let digits = field.strip_prefix('-').unwrap_or(field);
            (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_natural = |field: usize| self.fields.get(field - 3).is_some_and(|it| !it.starts_with('-'));
        self.has_space
            && ["R", "S", "D", "T", "t", "Z", "X", "I"].contains(&&*self.fields[0])
            && self.fields.len() > 40
            && self.fields[1..40].iter().all(is_number)
            && [4, 9, 14, 15, 20, 22, 24].into_iter().all(is_natural)
    }
}
