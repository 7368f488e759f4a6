/* Makes process forests of a known shape, for tests and benchmarks. Static, so that it runs in an image
 * that contains nothing else. Prints "ready" when all processes run, then waits to be killed.
 *
 *   workload fan N              one parent with N children
 *   workload chain N            N processes, each the child of the one before (itself included)
 *   workload threads N          one process with N threads
 *   workload zombies N          one parent that never reaps its N dead children
 *   workload zombie-leader N    a leader that exited while N threads run on
 *   workload name HEX           one process that names itself with these bytes
 *   workload names N [PERIOD]   N children with different names, new ones every PERIOD milliseconds
 *   workload spread ROOTS N M [FIRST]
 *                               N cgroups, named from FIRST on, below each of the comma-separated directories,
 *                               each with M processes: one parent and its children
 *   workload orphan             a child whose parent exits when it gets SIGUSR1
 *   workload forks N            forks N children that exit at once, reaps them all, then says ready
 *   workload renames N          forks N children, each time under another name, reaps them all, then says ready
 *   workload execs N PROGRAM    N children that execute this program, each by another name, one at a time; reaps them
 *                               all, then says ready
 *   workload groups N M         N children that end by exit_group(2) with M threads running, and N whose M
 *                               threads end by exit(2) side by side; reaps them all, then says ready
 *   workload thread-execs N     N children whose second thread executes a program; reaps them, then says ready
 *   workload burn MS N          one process whose N threads each use MS milliseconds of CPU time; half of them exit;
 *                               it has 64 MiB of memory
 *   workload script             a child with a terminal of its own, as script(1) starts it
 *   workload quit               exits at once
 *   workload once ...           the same, but exits when it is ready
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void wait_for_ever(void) {
    for (;;) pause();
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static pid_t parent;

static pid_t fork_or_fail(void) {
    parent = getpid();
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    return pid;
}

static void die_with_parent(void) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* The parent may have exited before the call. */
    if (getppid() != parent) _exit(1);
}

static pid_t *children;
static long child_count;

static void expect_children(long count) {
    children = calloc(count + 1, sizeof *children);
    if (!children) fail("calloc");
    child_count = 0;
}

/* Kills and reaps all processes, including orphans, so that cgroups are empty when this process has exited, even if
 * the machine's init is slow. */
static void end_children(int signal_number) {
    (void)signal_number;
    for (long i = 0; i < child_count; i++) kill(children[i], SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR) {}
    _exit(0);
}

static void fan(long count) {
    expect_children(count);
    for (long i = 0; i < count; i++) {
        pid_t child = fork_or_fail();
        if (child == 0) {
            die_with_parent();
            wait_for_ever();
        }
        children[child_count++] = child;
    }
}

/* Forks a child that executes this program again for the rest of the chain. Without exec, each fork would copy the
 * memory bookkeeping of all its ancestors. The last process writes to a pipe that the first one reads. */
static void chain_link(long left, const char *pipe_end) {
    if (left == 0) {
        if (write(atoi(pipe_end), "x", 1) != 1) fail("write");
        return;
    }
    pid_t child = fork_or_fail();
    if (child == 0) {
        char self[512] = {0}, rest[32];
        if (readlink("/proc/self/exe", self, sizeof self - 1) < 0) fail("readlink");
        snprintf(rest, sizeof rest, "%ld", left - 1);
        die_with_parent();
        execl(self, "workload", "chain-link", rest, pipe_end, (char *)NULL);
        fail(self);
    }
    children[child_count++] = child;
}

static void chain(long count) {
    int ends[2];
    char byte, pipe_end[16];
    expect_children(1);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (pipe(ends) != 0) fail("pipe");
    snprintf(pipe_end, sizeof pipe_end, "%d", ends[1]);
    chain_link(count - 1, pipe_end);
    if (read(ends[0], &byte, 1) != 1) fail("read");
}

static void *thread(void *unused) {
    wait_for_ever();
    return unused;
}

static void threads(long count) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (long i = 0; i < count; i++) {
        pthread_t id;
        if ((errno = pthread_create(&id, &attributes, thread, NULL)) != 0) fail("pthread_create");
    }
}

