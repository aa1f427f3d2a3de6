/* Plain arrays under an optimizer that takes matrices as wholes: packed, updated, unpacked. */
#include "matrix_arrays.h"

typedef struct call {
    const grc_matrix_work *work;
    const gradcore_array *array;
    const grc_opt_args *args;
    grc_matrix m;
    grc_room room;
} call;

grc_status grc_check_matrix(const gradcore_array *array, int optimizer, gradcore_error *error)
{
    if (array->rows < 0 || (array->rows && (array->n % array->rows || array->n / array->rows > INT32_MAX)))
        return grc_fail(error, GRADCORE_SHAPE, "rows: expected 0 or a divisor of n, got %d of %lld", array->rows,
                        (long long)array->n);
    if (array->rows && grc_optimizer_kind(optimizer) != GRC_OPT_MATRIX)
        return grc_fail(error, GRADCORE_INVALID, "rows: expected 0 with the optimizer '%s', got %d",
                        grc_list("optimizer", optimizer), array->rows);
    return GRADCORE_OK;
}

static void lay_out(call *c, grc_arena *arena)
{
    const gradcore_array *array = c->array;
    const size_t rows = (size_t)array->rows, cols = (size_t)(array->n / array->rows);
    grc_matrix *m = &c->m;
    *m = (grc_matrix){.k = c->work->kernels[array->dtype],
                      .rows = rows,
                      .cols = cols,
                      .fan_in = rows,
                      .fan_out = cols,
                      .item = array->dtype == GRADCORE_FLOAT32 ? sizeof(float) : sizeof(double)};
    const size_t size = rows * grc_padded(m, cols);
    m->w = grc_take(arena, size, m->item);
    m->g = grc_take(arena, size, m->item);
    for (int i = 0; i < 2; i++)
        m->slot[i] = grc_take(arena, size, m->item);
    if (c->work->optimizer == GRC_OPT_soap)
        grc_lay_out_sides(m, array->slots[2] != NULL, array->slots[3] != NULL, arena);
    grc_lay_out_room(&c->room, c->work->optimizer, m, 1, c->work->threads, arena);
}

grc_status grc_matrix_work_open(grc_matrix_work *work, size_t count, const gradcore_array *arrays,
                                gradcore_error *error)
{
    double largest = 0;
    work->block = NULL;
    work->size = 0;
    work->threads = 1;
    for (size_t i = 0; i < count; i++) { /* about the operations of a product of all of it */
        const gradcore_array *array = &arrays[i];
        const double rows = (double)array->rows, cols = rows > 0 ? (double)array->n / rows : 0;
        const double less = rows < cols ? rows : cols;
        largest = largest > less * rows * cols ? largest : less * rows * cols;
    }
    if (largest > 1e6)
        work->threads = grc_threads_default();
    for (size_t i = 0; i < count; i++) {
        grc_arena arena = {NULL, 0, 0};
        call c = {.work = work, .array = &arrays[i]};
        if (!arrays[i].rows || !arrays[i].n)
            continue;
        lay_out(&c, &arena);
        work->size = grc_max(work->size, arena.overflow ? SIZE_MAX : arena.used);
    }
    if (work->size && (work->size == SIZE_MAX || !(work->block = grc_allocate(&grc_default_allocator, work->size))))
        return grc_fail(error, GRADCORE_NO_MEMORY, "optimizer_step: expected %zu bytes to work in, got none",
                        work->size);
    return GRADCORE_OK;
}

void grc_matrix_work_close(grc_matrix_work *work)
{
    grc_release(&grc_default_allocator, work->block, work->size);
}

static void move(call *c, int back)
{
    const gradcore_array *array = c->array;
    const grc_matrix *m = &c->m;
    void *packed[] = {m->w, (void *)m->g, m->slot[0], m->slot[1]};
    void *plain[] = {array->w, (void *)array->g, array->slots[0], array->slots[1]};
    for (int i = 0; i < 4; i++)
        if (!back)
            m->k->pack(m->rows, m->cols, plain[i], m->cols, packed[i]);
        else if (i != 1)
            m->k->unpack(m->rows, m->cols, packed[i], plain[i], m->cols);
    for (int i = 0; i < 2; i++)
        if (m->side[i].order && back)
            grc_read_side(m, &m->side[i], array->slots[2 + i]);
        else if (m->side[i].order)
            grc_write_side(m, &m->side[i], array->slots[2 + i]);
}

static void run(void *context, grc_team *team, int t, int count)
{
    call *c = context;
    if (t == 0)
        move(c, 0);
    grc_update_matrix(c->work->optimizer, &c->m, &c->room, c->args, team, t, count);
    if (t == 0)
        move(c, 1);
}

void grc_matrix_work_step(const grc_matrix_work *work, const gradcore_array *array, const grc_opt_args *args)
{
    call c = {.work = work, .array = array, .args = args};
    grc_arena arena = {work->block, 0, 0};
    memset(work->block, 0, work->size);
    lay_out(&c, &arena);
    grc_team_lend(work->threads, 0, &run, &c);
}
