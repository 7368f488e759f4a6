// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The BPF programs of pstree-exporter: they count forks, execs and exits by cgroup and command, and list
 * all processes in one pass. `make bpf` compiles this file to pstree.bpf.o, which is committed.
 *
 * src/observe/bpf/counters.rs, command_counters.rs, oom_victims.rs and task_record.rs parse the structures,
 * so their layouts must match.
 */
#include "kernel.h"

#include <stdbool.h>

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* The license of this file, in a form that the kernel accepts (include/linux/license.h). */
char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */
#define SIGKILL 9
#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
#define EEXIST 17
#define MAX_ANCESTORS 8
#define HAS_TERMINAL 0x80000000

#define COMM_BYTES 16
/* Commands of one cgroup between two readings. */
#define MAX_NAMES 64
#define LIFETIME_BUCKETS 6
#define MAX_PATH 8

/* Set by user space before loading. */
const volatile bool count_commands = true;

/*
 * Events of one cgroup of the default hierarchy. User space reads them as 23 numbers of 64 bits. An event that
 * is counted by command is not counted in forks, execs, exits_failure, exits_signal and oom_kills, so user
 * space adds both.
 */
struct counts {
	__u64 forks;
	__u64 thread_starts;
	__u64 execs;
	__u64 exits_success;
	__u64 exits_failure;
	/* Without those that the OOM killer ended. */
	__u64 exits_signal;
	__u64 oom_kills;
	/* Exited processes by the upper limit of their lifetime, and the sum in nanoseconds. */
	__u64 lifetimes[LIFETIME_BUCKETS];
	__u64 lifetime_sum;
	/* 1 after the cgroup was removed: the counts are final. */
	__u64 removed;
	/* The ids of the ancestors, the parent first; 0 after the last. */
	__u64 ancestors[MAX_ANCESTORS];
};

/* Keyed by the cgroup's id, which is the inode number of its directory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct counts);
} cgroups SEC(".maps");

/*
 * Each reading of the commands begins a new generation. Entries of the old one do not change any more, so user
 * space reads and deletes them.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} generation SEC(".maps");

/* The empty name stands for all names above the limit. */
struct command_key {
	__u64 cgroup_id;
	__u64 generation;
	char comm[COMM_BYTES];
};

/* Events by command: forks by that of the parent, execs by the new one, exits by that of the process. */
struct command_counts {
	__u64 forks;
	__u64 execs;
	__u64 exits_failure;
	__u64 exits_signal;
	__u64 oom_kills;
	/* Of the empty name: other names that were inserted, or found no room. */
	__u64 names;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct command_key);
	__type(value, struct command_counts);
} commands SEC(".maps");

/* A process that the OOM killer ended, with the commands and cgroups of its ancestors, the parent first. */
struct oom_victim {
	__u64 cgroup_id;
	__u64 lifetime; /* nanoseconds */
	__u64 ancestor_cgroups[MAX_PATH];
	char comm[COMM_BYTES];
	char ancestors[MAX_PATH][COMM_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, struct oom_victim);
} oom_victims SEC(".maps");

/* Events that were not counted because `cgroups` (or `exited`) is full. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* Identifies a process. A pid alone does not, because pids are reused. */
struct process_key {
	__u64 start_boottime;
	__u64 tgid;
};

/*
 * Processes with several threads whose exit was counted. Threads that exit at the same time can all see
 * that no thread is live, so the first one to insert the process here counts it. This race lasts
 * microseconds, so entries are not evicted during it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_key);
	__type(value, __u8);
} exited SEC(".maps");

static __always_inline void count(__u64 *counter)
{
	__sync_fetch_and_add(counter, 1);
}

static __always_inline void count_lost(void)
{
	__u32 only = 0;
	__u64 *counter = bpf_map_lookup_elem(&lost, &only);

	if (counter)
		count(counter);
}

/* The counts of a cgroup, inserted if necessary. If the map is full, counts a lost event, returns NULL. */
static __always_inline struct counts *counts_of(struct cgroup *cgroup)
{
	__u64 id = cgroup->kn->id;
	struct counts *counts = bpf_map_lookup_elem(&cgroups, &id);
	struct counts fresh = {};
	int level;

	if (counts)
		return counts;
	for (level = 0; level < MAX_ANCESTORS; level++) {
		struct cgroup_subsys_state *above = cgroup->self.parent;

		if (!above)
			break;
		cgroup = above->cgroup;
		fresh.ancestors[level] = cgroup->kn->id;
	}
	/* Another CPU may have inserted it first. */
	bpf_map_update_elem(&cgroups, &id, &fresh, BPF_NOEXIST);
	counts = bpf_map_lookup_elem(&cgroups, &id);
	if (!counts)
		count_lost();
	return counts;
}