static void zombies(long count) {
    for (long i = 0; i < count; i++) {
        pid_t child = fork_or_fail();
        if (child == 0) _exit(0);
        siginfo_t info;
        if (waitid(P_PID, child, &info, WEXITED | WNOWAIT) != 0) fail("waitid");
    }
}

static void names(long count, long period_ms, long round) {
    for (long i = 0; i < count; i++) {
        if (fork_or_fail() == 0) {
            die_with_parent();
            char name[40];
            for (;; round++) {
                snprintf(name, sizeof name, "n%lx-%lx", round, i);
                prctl(PR_SET_NAME, name);
                if (period_ms == 0) wait_for_ever();
                usleep(period_ms * 1000);
            }
        }
    }
}

static void write_pid(const char *directory) {
    char path[1024], text[32];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    int file = open(path, O_WRONLY);
    if (file < 0) fail(path);
    int length = snprintf(text, sizeof text, "%d", getpid());
    if (write(file, text, length) != length) fail(path);
    close(file);
}

static void spread(const char *roots, long groups, long size, long first) {
    expect_children(groups);
    /* The groups' children are reparented to this process when their parent ends. */
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    for (long group = 0; group < groups; group++) {
        int ends[2];
        char byte;
        if (pipe(ends) != 0) fail("pipe");
        pid_t leader = fork_or_fail();
        if (leader == 0) {
            die_with_parent();
            char list[512], path[900];
            snprintf(list, sizeof list, "%s", roots);
            for (char *root = strtok(list, ","); root; root = strtok(NULL, ",")) {
                snprintf(path, sizeof path, "%s/%064lx", root, first + group + 1);
                if (mkdir(path, 0755) != 0 && errno != EEXIST) fail(path);
                write_pid(path);
            }
            fan(size - 1);
            if (write(ends[1], "x", 1) != 1) fail("write");
            wait_for_ever();
        }
        if (read(ends[0], &byte, 1) != 1) fail("read");
        close(ends[0]);
        close(ends[1]);
        children[child_count++] = leader;
    }
}

static void quit(int signal_number) {
    (void)signal_number;
    _exit(0);
}

static void orphan(void) {
    if (fork_or_fail() == 0) {
        if (fork_or_fail() == 0) wait_for_ever();
        signal(SIGUSR1, quit);
        wait_for_ever();
    }
}

static void forks(long count) {
    for (long i = 0; i < count; i++) {
        if (fork_or_fail() == 0) _exit(0);
        if (wait(NULL) < 0) fail("wait");
    }
}

static void renames(long count) {
    char name[40];
    for (long i = 0; i < count; i++) {
        snprintf(name, sizeof name, "r%lx", i);
        prctl(PR_SET_NAME, name);
        if (fork_or_fail() == 0) _exit(0);
        if (wait(NULL) < 0) fail("wait");
    }
}

static void reap(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0) fail("waitpid");
}

/* The links are in memory. */
static void execs(long count, const char *program) {
    char link[40];
    for (long i = 0; i < count; i++) {
        snprintf(link, sizeof link, "/dev/shm/x%lx", i);
        unlink(link); /* of a process that was killed */
        if (symlink(program, link) != 0) fail(link);
        char *arguments[] = {link, NULL};
        pid_t pid;
        if ((errno = posix_spawn(&pid, link, NULL, NULL, arguments, NULL)) != 0) fail("posix_spawn");
        reap(pid);
        if (unlink(link) != 0) fail(link);
    }
}

static void start_thread(void *(*body)(void *), void *argument) {
    pthread_t thread;
    errno = pthread_create(&thread, NULL, body, argument);
    if (errno) fail("pthread_create");
}

static void *exit_together(void *barrier) {
    pthread_barrier_wait(barrier);
    syscall(SYS_exit, 0);
    return NULL;
}

static void *sleep_for_ever(void *unused) {
    (void)unused;
    wait_for_ever();
    return NULL;
}

