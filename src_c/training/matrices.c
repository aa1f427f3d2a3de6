/* The matrices of a trainer whose optimizer takes them as wholes: which they are, their memory and state. */
#include <math.h>
#include <string.h>

#include "../optimizers/matrix.h"
#include "matrices.h"

typedef struct grc_matrices {
    grc_matrix *of;      /* [parameter], rows 0: none */
    grc_room room;
    void *block;
    size_t block_size, sides, sides_size; /* bytes of the block where the state of soap lies */
    void *kept;          /* a copy of it, touched only by a careful update */
    size_t largest;      /* order of a side's gram matrix */
} grc_matrices;

int grc_is_matrix(const gradcore_trainer *trainer, int parameter)
{
    return trainer->matrices && trainer->matrices->of[parameter].rows;
}

void grc_matrix_step(const gradcore_trainer *trainer, grc_team *team, int parameter, const grc_opt_args *args, int t,
                     int count)
{
    grc_update_matrix(trainer->optimizer, &trainer->matrices->of[parameter], &trainer->matrices->room, args, team, t,
                      count);
}

static void describe(const gradcore_trainer *trainer, const grc_parameter *p, grc_matrix *m)
{
    const gradcore_network *n = trainer->net;
    *m = (grc_matrix){.k = n->kernels,
                      .item = n->item,
                      .rows = grc_stored_rows(p),
                      .cols = grc_stored_cols(p),
                      .fan_in = p->rows,
                      .fan_out = p->cols,
                      .w = grc_at(n, n->w, p->offset),
                      .g = grc_at(n, trainer->plan->grad, p->offset)};
    for (int i = 0; i < 2; i++)
        m->slot[i] = grc_at(n, trainer->plan->slots[i], p->offset);
}

void grc_matrices_follow(const gradcore_trainer *trainer)
{
    for (int i = 0; trainer->matrices && i < trainer->net->parameter_count; i++) {
        grc_matrix *m = &trainer->matrices->of[i];
        const size_t offset = trainer->net->parameters[i].offset;
        if (!m->rows)
            continue;
        m->g = grc_at(trainer->net, trainer->plan->grad, offset);
        for (int slot = 0; slot < 2; slot++)
            m->slot[slot] = grc_at(trainer->net, trainer->plan->slots[slot], offset);
    }
}

static void lay_out(const gradcore_trainer *trainer, grc_matrices *s, grc_matrix *packed, size_t largest,
                    grc_arena *arena)
{
    size_t count = 0;
    s->sides = arena->used;
    for (int i = 0; i < trainer->net->parameter_count; i++)
        if (s->of[i].rows) {
            if (trainer->optimizer == GRC_OPT_soap)
                grc_lay_out_sides(&s->of[i], s->of[i].rows <= largest, s->of[i].cols <= largest, arena);
            packed[count++] = s->of[i];
        }
    s->sides_size = arena->used - s->sides;
    s->kept = grc_take(arena, s->sides_size, 1);
    grc_lay_out_room(&s->room, trainer->optimizer, packed, count, trainer->net->threads, arena);
}

static void destroy(const gradcore_trainer *trainer, grc_matrices *s)
{
    const gradcore_allocator *allocator = &trainer->net->allocator;
    if (!s)
        return;
    grc_release(allocator, s->block, s->block_size);
    grc_release(allocator, s->of, ((size_t)trainer->net->parameter_count + 1) * sizeof *s->of);
    grc_release(allocator, s, sizeof *s);
}

void grc_matrices_destroy(gradcore_trainer *trainer)
{
    destroy(trainer, trainer->matrices);
    trainer->matrices = NULL;
}

static grc_status make(const gradcore_trainer *trainer, const uint8_t *mask, size_t largest, grc_matrices **out,
                       gradcore_error *error)
{
    const gradcore_allocator *allocator = &trainer->net->allocator;
    const size_t bytes = ((size_t)trainer->net->parameter_count + 1) * sizeof(grc_matrix);
    grc_matrices *s = grc_allocate(allocator, sizeof *s);
    grc_matrix *packed = grc_allocate(allocator, bytes);
    if (s)
        s->of = grc_allocate(allocator, bytes);
    if (s && s->of && packed) {
        s->largest = largest;
        for (int i = 0; i < trainer->net->parameter_count; i++)
            if (mask[i])
                describe(trainer, &trainer->net->parameters[i], &s->of[i]);
        grc_arena arena = {NULL, 0, 0};
        lay_out(trainer, s, packed, largest, &arena);
        s->block_size = arena.used;
        arena.base = s->block = arena.overflow ? NULL : grc_allocate(allocator, arena.used + 1);
        s->block_size += 1;
        arena.used = 0;
        if (s->block)
            lay_out(trainer, s, packed, largest, &arena);
    }
    grc_release(allocator, packed, bytes);
    if (!s || !s->block) {
        if (s && !s->of)
            grc_release(allocator, s, sizeof *s);
        else
            destroy(trainer, s);
        return grc_fail(error, GRADCORE_NO_MEMORY, "matrices: expected memory for them, got none");
    }
    *out = s;
    return GRADCORE_OK;
}

grc_status grc_matrices_copy(gradcore_trainer *trainer, const gradcore_trainer *from, gradcore_error *error)
{
    const gradcore_network *n = trainer->net;
    const grc_matrices *old = from->matrices;
    if (!old)
        return GRADCORE_OK;
    uint8_t *mask = grc_allocate(&n->allocator, (size_t)n->parameter_count + 1);
    if (!mask)
        return grc_fail(error, GRADCORE_NO_MEMORY, "matrices: expected memory for them, got none");
    for (int i = 0; i < n->parameter_count; i++)
        mask[i] = old->of[i].rows > 0;
    const grc_status status = make(trainer, mask, old->largest, &trainer->matrices, error);
    grc_release(&n->allocator, mask, (size_t)n->parameter_count + 1);
    if (status == GRADCORE_OK && old->sides_size)
        memcpy((char *)trainer->matrices->block + old->sides, (const char *)old->block + old->sides, old->sides_size);
    return status;
}