/*
 * The counts of the command of a process in a cgroup. Beyond MAX_NAMES, those of the empty name. NULL if
 * commands are not counted, or if the map is full.
 */
static __always_inline struct command_counts *commands_of(struct cgroup *cgroup, struct task_struct *leader)
{
	struct command_key key = { .cgroup_id = cgroup->kn->id };
	struct command_counts fresh = {};
	struct command_counts *named, *unnamed;
	__u32 only = 0;
	__u64 *now;

	if (!count_commands)
		return NULL;
	now = bpf_map_lookup_elem(&generation, &only);
	if (!now)
		return NULL;
	key.generation = *now;
	/* Bytes after the end of a name are not part of it. */
	bpf_probe_read_kernel_str(key.comm, sizeof(key.comm), leader->comm);
	named = bpf_map_lookup_elem(&commands, &key);
	if (named || !key.comm[0])
		goto done;

	struct command_key rest = { .cgroup_id = key.cgroup_id, .generation = key.generation };

	unnamed = bpf_map_lookup_elem(&commands, &rest);
	if (!unnamed) {
		bpf_map_update_elem(&commands, &rest, &fresh, BPF_NOEXIST);
		unnamed = bpf_map_lookup_elem(&commands, &rest);
		if (!unnamed)
			return NULL;
	}
	if (__sync_fetch_and_add(&unnamed->names, 1) >= MAX_NAMES)
		return unnamed;
done:
	if (!named) {
		bpf_map_update_elem(&commands, &key, &fresh, BPF_NOEXIST);
		named = bpf_map_lookup_elem(&commands, &key);
	}
	return named;
}

/* The child can start in another cgroup than its parent (CLONE_INTO_CGROUP). */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct cgroup *cgroup = child->cgroups->dfl_cgrp;
	struct counts *counts = counts_of(cgroup);
	struct command_counts *commands;

	if (!counts)
		return 0;
	if (child->pid != child->tgid) {
		count(&counts->thread_starts);
		return 0;
	}
	commands = commands_of(cgroup, parent->group_leader);
	count(commands ? &commands->forks : &counts->forks);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	struct counts *counts = counts_of(cgroup);
	struct command_counts *commands;

	if (!counts)
		return 0;
	/* The thread that executes a program becomes the leader. */
	commands = commands_of(cgroup, task);
	count(commands ? &commands->execs : &counts->execs);
	return 0;
}

/* mark_oom_victim() sets oom_mm when __oom_kill_process() kills a victim (mm/oom_kill.c). */
static __always_inline bool is_oom_kill(struct signal_struct *signal, int code)
{
	return (code & 0x7f) == SIGKILL && bpf_core_field_exists(signal->oom_mm) && signal->oom_mm;
}

/* If the queue is full, the victim is only counted. */
static __always_inline void queue_victim(struct cgroup *cgroup, struct task_struct *leader, __u64 lifetime)
{
	struct oom_victim victim = { .cgroup_id = cgroup->kn->id, .lifetime = lifetime };
	struct task_struct *ancestor = leader;
	int level;

	bpf_probe_read_kernel_str(victim.comm, COMM_BYTES, leader->comm);
#pragma unroll
	for (level = 0; level < MAX_PATH; level++) {
		ancestor = ancestor->real_parent->group_leader;
		victim.ancestor_cgroups[level] = ancestor->cgroups->dfl_cgrp->kn->id;
		bpf_probe_read_kernel_str(victim.ancestors[level], COMM_BYTES, ancestor->comm);
	}
	bpf_map_push_elem(&oom_victims, &victim, 0);
}

