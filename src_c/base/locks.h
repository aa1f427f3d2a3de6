/* Who may use a thing: locks that nobody waits for.
 *
 * Words. Readers *share*. Who has a thing alone is *keeping* it in order at every moment, or is *changing* it. A
 * thing is *torn* when who was changing it has vanished in a fork. A *generation* is the number of forks between
 * the first process that has used the core and this one. */
#ifndef GRC_LOCKS_H
#define GRC_LOCKS_H

#include <stdatomic.h>

#include "base.h"

typedef struct grc_lock {
    atomic_uint_fast64_t state;
    atomic_int torn;
} grc_lock;
enum grc_use { GRC_SHARED, GRC_KEEPING, GRC_CHANGING };
/* TAKEN_OVER: from threads of the parent process that are not in this one. */
enum grc_taken { GRC_TAKEN_BY_OTHERS, GRC_TAKEN, GRC_TAKEN_OVER };
void grc_lock_open(grc_lock *l); /* a new one, which nobody has */
enum grc_taken grc_lock_take(grc_lock *l, enum grc_use use);
void grc_lock_drop(grc_lock *l, enum grc_use use);
int grc_lock_is_torn(const grc_lock *l);
grc_status grc_busy(gradcore_error *error, const char *what);
unsigned grc_generation(void); /* counted once watched */
void grc_watch_forks(void);

#endif
