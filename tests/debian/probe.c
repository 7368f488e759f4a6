/* Runs instead of the exporter in its unit, and prints for each operation whether the kernel allows it. */
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

	/* Unbuffered, because execve replaces this program. */
	setvbuf(stdout, NULL, _IONBF, 0);

	/* Operations that the exporter requires. */
	say("read a process of root", open("/proc/1/stat", O_RDONLY));
	say("read pid_max", open("/proc/sys/kernel/pid_max", O_RDONLY));
	say("listen", socket(AF_INET6, SOCK_STREAM, 0));

	/* Operations that must be denied; without the unit every user may do them. */
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