/* The upper limits are those of the metric: 0.01, 0.1, 1, 10 and 60 s. */
static __always_inline void count_lifetime(struct counts *counts, __u64 lifetime)
{
	const __u64 milliseconds = 1000000;
	int bucket = lifetime <= 10 * milliseconds ? 0
		   : lifetime <= 100 * milliseconds ? 1
		   : lifetime <= 1000 * milliseconds ? 2
		   : lifetime <= 10000 * milliseconds ? 3
		   : lifetime <= 60000 * milliseconds ? 4 : 5;

	count(&counts->lifetimes[bucket]);
	__sync_fetch_and_add(&counts->lifetime_sum, lifetime);
}

/* Whether this thread, whose group has no live thread left, is the one that counts the exit. */
static __always_inline bool is_first_to_count(struct task_struct *leader, struct signal_struct *signal)
{
	struct process_key key = { .start_boottime = leader->start_boottime, .tgid = leader->tgid };
	__u8 present = 1;
	/* Not long: before Linux 6.4, only the lower half is the result of the map. */
	int error;

	/* No other thread can still get here, but one of them may have counted the exit. */
	if (signal->nr_threads <= 1)
		return !bpf_map_lookup_elem(&exited, &key);
	error = bpf_map_update_elem(&exited, &key, &present, BPF_NOEXIST);
	if (error && error != -EEXIST)
		count_lost();
	return !error;
}

/* Called for every thread, after it was removed from the number of live threads. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct task_struct *leader = task->group_leader;
	struct cgroup *cgroup = task->cgroups->dfl_cgrp;
	struct command_counts *commands;
	struct counts *counts;
	__u64 lifetime;
	int code;

	if (signal->live.counter != 0 || !is_first_to_count(leader, signal))
		return 0;
	counts = counts_of(cgroup);
	if (!counts)
		return 0;
	lifetime = bpf_ktime_get_boot_ns() - leader->start_boottime;
	count_lifetime(counts, lifetime);
	/* The status that wait(2) returns: wait_task_zombie(), kernel/exit.c. */
	code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
	if (!(code & 0xff7f)) {
		count(&counts->exits_success);
		return 0;
	}
	commands = commands_of(cgroup, leader);
	if (is_oom_kill(signal, code)) {
		count(commands ? &commands->oom_kills : &counts->oom_kills);
		queue_victim(cgroup, leader, lifetime);
	} else if (code & 0x7f) {
		count(commands ? &commands->exits_signal : &counts->exits_signal);
	} else {
		count(commands ? &commands->exits_failure : &counts->exits_failure);
	}
	return 0;
}

/*
 * Tells user space which counts are final: the kernel removes a cgroup only after on_exit ran for all of
 * its tasks. Ids are unique only within a hierarchy, and cgroups of cgroup v1 have ids, too.
 */
SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_rmdir, struct cgroup *cgroup)
{
	__u64 id = cgroup->kn->id;
	struct counts *counts;

	if (cgroup->root->hierarchy_id != 0)
		return 0;
	counts = bpf_map_lookup_elem(&cgroups, &id);
	if (counts)
		counts->removed = 1;
	return 0;
}

/* One process (thread group): 88 bytes without padding. */
struct process {
	__u64 start_boottime; /* nanoseconds */
	__u64 cgroup_id;
	/* Of all threads, including those that exited, in nanoseconds. */
	__u64 cpu_time;
	__u64 resident_pages;
	__u32 pid;
	__u32 parent_pid;
	__u32 state;
	__u32 exit_state;
	__u32 flags;
	__u32 threads;
	/* The level of its pid namespace, 0 for the initial one; HAS_TERMINAL with a controlling terminal. */
	__u32 nesting;
	/* Its pid in its own pid namespace, and in its namespace of level 1 (0 if there is none). */
	__u32 inner_pid;
	__u32 pid_below;
	__u32 pid_namespace;
	char comm[16];
};

/* The number of threads of a process is limited to that of all pids (PID_MAX_LIMIT, include/linux/threads.h). */
#define MAX_THREADS (1 << 22)

/* Addresses are numbers, because the verifier permits no arithmetic with pointers to structures of the kernel. */
struct thread_list {
	__u64 head;
	__u64 next;
	__u64 cpu_time;
};

