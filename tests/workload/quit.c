/* Exits at once, without a C library (x86_64). On virtual machines the start of glibc takes several times as long as the
 * rest of the process, because it asks for the CPU's features. */
void _start(void) {
    __asm__ volatile("syscall" : : "a"(231 /* exit_group */), "D"(0) : "rcx", "r11", "memory");
}
