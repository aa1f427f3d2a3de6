/* What optimizers of whole matrices share: layouts and memory. */
#include "../kernels/instruction_sets.h"
#include "matrix.h"

void grc_unpack_rows(const grc_matrix *m, const void *packed, void *plain, size_t row, size_t end)
{
    const size_t pw = m->k->panel, ld = grc_padded(m, m->cols);
    for (size_t r = row; r < end; r++)
        for (size_t c = 0; c < ld; c += pw)
            memcpy(grc_element(m, plain, r * ld + c), grc_element(m, packed, c * m->rows + r * pw), pw * m->item);
}

void grc_pack_rows(const grc_matrix *m, const void *plain, void *packed, size_t row, size_t end)
{
    const size_t pw = m->k->panel, ld = grc_padded(m, m->cols);
    for (size_t r = row; r < end; r++)
        for (size_t c = 0; c < ld; c += pw)
            memcpy(grc_element(m, packed, c * m->rows + r * pw), grc_element(m, plain, r * ld + c), pw * m->item);
}

void grc_lay_out_sides(grc_matrix *m, int rows, int cols, grc_arena *arena)
{
    for (int i = 0; i < 2; i++) {
        const size_t order = i == GRC_ROWS ? m->rows : m->cols;
        grc_side *side = &m->side[i];
        *side = (grc_side){.order = order > 1 && (i == GRC_ROWS ? rows : cols) ? order : 0};
        side->ld = grc_padded(m, side->order);
        if (!side->order)
            continue;
        side->gram = grc_take(arena, side->order * side->ld, m->item);
        side->basis = grc_take(arena, side->order * side->ld, m->item);
        side->turned = grc_take(arena, side->order * side->ld, m->item);
    }
}

static void lay_out_muon(grc_room *room, const grc_matrix *matrices, size_t count, grc_arena *arena)
{
    size_t packed = 0, flat = 0, upright = 0, gram = 0, sums = 0;
    for (size_t i = 0; i < count; i++) {
        const grc_matrix *m = &matrices[i];
        const size_t less = grc_min(m->rows, m->cols), more = m->rows + m->cols - less;
        packed = grc_max(packed, m->rows * grc_padded(m, m->cols));
        flat = grc_max(flat, less * grc_padded(m, more));
        upright = grc_max(upright, more * grc_padded(m, less));
        gram = grc_max(gram, less * grc_padded(m, less));
        sums = grc_max(sums, less);
    }
    const size_t item = count ? matrices->item : 1;
    room->packed[0] = grc_take(arena, packed, item);
    room->plain[0] = grc_take(arena, flat, item);
    room->plain[1] = grc_take(arena, upright, item);
    room->plain[2] = grc_take(arena, flat, item);
    room->gram[0] = grc_take(arena, gram, item);
    room->gram[1] = grc_take(arena, gram, item);
    room->sums = grc_take(arena, sums, sizeof(double));
}

static void lay_out_soap(grc_room *room, const grc_matrix *matrices, size_t count, int threads, grc_arena *arena)
{
    size_t packed = 0, plain = 0, order = 0;
    for (size_t i = 0; i < count; i++) {
        const grc_matrix *m = &matrices[i];
        plain = grc_max(plain, m->rows * grc_padded(m, m->cols));
        packed = grc_max(packed, m->cols * grc_padded(m, m->rows));
        order = grc_max(order, grc_max(m->side[0].order, m->side[1].order));
    }
    const size_t item = count ? matrices->item : 1, panel = count ? matrices->k->panel : 1;
    const size_t ld = grc_round_up(order, panel), each = (size_t)threads;
    for (int i = 0; i < 3; i++)
        room->packed[i] = grc_take(arena, grc_max(packed, plain), item);
    room->plain[0] = grc_take(arena, plain, item);
    room->plain[1] = grc_take(arena, plain, item);
    room->strips = grc_take(arena, GRC_STRIP * each * ld, item);
    room->orthogonal.k = count ? grc_kernels_find(matrices->k->name, GRC_F64, NULL) : NULL;
    room->orthogonal.count = room->orthogonal.length = order;
    room->orthogonal.ld = ld;
    grc_orthogonal_lay_out(&room->orthogonal, threads, arena);
    room->z = grc_take(arena, order * ld, sizeof(double));
    room->work = grc_take(arena, (3 + 2 * each) * order, sizeof(double));
    room->estimates = grc_take(arena, order, sizeof(double));
    room->order = grc_take(arena, 2 * order, sizeof(size_t));
}

void grc_lay_out_room(grc_room *room, int optimizer, const grc_matrix *matrices, size_t count, int threads,
                      grc_arena *arena)
{
    if (optimizer == GRC_OPT_muon)
        lay_out_muon(room, matrices, count, arena);
    else
        lay_out_soap(room, matrices, count, threads, arena);
}

void grc_read_side(const grc_matrix *m, const grc_side *side, void *dst)
{
    const void *parts[] = {side->gram, side->basis};
    const size_t bytes = side->order * m->item;
    for (size_t i = 0; i < 2 * side->order; i++)
        memcpy((char *)dst + i * bytes, grc_element(m, parts[i / side->order], i % side->order * side->ld), bytes);
}

void grc_write_side(const grc_matrix *m, const grc_side *side, const void *src)
{
    void *parts[] = {side->gram, side->basis};
    const size_t bytes = side->order * m->item;
    for (size_t i = 0; i < 2 * side->order; i++)
        memcpy(grc_element(m, parts[i / side->order], i % side->order * side->ld), (const char *)src + i * bytes,
               bytes);
    m->k->turn(side->order, side->order, side->basis, side->ld, side->turned, side->ld);
}