/*
 * The program runs in an RCU read section, so a thread that exits meanwhile stays readable. Its time can be
 * missing from the sum, or be in it twice, because the kernel moves it to the sum of exited threads; user
 * space keeps the highest sum.
 */
static long add_thread(__u32 index, struct thread_list *threads)
{
	__u64 thread = threads->next - bpf_core_field_offset(struct task_struct, thread_node);
	__u64 cpu_time = 0;

	if (!threads->next || threads->next == threads->head)
		return 1;
	bpf_probe_read_kernel(&cpu_time, sizeof(cpu_time),
			      (void *)thread + bpf_core_field_offset(struct task_struct, se.sum_exec_runtime));
	threads->cpu_time += cpu_time;
	return bpf_probe_read_kernel(&threads->next, sizeof(threads->next), (void *)threads->next) != 0;
}

/* The sum that /proc/PID/stat divides into user and kernel time: cputime_adjust(), kernel/sched/cputime.c. */
static __always_inline __u64 cpu_time(struct task_struct *leader, struct signal_struct *signal)
{
	struct thread_list threads = { .cpu_time = signal->sum_sched_runtime };

	if (signal->nr_threads <= 1) {
		threads.cpu_time += leader->se.sum_exec_runtime;
		return threads.cpu_time;
	}
	if (bpf_core_read(&threads.next, sizeof(threads.next), &signal->thread_head.next))
		return threads.cpu_time;
	threads.head = (__u64)signal + bpf_core_field_offset(struct signal_struct, thread_head);
	bpf_loop(MAX_THREADS, add_thread, &threads, 0);
	return threads.cpu_time;
}

/* File, anonymous and shared pages; the third counter is that of swapped pages (include/linux/mm_types_task.h). */
/* The kernel has these counters elsewhere. */
#define UNKNOWN (~0ULL)

#define RESIDENT_PAGES(count_of) (positive(count_of(0)) + positive(count_of(1)) + positive(count_of(3)))

static __always_inline __u64 positive(__s64 count)
{
	return count > 0 ? count : 0;
}

static __always_inline __u64 resident_pages(struct task_struct *leader)
{
	struct mm_struct *mm = leader->mm;

	if (!mm || leader->flags & PF_KTHREAD)
		return 0;
#define COUNT_OF(index) mm->rss_stat[index].count
	if (bpf_core_field_exists(mm->rss_stat[0].count))
		return RESIDENT_PAGES(COUNT_OF);
	struct mm_struct___before_6_2 *before_6_2 = (void *)mm;
#define COUNT_BEFORE_6_2(index) BPF_CORE_READ(before_6_2, rss_stat.count[index].counter)
	if (bpf_core_field_exists(before_6_2->rss_stat.count))
		return RESIDENT_PAGES(COUNT_BEFORE_6_2);
	return UNKNOWN;
}

SEC("iter/task")
int list_processes(struct bpf_iter__task *context)
{
	struct task_struct *task = context->task;
	struct process process = {};
	struct upid below;
	struct upid innermost;
	struct pid *pid;
	__u32 level;

	if (!task || task->pid != task->tgid)
		return 0;
	process.start_boottime = task->start_boottime;
	process.cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	process.pid = task->tgid;
	process.parent_pid = task->real_parent->tgid;
	process.state = task->__state;
	process.exit_state = task->exit_state;
	process.flags = task->flags;
	process.threads = task->signal->nr_threads;
	process.cpu_time = cpu_time(task, task->signal);
	process.resident_pages = resident_pages(task);
	bpf_probe_read_kernel(process.comm, sizeof(process.comm), task->comm);
	pid = task->thread_pid;
	if (!pid) /* reaped just now */
		return 0;
	level = pid->level;
	process.nesting = level | (task->signal->tty ? HAS_TERMINAL : 0);
	if (!bpf_core_read(&innermost, sizeof(innermost), &pid->numbers[level])) {
		process.inner_pid = innermost.nr;
		process.pid_namespace = BPF_CORE_READ(innermost.ns, ns.inum);
	}
	if (level > 0 && !bpf_core_read(&below, sizeof(below), &pid->numbers[1]))
		process.pid_below = below.nr;
	bpf_seq_write(context->meta->seq, &process, sizeof(process));
	return 0;
}
