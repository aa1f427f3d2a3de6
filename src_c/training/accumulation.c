/* Accumulation: the gradient of an update is the mean over several batches, weighed by what their losses were
 * divided by. */
#include <math.h>
#include <string.h>

#include "averages.h"
#include "gradient_surgery.h"

static const grc_average *accumulation(const gradcore_trainer *trainer)
{
    for (int i = 0; i < trainer->average_count; i++)
        if (trainer->averages[i].kind == GRC_ACCUMULATE)
            return &trainer->averages[i];
    return NULL;
}

int grc_accumulates(const gradcore_trainer *trainer)
{
    return accumulation(trainer) != NULL;
}

uint64_t grc_accumulated(const gradcore_trainer *trainer)
{
    const grc_average *a = accumulation(trainer);
    return a ? a->every : 1;
}

int grc_head_means(const gradcore_trainer *trainer)
{
    return trainer->task_count > 1 && accumulation(trainer) ? trainer->task_count : 0;
}

void *grc_head_mean(const gradcore_trainer *trainer, int head)
{
    return grc_at(trainer->net, accumulation(trainer)->vector, (size_t)(head + 1) * trainer->net->vector);
}

/* What the losses of the batches were divided by, this one included. */
static double divisor_with(const gradcore_trainer *trainer, const grc_waiting *w, int task, uint64_t place)
{
    const double own = trainer->tasks[task].divisor;
    if (place == 0)
        return own;
    return (w->divisor[task] < 0 ? (double)place * own : w->divisor[task]) + own; /* restored without it */
}

/* mean += share (gradient - mean), which cannot overflow where the gradients do not. The last gradient of an update
 * becomes what the mean would be instead: whatever the update meets, what waits is as it was. */
static void add_share(const gradcore_network *n, double share, int last, size_t size, void *gradient, void *mean)
{
    _Alignas(GRC_PANEL_BYTES) char room[64 * GRC_PANEL_BYTES];
    const size_t most = sizeof room / n->item;
    if (share == 1) {
        if (!last)
            memcpy(mean, gradient, size * n->item);
        return;
    }
    for (size_t done = 0, take; last && done < size; done += take) {
        take = grc_min(most, size - done);
        memcpy(room, grc_at(n, mean, done), take * n->item);
        n->kernels->blend(take, share, grc_at(n, gradient, done), room);
        memcpy(grc_at(n, gradient, done), room, take * n->item);
    }
    if (!last)
        n->kernels->blend(size, share, gradient, mean);
}

typedef struct adding {
    gradcore_trainer *trainer;
    const grc_waiting *waiting;
    double share[GRADCORE_MOST_HEADS];
    int last;
} adding;
static void add_piece(void *context, const grc_piece *piece)
{
    const adding *a = context;
    gradcore_trainer *trainer = a->trainer;
    const gradcore_network *n = trainer->net;
    const int by_head = a->waiting->by_head;
    for (int i = 0; i < (by_head ? trainer->task_count : 1); i++) {
        void *gradient =
            by_head ? grc_head_gradient(trainer, i, piece->offset) : grc_at(n, trainer->plan->grad, piece->offset);
        void *mean = grc_at(n, by_head ? grc_head_mean(trainer, i) : accumulation(trainer)->vector, piece->offset);
        add_share(n, a->share[i], a->last, piece->size, gradient, mean);
    }
}

int grc_accumulate(gradcore_trainer *trainer, grc_team *team, grc_waiting *w, uint64_t done, int climbed, size_t rows,
                   int t, int count)
{
    const uint64_t every = accumulation(trainer)->every, place = done % every;
    const int last = place + 1 == every;
    adding a = {.trainer = trainer, .waiting = w, .last = last};
    for (int i = 0; i < trainer->task_count; i++) {
        const double own = trainer->tasks[i].divisor, sum = divisor_with(trainer, w, i, place);
        a.share[i] = place == 0 || sum == own ? 1 : own / sum;
        if (!last)
            w->divisor[i] = sum;
    }
    if (last)
        grc_barrier(team); /* all have read the norms of this batch */
    grc_each_owned_piece(trainer->net, t, count, &add_piece, &a);
    if (last && w->by_head)
        grc_combine_heads(trainer, team, t, count);
    else if (last) {
        grc_norms_of_gradient(trainer->plan, 0, t, count);
        grc_barrier(team);
    } else
        grc_learn(trainer, climbed, rows, t, count);
    return !last;
}

/* ---- state for checkpoints ---- */

static grc_status enter_accumulation(gradcore_trainer *trainer, const double *numbers, gradcore_error *error)
{
    if (!numbers)
        return grc_fail(error, GRADCORE_INVALID, "accumulated: expected a pointer, got NULL");
    const grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK || accumulation(trainer))
        return status;
    grc_trainer_leave(trainer);
    return grc_fail(error, GRADCORE_STATE, "accumulated: expected a trainer that accumulates, got one that does not");
}

grc_status gradcore_trainer_accumulated_read(gradcore_trainer *trainer, double *numbers, gradcore_error *error)
{
    const grc_status status = enter_accumulation(trainer, numbers, error);
    if (status != GRADCORE_OK)
        return status;
    numbers[0] = trainer->waiting.by_head;
    memcpy(numbers + 1, trainer->waiting.divisor, (size_t)trainer->task_count * sizeof(double));
    grc_trainer_leave(trainer);
    return GRADCORE_OK;
}

grc_status gradcore_trainer_accumulated_write(gradcore_trainer *trainer, const double *numbers, gradcore_error *error)
{
    grc_status status = enter_accumulation(trainer, numbers, error);
    if (status != GRADCORE_OK)
        return status;
    if (numbers[0] != 0 && !(numbers[0] == 1 && grc_head_means(trainer)))
        status = grc_fail(error, GRADCORE_INVALID, "accumulated[0]: expected 0, or 1 with heads, got %g", numbers[0]);
    for (int i = 1; i <= trainer->task_count && status == GRADCORE_OK; i++)
        if (!(isfinite(numbers[i]) && (numbers[i] >= 0 || numbers[i] == -1)))
            status = grc_fail(error, GRADCORE_INVALID,
                              "accumulated[%d]: expected a finite sum of weights, or -1, got %g", i, numbers[i]);
    if (status == GRADCORE_OK) {
        trainer->waiting.by_head = numbers[0] != 0;
        memcpy(trainer->waiting.divisor, numbers + 1, (size_t)trainer->task_count * sizeof(double));
    }
    grc_trainer_leave(trainer);
    return status;
}
