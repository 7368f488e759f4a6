// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What pstree-exporter has the kernel do: count forks, execs and exits by cgroup, and list all processes
 * in one pass. `make bpf` compiles this to pstree.bpf.o, which is checked in.
 *
 * The layouts of `struct counts` and `struct process` are read again in src/resolve/event_attribution.rs and
 * src/observe/bpf/task_record.rs.
 */
#include "kernel.h"

#include <stdbool.h>

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* What this file is licensed under, in the words that the kernel knows (include/linux/license.h). */
char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define SIGNAL_GROUP_EXIT 0x4 /* include/linux/sched/signal.h */
#define EEXIST 17
#define MAX_ANCESTORS 8

/* Events of one cgroup of the default hierarchy. User space takes them as 16 numbers of 64 bits. */
struct counts {
	__u64 forks;
	__u64 thread_starts;
	__u64 execs;
	__u64 exits_success;
	__u64 exits_failure;
	__u64 exits_signal;
	/* 1 once the cgroup is removed: nothing is counted here any more. */
	__u64 removed;
	/* The ids of the cgroups above, the nearest first; 0 behind the last. */
	__u64 ancestors[MAX_ANCESTORS];
};

/* By the cgroup's id, which is the inode number of its directory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct counts);
} cgroups SEC(".maps");

/* Events that found no room in `cgroups` (or in `exited`). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

/* A process for its whole life, as a pid alone is not. */
struct process_key {
	__u64 start_boottime;
	__u64 tgid;
};

/*
 * Processes of several threads whose exit was counted. Threads that exit side by side may all find that
 * none is left alive, so the first to enter here counts. That race lasts microseconds, within which no
 * entry grows old enough to give way.
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

/* The counts of a cgroup, made where they are new. NULL, and counted as lost, where the map is full. */
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
	/* Another CPU may have been faster. */
	bpf_map_update_elem(&cgroups, &id, &fresh, BPF_NOEXIST);
	counts = bpf_map_lookup_elem(&cgroups, &id);
	if (!counts)
		count_lost();
	return counts;
}

/* The child may begin in another cgroup than its parent's (CLONE_INTO_CGROUP). */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	struct counts *counts = counts_of(child->cgroups->dfl_cgrp);

	if (counts)
		count(child->pid == child->tgid ? &counts->forks : &counts->thread_starts);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct counts *counts = counts_of(task->cgroups->dfl_cgrp);

	if (counts)
		count(&counts->execs);
	return 0;
}

/* Whether this thread, of a group without a live one, is the one that stands for the whole process. */
static __always_inline bool is_first_to_count(struct task_struct *leader, struct signal_struct *signal)
{
	struct process_key key = { .start_boottime = leader->start_boottime, .tgid = leader->tgid };
	__u8 present = 1;
	/* No long: before Linux 6.4 only the lower half is what the map returned. */
	int error;

	/* All others are gone, so none is on its way here; but one of them may have been. */
	if (signal->nr_threads <= 1)
		return !bpf_map_lookup_elem(&exited, &key);
	error = bpf_map_update_elem(&exited, &key, &present, BPF_NOEXIST);
	if (error && error != -EEXIST)
		count_lost();
	return !error;
}

/* Called for every thread, after it left the live ones. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct task_struct *leader = task->group_leader;
	struct counts *counts;
	int code;

	if (signal->live.counter != 0 || !is_first_to_count(leader, signal))
		return 0;
	counts = counts_of(task->cgroups->dfl_cgrp);
	if (!counts)
		return 0;
	/* As wait(2) would show it: wait_task_zombie(), kernel/exit.c. */
	code = signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
	if (code & 0x7f)
		count(&counts->exits_signal);
	else
		count(code & 0xff00 ? &counts->exits_failure : &counts->exits_success);
	return 0;
}

/*
 * Tells user space which counts are final. The kernel removes a cgroup only once all its tasks have passed
 * on_exit. Ids are unique within a hierarchy only, and those of cgroup v1 have ids, too.
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

/* One process (thread group): 72 bytes without a gap. */
struct process {
	__u64 start_boottime; /* nanoseconds */
	__u64 cgroup_id;
	__u32 pid;
	__u32 parent_pid;
	__u32 state;
	__u32 exit_state;
	__u32 flags;
	__u32 threads;
	/* How many pid namespaces lie between the initial one and its own. */
	__u32 nesting;
	/* Its pid in its own namespace, and in the one just below the initial one (0 where that is none). */
	__u32 inner_pid;
	__u32 pid_below;
	__u32 pid_namespace;
	char comm[16];
};

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
	bpf_probe_read_kernel(process.comm, sizeof(process.comm), task->comm);
	pid = task->thread_pid;
	if (!pid) /* reaped just now */
		return 0;
	level = pid->level;
	process.nesting = level;
	if (!bpf_core_read(&innermost, sizeof(innermost), &pid->numbers[level])) {
		process.inner_pid = innermost.nr;
		process.pid_namespace = BPF_CORE_READ(innermost.ns, ns.inum);
	}
	if (level > 0 && !bpf_core_read(&below, sizeof(below), &pid->numbers[1]))
		process.pid_below = below.nr;
	bpf_seq_write(context->meta->seq, &process, sizeof(process));
	return 0;
}
