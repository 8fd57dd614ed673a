/* The least a process of C does, linked statically with the C library of the machine. */

#include <stdio.h>

int main(void)
{
	puts("Hello from a static process");
	return 0;
}
