/* Two threads of an OpenMP team count without a lock. CI runs it first: a ThreadSanitizer that lets it pass is not
 * at work on such threads, and the clean runs that follow would mean nothing. */
#include <stdio.h>

static volatile int count; /* else the compiler makes one store of the loop */

int main(void)
{
    for (int round = 0; round < 50; round++)
#pragma omp parallel num_threads(2)
        for (int i = 0; i < 1000; i++)
            count++;
    printf("%d\n", count);
    return 0;
}
