/* Loads that run until they are stopped: incidents that alerts must detect, and harmless loads for which no alert may
 * fire. Static, so that it runs in an image that contains nothing else. Times are in milliseconds.
 *
 *   loads bomb MOST          processes that fork continuously and stay, until there are MOST of them; a refused fork
 *                            is retried
 *   loads wild LIFE FILE     processes that fork continuously until FILE exists, each except the first living for
 *                            LIFE; after that, the remaining processes do nothing
 *   loads storm LIFE         one child after another, each living for LIFE
 *   loads leak PERIOD        one more child that stays, every PERIOD
 *   loads neglect PERIOD     one more child that exits and is never waited for, every PERIOD
 *   loads recurse DEPTH PERIOD
 *                            a chain of processes, one level deeper every PERIOD, up to DEPTH
 *   loads threads MOST PERIOD
 *                            100 more threads every PERIOD, until there are MOST
 *   loads pool LOW HIGH STEP a server's workers: 1, 2, 4, 8 ... more each STEP until there are HIGH; after 30
 *                            steps one less each STEP until there are LOW; repeats after 30 steps
 *   loads connections MEAN LIFE
 *                            a database: one process per connection, one every MEAN that lives for LIFE, both
 *                            exponentially distributed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void pause_for(double ms) {
    struct timespec left = {(time_t)(ms / 1000), (long)(fmod(ms, 1000) * 1e6)};
    while (nanosleep(&left, &left) != 0) {}
}

static void wait_for_ever(void) {
    for (;;) pause();
}

/* All processes of a load exit with its first process. */
static pid_t fork_child(void) {
    pid_t pid = fork();
    if (pid == 0) prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

static pid_t fork_or_fail(void) {
    pid_t pid = fork_child();
    if (pid < 0) fail("fork");
    return pid;
}

static void bomb(long most) {
    long *count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED) fail("mmap");
    *count = 1;
    for (;;) {
        if (__atomic_add_fetch(count, 1, __ATOMIC_SEQ_CST) > most) wait_for_ever();
        if (fork_child() < 0) __atomic_sub_fetch(count, 1, __ATOMIC_SEQ_CST);
        pause_for(100);
    }
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static void wild(double life, const char *calm) {
    signal(SIGCHLD, SIG_IGN);
    double end = INFINITY;
    while (access(calm, F_OK) != 0) {
        if (fork_child() == 0) end = now() + life;
        if (now() > end) _exit(0);
    }
    wait_for_ever();
}

static void storm(double life) {
    for (;;) {
        if (fork_or_fail() == 0) {
            pause_for(life);
            _exit(0);
        }
        wait(NULL);
    }
}

static void leak(double period) {
    for (;; pause_for(period)) {
        if (fork_or_fail() == 0) wait_for_ever();
    }
}

static void neglect(double period) {
    for (;; pause_for(period)) {
        if (fork_or_fail() == 0) _exit(0);
    }
}

static void recurse(long depth, double period) {
    for (long i = 1; i < depth; i++) {
        if (fork_or_fail() != 0) wait_for_ever();
        pause_for(period);
    }
    wait_for_ever();
}

static void *thread(void *unused) {
    wait_for_ever();
    return unused;
}

static void threads(long most, double period) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    for (long i = 1; i < most; i++) {
        pthread_t id;
        if ((errno = pthread_create(&id, &attributes, thread, NULL)) != 0) fail("pthread_create");
        if (i % 100 == 0) pause_for(period);
    }
    wait_for_ever();
}

static void pool(long low, long high, double step) {
    pid_t *workers = calloc(high, sizeof *workers);
    if (!workers) fail("calloc");
    for (long count = 0;;) {
        for (long batch = 1; count < high; batch *= 2) {
            for (long i = 0; i < batch && count < high; i++) {
                pid_t pid = fork_or_fail();
                if (pid == 0) wait_for_ever();
                workers[count++] = pid;
            }
            pause_for(step);
        }
        pause_for(30 * step);
        while (count > low) {
            kill(workers[--count], SIGKILL);
            waitpid(workers[count], NULL, 0);
            pause_for(step);
        }
        pause_for(30 * step);
    }
}

static double exponential(double mean) {
    return -mean * log(1 - drand48());
}

static void connections(double mean, double life) {
    signal(SIGCHLD, SIG_IGN);
    for (;; pause_for(exponential(mean))) {
        double length = exponential(life);
        if (fork_or_fail() == 0) {
            pause_for(length);
            _exit(0);
        }
    }
}

int main(int argc, char **argv) {
    const char *mode = argc > 2 ? argv[1] : "";
    double first = argc > 2 ? atof(argv[2]) : 0, second = argc > 3 ? atof(argv[3]) : 0;
    double third = argc > 4 ? atof(argv[4]) : 0;
    if (!strcmp(mode, "bomb")) bomb((long)first);
    if (!strcmp(mode, "wild") && argc > 3) wild(first, argv[3]);
    if (!strcmp(mode, "storm")) storm(first);
    if (!strcmp(mode, "leak")) leak(first);
    if (!strcmp(mode, "neglect")) neglect(first);
    if (!strcmp(mode, "recurse")) recurse((long)first, second);
    if (!strcmp(mode, "threads")) threads((long)first, second);
    if (!strcmp(mode, "pool")) pool((long)first, (long)second, third);
    if (!strcmp(mode, "connections")) connections(first, second);
    fprintf(stderr, "loads: unknown mode; see the head of loads.c\n");
    return 2;
}