grc_status gradcore_trainer_set_matrices(gradcore_trainer *trainer, const uint8_t *mask, int64_t largest,
                                         gradcore_error *error)
{
    grc_matrices *made = NULL;
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    if (!mask || largest < 0)
        status = grc_fail(error, GRADCORE_INVALID, "mask, largest: expected a pointer and at least 0");
    else if (grc_optimizer_kind(trainer->optimizer) != GRC_OPT_MATRIX)
        status = grc_fail(error, GRADCORE_STATE, "matrices: expected an optimizer of matrices, got '%s'",
                          grc_list("optimizer", trainer->optimizer));
    else if (atomic_load(&trainer->step) > 0)
        status = grc_fail(error, GRADCORE_STATE, "matrices: expected them before the first step, got them after %llu",
                          (unsigned long long)atomic_load(&trainer->step));
    for (int i = 0; status == GRADCORE_OK && i < trainer->net->parameter_count; i++) {
        const grc_parameter *p = &trainer->net->parameters[i];
        if (mask[i] && (!p->trainable || (p->ndim != 2 && trainer->optimizer == GRC_OPT_muon)))
            status =
                grc_fail(error, GRADCORE_INVALID, "mask[%d]: expected 0, as %s is no trainable matrix", i, p->name);
    }
    if (status == GRADCORE_OK)
        status = make(trainer, mask, (size_t)largest, &made, error);
    if (status == GRADCORE_OK) {
        grc_matrices_destroy(trainer);
        trainer->matrices = made;
    }
    grc_trainer_leave(trainer);
    return status;
}

/* ---- the state of soap ---- */

void grc_keep_factors(const gradcore_trainer *trainer, int restore, int t, int count)
{
    const grc_matrices *s = trainer->matrices;
    size_t from, to;
    if (!s || !s->sides_size)
        return;
    char *live = (char *)s->block + s->sides, *kept = s->kept;
    grc_rows_of(s->sides_size, 4096, t, count, &from, &to);
    memcpy((restore ? live : kept) + from, (restore ? kept : live) + from, to - from);
}

int grc_factors_are_finite(const gradcore_trainer *trainer, int t, int count)
{
    for (int i = 0; trainer->matrices && i < trainer->net->parameter_count; i++)
        for (int j = 0; j < 2; j++) {
            const grc_matrix *m = &trainer->matrices->of[i];
            const grc_side *side = &m->side[j];
            size_t row, end;
            grc_rows_of(side->order, 1, t, count, &row, &end);
            const size_t at = row * side->ld, size = (end - row) * side->ld;
            if (size
                && (!isfinite(m->k->max_abs(size, grc_element(m, side->gram, at)))
                    || !isfinite(m->k->max_abs(size, grc_element(m, side->basis, at)))))
                return 0;
        }
    return 1;
}

/* The side of a parameter as the user sees it: a vector that holds the transpose has them the other way round. */
static grc_side *side_of(const gradcore_trainer *trainer, int64_t index, int32_t side)
{
    if (!trainer || !trainer->matrices || index < 0 || index >= trainer->net->parameter_count || side < 0 || side > 1)
        return NULL;
    grc_side *found = &trainer->matrices->of[index].side[trainer->net->parameters[index].turned ? 1 - side : side];
    return found->order ? found : NULL;
}

int64_t gradcore_trainer_factor_order(const gradcore_trainer *trainer, int64_t index, int32_t side)
{
    const grc_side *found = side_of(trainer, index, side);
    return found ? (int64_t)found->order : 0;
}

static grc_status no_factor(int64_t index, int32_t side, gradcore_error *error)
{
    return grc_fail(error, GRADCORE_INVALID, "index, side: expected a matrix with such a factor, got %lld and %d",
                    (long long)index, side);
}

grc_status gradcore_trainer_factor_read(gradcore_trainer *trainer, int64_t index, int32_t side, void *dst,
                                        gradcore_error *error)
{
    grc_status status = grc_trainer_look(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    const grc_side *from = side_of(trainer, index, side);
    if (!from || !dst)
        status = from ? grc_fail(error, GRADCORE_INVALID, "dst: expected a pointer, got NULL")
                      : no_factor(index, side, error);
    else
        grc_read_side(&trainer->matrices->of[index], from, dst);
    grc_trainer_leave(trainer);
    return status;
}

grc_status gradcore_trainer_factor_write(gradcore_trainer *trainer, int64_t index, int32_t side, const void *src,
                                         gradcore_error *error)
{
    grc_status status = grc_trainer_enter(trainer, error);
    if (status != GRADCORE_OK)
        return status;
    grc_side *to = side_of(trainer, index, side);
    if (!to || !src)
        status =
            to ? grc_fail(error, GRADCORE_INVALID, "src: expected a pointer, got NULL") : no_factor(index, side, error);
    else if (trainer->nonfinite != GRC_NONFINITE_PROPAGATE
             && !isfinite(trainer->net->kernels->max_abs(2 * to->order * to->order, src)))
        status = grc_fail(error, GRADCORE_INVALID, "%s: expected a finite state, got NaN or infinity",
                          trainer->net->parameters[index].name);
    else
        grc_write_side(&trainer->matrices->of[index], to, src);
    grc_trainer_leave(trainer);
    return status;
}
