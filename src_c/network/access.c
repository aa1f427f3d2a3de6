/* Who may use a network: any number of readers, or one who changes it. */
#include "network.h"

static int take_network(gradcore_network *n, enum grc_use use, int whatever)
{
    if (grc_lock_take(&n->lock, use) == GRC_TAKEN_BY_OTHERS)
        return 0;
    if (!grc_lock_is_torn(&n->lock) || whatever)
        return 1;
    grc_lock_drop(&n->lock, use);
    return 0;
}

int grc_lock_read(gradcore_network *n)
{
    return take_network(n, GRC_SHARED, 0);
}
void grc_unlock_read(gradcore_network *n)
{
    grc_lock_drop(&n->lock, GRC_SHARED);
}
int grc_lock_write(gradcore_network *n)
{
    return take_network(n, GRC_CHANGING, 0);
}
int grc_lock_remake(gradcore_network *n)
{
    return take_network(n, GRC_CHANGING, 1);
}
void grc_remade(gradcore_network *n)
{
    atomic_store(&n->lock.torn, 0);
}
void grc_unlock_write(gradcore_network *n)
{
    grc_lock_drop(&n->lock, GRC_CHANGING);
}

grc_status grc_network_refused(const gradcore_network *n, gradcore_error *error)
{
    if (!grc_lock_is_torn(&n->lock))
        return grc_busy(error, "network");
    return grc_fail(error, GRADCORE_STATE,
                    "network: expected whole weights, got half of a change: this process was forked while another "
                    "thread of its parent changed them; set all parameters, or load it from a file");
}
