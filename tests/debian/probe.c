/* In the exporter's place, under its unit: what is it allowed? One line each, as the kernel answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(const char *what, long got)
{
	printf("%s: %s\n", what, got >= 0 ? "allowed" : strerrorname_np(errno));
}

int main(void)
{
	char *arguments[] = { "true", NULL };

	/* All is said before another program takes its place. */
	setvbuf(stdout, NULL, _IONBF, 0);

	/* What it is for. */
	say("read a process of root", open("/proc/1/stat", O_RDONLY));
	say("read pid_max", open("/proc/sys/kernel/pid_max", O_RDONLY));
	say("listen", socket(AF_INET6, SOCK_STREAM, 0));

	/* All else; each is something that any user may do without the unit. */
	say("write to its own directory", open("/var/lib/probe/file", O_CREAT | O_WRONLY, 0600));
	say("see a home", open("/home/probe", O_RDONLY));
	say("make a user namespace", unshare(CLONE_NEWUSER));
	say("netlink", socket(AF_NETLINK, SOCK_RAW, 0));
	say("map what is written and executed", (long)mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	say("make a directory", mkdir("/tmp/directory", 0700));
	execve("/bin/true", arguments, arguments);
	say("execute another program", -1);
	return 0;
}