static void groups(long count, long threads) {
    for (long i = 0; i < 2 * count; i++) {
        pid_t pid = fork_or_fail();
        if (pid == 0) {
            pthread_barrier_t barrier;
            pthread_barrier_init(&barrier, NULL, threads);
            for (long t = 1; t < threads; t++) start_thread(i < count ? sleep_for_ever : exit_together, &barrier);
            if (i < count) _exit(0);
            exit_together(&barrier);
        }
        reap(pid);
    }
}

static void *execute_quit(void *unused) {
    (void)unused;
    execl("/proc/self/exe", "workload", "quit", NULL);
    fail("execl");
    return NULL;
}

static void thread_execs(long count) {
    for (long i = 0; i < count; i++) {
        pid_t pid = fork_or_fail();
        if (pid == 0) {
            start_thread(execute_quit, NULL);
            wait_for_ever();
        }
        reap(pid);
    }
}

/* Memory of which it uses every page. */
static char burn_memory[64 << 20];
static long burn_milliseconds;
static atomic_long burning;

/* An even thread exits, an odd one stays. */
static void *burn_thread(void *number) {
    struct timespec used;
    do clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < burn_milliseconds);
    burning--;
    if ((long)number % 2) wait_for_ever();
    return NULL;
}

static void burn(long milliseconds, long threads) {
    burn_milliseconds = milliseconds;
    memset(burn_memory, 1, sizeof burn_memory);
    burning = threads;
    for (long number = 0; number < threads; number++) {
        pthread_t id;
        if ((errno = pthread_create(&id, NULL, burn_thread, (void *)number)) != 0) fail("pthread_create");
    }
    while (burning > 0) usleep(10000);
}

static void script(void) {
    int terminal;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    if (pid < 0) fail("forkpty");
    if (pid == 0) wait_for_ever();
}

static void set_name_from_hex(const char *hex) {
    char name[16] = {0};
    for (size_t i = 0; i < 15 && hex[2 * i] && hex[2 * i + 1]; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        name[i] = (char)strtol(digits, NULL, 16);
    }
    prctl(PR_SET_NAME, name);
}

int main(int argc, char **argv) {
    int once = argc > 1 && !strcmp(argv[1], "once");
    argc -= once;
    argv += once;
    const char *mode = argc > 1 ? argv[1] : "";
    long count = argc > 2 ? atol(argv[2]) : 0;
    if (!strcmp(mode, "fan")) fan(count);
    else if (!strcmp(mode, "chain")) chain(count);
    else if (!strcmp(mode, "chain-link") && argc > 3) {
        expect_children(1);
        chain_link(count, argv[3]);
        wait_for_ever();
    } else if (!strcmp(mode, "threads")) threads(count - 1);
    else if (!strcmp(mode, "zombies")) zombies(count);
    else if (!strcmp(mode, "zombie-leader")) {
        threads(count);
        ready();
        syscall(SYS_exit, 0);
    } else if (!strcmp(mode, "name") && argc > 2) set_name_from_hex(argv[2]);
    else if (!strcmp(mode, "names")) names(count, argc > 3 ? atol(argv[3]) : 0, 0);
    else if (!strcmp(mode, "spread") && argc > 4)
        spread(argv[2], atol(argv[3]), atol(argv[4]), argc > 5 ? atol(argv[5]) : 0);
    else if (!strcmp(mode, "orphan")) orphan();
    else if (!strcmp(mode, "forks")) forks(count);
    else if (!strcmp(mode, "renames")) renames(count);
    else if (!strcmp(mode, "execs") && argc > 3) execs(count, argv[3]);
    else if (!strcmp(mode, "groups") && argc > 3) groups(count, atol(argv[3]));
    else if (!strcmp(mode, "thread-execs")) thread_execs(count);
    else if (!strcmp(mode, "burn") && argc > 3) burn(count, atol(argv[3]));
    else if (!strcmp(mode, "script")) script();
    else if (!strcmp(mode, "quit")) return 0;
    else {
        fprintf(stderr, "workload: unknown mode; see the head of workload.c\n");
        return 2;
    }
    if (once) return 0;
    if (children) signal(SIGTERM, end_children);
    ready();
    wait_for_ever();
}
