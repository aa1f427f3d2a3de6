/* Weights to train and weights to evaluate, where they differ; and weights that others have set. */
#include <string.h>

#include "averages.h"
#include "constraints.h"
#include "update.h"

typedef struct passage {
    const gradcore_trainer *trainer;
    void *live, *plain; /* slots: the trained weights y, and z; or NULL */
    double rate;        /* y + rate (z - y) is the evaluation point */
} passage;

/* What is frozen is evaluated and trained with alike. */
static void enter(void *context, const grc_piece *piece)
{
    const passage *p = context;
    const gradcore_network *n = p->trainer->net;
    void *w = grc_at(n, n->w, piece->offset), *live = grc_at(n, p->live, piece->offset);
    if (p->trainer->groups[piece->parameter].frozen) {
        memcpy(live, w, piece->size * n->item);
        memcpy(grc_at(n, p->plain, piece->offset), w, piece->size * n->item);
    } else
        memcpy(w, live, piece->size * n->item);
}
static void leave(void *context, const grc_piece *piece)
{
    const passage *p = context;
    const gradcore_network *n = p->trainer->net;
    void *w = grc_at(n, n->w, piece->offset);
    memcpy(grc_at(n, p->live, piece->offset), w, piece->size * n->item);
    if (!p->trainer->groups[piece->parameter].frozen)
        n->kernels->blend(piece->size, p->rate, grc_at(n, p->plain, piece->offset), w);
}
static void show_again(void *context, const grc_piece *piece)
{
    const passage *p = context;
    const gradcore_network *n = p->trainer->net;
    memcpy(grc_at(n, n->w, piece->offset), grc_at(n, p->trainer->shown, piece->offset), piece->size * n->item);
}
static void show(void *context, const grc_piece *piece)
{
    const passage *p = context;
    const gradcore_network *n = p->trainer->net;
    memcpy(grc_at(n, p->trainer->shown, piece->offset), grc_at(n, n->w, piece->offset), piece->size * n->item);
}

/* Elements that others have set since the weights were shown: every other copy of them begins there. Compared as
 * bits, so that a NaN is itself. */
static void adopt(void *context, const grc_piece *piece)
{
    const passage *p = context;
    const gradcore_network *n = p->trainer->net;
    for (size_t i = piece->offset; i < piece->offset + piece->size; i++) {
        const void *w = grc_at(n, n->w, i);
        if (memcmp(w, grc_at(n, p->trainer->shown, i), n->item) == 0)
            continue;
        if (p->live) {
            memcpy(grc_at(n, p->live, i), w, n->item);
            memcpy(grc_at(n, p->plain, i), w, n->item);
        }
        for (int j = 0; j < p->trainer->average_count; j++)
            if (p->trainer->averages[j].kind == GRC_LOOKAHEAD)
                memcpy(grc_at(n, p->trainer->averages[j].vector, i), w, n->item);
    }
}

static passage passage_of(const gradcore_trainer *trainer)
{
    const int live = grc_find_slot(trainer->optimizer, GRC_START_LIVE);
    const int plain = grc_find_slot(trainer->optimizer, GRC_START_WEIGHTS);
    return (passage){.trainer = trainer,
                     .live = live == GRC_NONE ? NULL : trainer->plan->slots[live],
                     .plain = live == GRC_NONE ? NULL : trainer->plan->slots[plain]};
}

void grc_adopt(gradcore_trainer *trainer, grc_team *team, int t, int count)
{
    passage p = passage_of(trainer);
    void *w = trainer->net->w;
    grc_constrain(trainer, team, w, GRC_MASKS, 0, 0, t, count);
    /* The first update takes the weights as they are. */
    if (!trainer->shown || atomic_load(&trainer->updates) < grc_accumulated(trainer))
        return;
    grc_each_owned_piece(trainer->net, t, count, &adopt, &p);
    grc_each_owned_piece(trainer->net, t, count, &show, &p);
    if (p.live) { /* where the mask is new and the weight was 0 already */
        grc_constrain(trainer, team, p.live, GRC_MASKS, 0, 0, t, count);
        grc_constrain(trainer, team, p.plain, GRC_MASKS, 0, 0, t, count);
    }
}

void grc_enter_training(gradcore_trainer *trainer, int t, int count)
{
    passage p = passage_of(trainer);
    if (p.live)
        grc_each_owned_piece(trainer->net, t, count, &enter, &p);
}

void grc_leave_training(gradcore_trainer *trainer, grc_team *team, const double *running, int updated, int t, int count)
{
    passage p = passage_of(trainer);
    p.rate = running[GRC_OPT_BLEND];
    if (p.live && trainer->shown && !updated) { /* set by hand since, they need not be what a blend would make */
        grc_each_owned_piece(trainer->net, t, count, &show_again, &p);
        return;
    }
    if (p.live) {
        grc_each_owned_piece(trainer->net, t, count, &leave, &p);
        grc_constrain(trainer, team, trainer->net->w, GRC_CONSTRAINTS, trainer->limit, grc_slack(trainer->net), t,
                      count);
    }
    if (trainer->shown)
        grc_each_owned_piece(trainer->net, t, count, &show, &p);
}
