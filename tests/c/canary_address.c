/* Reads one element past a heap block. CI runs it first: an AddressSanitizer that lets it pass is not
 * at work, and the clean runs that follow would mean nothing. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    (void)argv;
    volatile float *row = malloc(16 * sizeof(float));
    if (row == NULL)
        return 0;
    for (int i = 0; i < 16; i++)
        row[i] = (float)i;
    int past = row[15 + argc] > 0;
    free((void *)row);
    return past & 0;
}
