/* Overflows a signed integer. CI runs it first: an UndefinedBehaviorSanitizer that lets it pass is not
 * at work, and the clean runs that follow would mean nothing. */
#include <limits.h>

int main(int argc, char **argv)
{
    (void)argv;
    volatile int size = INT_MAX;
    size = size + argc;
    return size & 0;
}
